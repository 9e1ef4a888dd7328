"""Body version 3, the sending side: a pose in a few dozen bytes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np

from posewire.protocol.header import MAX_SEQ, FrameType
from posewire.protocol.part_encoder import CodedPart, PartReference, encode_part
from posewire.protocol.part_state import ABSENT, INTRA, NOTHING, VALUE_LIMIT, Bools, PartState
from posewire.protocol.pose_data import Landmarks, PoseData
from posewire.protocol.pose_shape import DEFAULT_PRECISION, PoseShape, Precisions, shape_of
from posewire.protocol.precision import Precision
from posewire.protocol.rice import pack
from posewire.protocol.topology import Floats

ANCHOR_INTERVAL: Final = 4
KEYFRAME_INTERVAL: Final = 2.0
_MAX_DISTANCE: Final = 0xFFFF


class CodedPose(msgspec.Struct, frozen=True, gc=False):
    """A frame of body version 3.

    Attributes:
        frame_type: What the frame needs to be read.
        ref: How many frames back the frame lies that it refers to; 0 for a keyframe.
        body: Its bytes.
    """

    frame_type: FrameType
    ref: int
    body: bytes


class _Reference(msgspec.Struct, gc=False):
    seq: int
    parts: list[PartReference]


class PoseEncoder:
    """Encodes the poses of one stream. Pure: time and seq are arguments.

    A frame is a keyframe, which needs no other; an anchor, which refers to the keyframe or anchor before it; or a leaf,
    which refers to the newest of those and to which nothing refers. The encoder predicts from the *quantised* reference
    that the decoder has, so the error of a coordinate is at most half a step in every frame, for ever.

    Args:
        precision: Steps of the quantiser, for all parts.
        face: Other steps for the face.
        hands: Other steps for the hands.
        anchor_interval: Every so manyeth frame is an anchor.
        keyframe_interval: Seconds from a keyframe to the next.
        keyframe_gap: Seconds from a keyframe that was asked for to the next, so that many who ask get one.
    """

    def __init__(
        self,
        precision: Precision = DEFAULT_PRECISION,
        *,
        face: Precision | None = None,
        hands: Precision | None = None,
        anchor_interval: int = ANCHOR_INTERVAL,
        keyframe_interval: float = KEYFRAME_INTERVAL,
        keyframe_gap: float = 0.0,
    ) -> None:
        self._anchor_interval = anchor_interval
        self._keyframe_interval = keyframe_interval
        self._keyframe_gap = keyframe_gap
        self._key_wanted = False
        self._granted = -math.inf
        self._reference: _Reference | None = None
        self._key_time = 0.0
        self._frames = 0
        """Since the keyframe."""
        self._shape: PoseShape | None = None
        self._precisions: Precisions = (precision, face or precision, hands or precision)

    def set_precision(
        self, precision: Precision, *, face: Precision | None = None, hands: Precision | None = None
    ) -> None:
        """Quantise in other steps from the next frame on, which is a keyframe if that changes anything."""
        precisions = (precision, face or precision, hands or precision)
        if precisions != self._precisions:
            self._precisions = precisions
            self._shape = None

    def request_keyframe(self) -> None:
        """Make the next frame a keyframe, or the first one after the gap since this was done last."""
        self._key_wanted = True

    def encode(self, pose: PoseData, *, seq: int, time: float) -> CodedPose:
        """Return the frame of ``pose``.

        Args:
            pose: What to encode; its timestamp is not used.
            seq: Number of the frame in its stream; it grows, and says how far back the reference lies.
            time: Seconds, on any clock that keyframes may be spaced by.
        """
        reference = self._reference
        distance = (seq - reference.seq) & MAX_SEQ if reference is not None else 0
        if (
            reference is None
            or not 0 < distance <= _MAX_DISTANCE
            or not abs(time - self._key_time) < self._keyframe_interval
            or (self._key_wanted and abs(time - self._granted) >= self._keyframe_gap)
            or not self._fits(pose)
        ):
            return self._key(pose, seq, time)
        self._frames += 1
        anchor = self._frames % self._anchor_interval == 0
        parts = self._quantised(pose)
        if parts is None:
            return self._raw(pose)
        coded = [
            CodedPart(_ABSENT, [], [], before.state.q) if part is None else encode_part(*part, before, topology)
            for part, before, topology in zip(parts, reference.parts, self._topologies, strict=True)
        ]
        body = _join(b"", coded)
        if len(body) > self._raw_bytes:
            return self._raw(pose)
        if anchor:
            self._refer(seq, coded, parts, reference.parts)
        return CodedPose(FrameType.ANCHOR if anchor else FrameType.LEAF, distance, body)

    def _key(self, pose: PoseData, seq: int, time: float) -> CodedPose:
        if self._shape is None or not self._fits(pose, exactly=True):
            self._shape = shape_of(pose, self._precisions)
            self._scales = self._shape.scales()
            self._topologies = self._shape.topologies()
            self._raw_bytes = 16 * sum(self._shape.counts)
        if self._key_wanted:
            self._granted, self._key_wanted = time, False
        self._key_time, self._frames = time, 0
        parts = self._quantised(pose)
        if parts is None:
            return self._raw(pose)
        coded = [
            encode_part(*part, None, topology)
            for part, topology in zip(parts, self._topologies, strict=True)
            if part is not None
        ]
        body = _join(self._shape.pack(), coded)
        if len(body) > self._raw_bytes + len(self._shape.pack(raw=True)):
            return self._raw(pose)
        self._refer(seq, coded, parts, [None] * len(parts))
        return CodedPose(FrameType.KEY, 0, body)

    def _refer(
        self,
        seq: int,
        coded: list[CodedPart],
        parts: list[tuple[Floats, Bools | None] | None],
        before: Sequence[PartReference | None],
    ) -> None:
        """Keep a frame as the decoder keeps it."""
        kept = []
        for code, part, old in zip(coded, parts, before, strict=True):
            found = None if part is None else part[1]
            mode, flags = code.head[0] & 7, code.head[0] & ~7
            if mode in (ABSENT, NOTHING):
                state = PartState(code.q, found=found, known=old is not None and old.state.known)
            else:
                state = PartState(code.q, None if old is None or flags & INTRA else old.state.q, found)
            kept.append(PartReference(state))
        self._reference = _Reference(seq, kept)

    def _raw(self, pose: PoseData) -> CodedPose:
        """A pose that quantising does not fit, as it is; nothing can refer to it."""
        self._reference = None
        shape = shape_of(pose, self._precisions)
        values = b"".join(part.astype("<f4", copy=False).tobytes() for part in _arrays(pose, shape) if part is not None)
        return CodedPose(FrameType.KEY, 0, shape.pack(raw=True) + values)

    def _fits(self, pose: PoseData, *, exactly: bool = False) -> bool:
        """Whether the pose has no part that the keyframe did not have; ``exactly``: and all of them."""
        shape = self._shape
        if shape is None or pose.skeleton != shape.skeleton:
            return False
        body, face, hands = pose.pose_landmarks, pose.face_landmarks, pose.hand_landmarks
        return (
            (not (shape.pose and exactly) if body is None else len(body) == shape.pose)
            and (not (shape.face and exactly) if face is None else len(face) == shape.face)
            and (not (shape.hand and exactly) if hands is None else shape.hand > 0)
        )

    def _quantised(self, pose: PoseData) -> list[tuple[Floats, Bools | None] | None] | None:
        """Return whole numbers ``[4, N]`` and what was found of each part; None when a number is too large for that."""
        assert self._shape is not None
        parts: list[tuple[Floats, Bools | None] | None] = []
        for values, scale in zip(_arrays(pose, self._shape), self._scales, strict=True):
            if values is None:
                parts.append(None)
                continue
            q = np.empty((4, len(values)))
            with np.errstate(invalid="ignore"):  # a NaN that signals is a NaN
                np.multiply(values.T, scale, out=q)
            np.rint(q, out=q)
            found = None
            # One product tells that nothing is NaN or large, which is nearly always so.
            flat = q.ravel()
            if not flat.dot(flat) <= _SURELY_SMALL:
                there = ~np.isnan(q)
                q = np.where(there, q, 0.0)
                if np.abs(q).max() > VALUE_LIMIT:
                    return None
                if not there.all():
                    found = there[[0, 3]]
            parts.append((q, found))
        return parts


def _arrays(pose: PoseData, shape: PoseShape) -> list[Landmarks | None]:
    arrays: list[Landmarks | None] = []
    if shape.pose:
        arrays.append(pose.pose_landmarks)
    if shape.face:
        arrays.append(pose.face_landmarks)
    if shape.hand:
        hands = pose.hand_landmarks
        arrays += (None, None) if hands is None else (hands[0], hands[1])
    return arrays


def _join(preamble: bytes, parts: list[CodedPart]) -> bytes:
    symbols = [group for part in parts for group in part.symbols]
    heads = preamble + b"".join([part.head for part in parts])
    if not symbols:
        return heads
    ks = [group for part in parts for group in part.ks]
    return heads + pack(np.concatenate(symbols), np.concatenate(ks))


_ABSENT: Final = bytes((ABSENT,))
_SURELY_SMALL: Final = VALUE_LIMIT**2
