"""Body version 3, the sending side: a pose in a few dozen bytes."""

from __future__ import annotations

import math
from typing import Final

import msgspec

from posewire.protocol import pose_codec
from posewire.protocol.header import MAX_SEQ, FrameType
from posewire.protocol.pose_data import PoseData
from posewire.protocol.pose_shape import DEFAULT_PRECISION, PoseShape, Precisions, shape_of
from posewire.protocol.precision import Precision

ANCHOR_INTERVAL: Final = 4
KEYFRAME_INTERVAL: Final = 2.0
_SELDOM: Final = 5
_MAX_DISTANCE: Final = 0xFFFF
_KEY, _ANCHOR, _LEAF = FrameType.KEY, FrameType.ANCHOR, FrameType.LEAF


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
    frame: object


class PoseEncoder:
    """Encodes the poses of one stream. Pure: time and seq are arguments.

    A frame is a keyframe, which needs no other; an anchor, which refers to the keyframe or anchor before it; or a leaf,
    which refers to the newest of those and to which nothing refers. When `layered`, anchors are a pyramid: every fourth
    refers to the fourth before it, every second to the second, so that the rest can be left out. The encoder predicts
    from the *quantised* reference that the decoder has, so the error of a coordinate is at most half a step in every
    frame, for ever.

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
        self.layered = False
        """Three anchors of four are such that a slow recipient can do without them, which costs one byte in fifty (of
        motion capture one in twelve); and keyframes, the largest, which nobody can do without, come five times more
        seldom."""
        self._key_wanted = False
        self._granted = -math.inf
        self._reference: _Reference | None = None
        """What the next leaf refers to."""
        self._base: _Reference | None = None
        self._middle: _Reference | None = None
        """What the next anchor refers to: the same; when they are layered, the last fourth, or the last second one."""
        self._key_time = 0.0
        self._frames = 0
        """Since the keyframe."""
        self._shape: PoseShape | None = None
        self._chain: pose_codec.Chain | None = None
        self._skeleton = ""
        self._start = b""
        """What its keyframes begin with."""
        self._most = self._most_of_key = 0
        """Bytes of a frame, and of a keyframe, as float32."""
        self._precisions: Precisions = (precision, face or precision, hands or precision)

    def set_precision(
        self, precision: Precision, *, face: Precision | None = None, hands: Precision | None = None
    ) -> None:
        """Quantise in other steps from the next frame on, which is a keyframe if that changes anything."""
        precisions = (precision, face or precision, hands or precision)
        if precisions != self._precisions:
            self._precisions = precisions
            self._shape = self._reference = self._base = self._middle = None

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
        number, rest = divmod(self._frames + 1, self._anchor_interval)
        anchor = rest == 0
        reference = self._reference
        if anchor:
            reference = self._middle if number % 2 else self._base
        distance = (seq - reference.seq) & MAX_SEQ if reference is not None else 0
        if (
            reference is None
            or not 0 < distance <= _MAX_DISTANCE
            or not abs(time - self._key_time) < self._keyframe_interval * (_SELDOM if self.layered else 1)
            or (self._key_wanted and abs(time - self._granted) >= self._keyframe_gap)
            or pose.skeleton != self._skeleton
        ):
            return self._key(pose, seq, time)
        assert self._chain is not None
        coded = self._chain.encode(
            b"", pose.pose_landmarks, pose.face_landmarks, pose.hand_landmarks, reference.frame, self._most, anchor
        )
        if coded is None:
            return self._raw(pose) if self._fits(pose) else self._key(pose, seq, time)
        self._frames += 1
        if anchor:
            self._reference = _Reference(seq, coded[1])
            if number % 2 == 0 or not self.layered:
                self._middle = self._reference
            if number % 4 == 0 or not self.layered:
                self._base = self._reference
        return CodedPose(_ANCHOR if anchor else _LEAF, distance, coded[0])

    def _key(self, pose: PoseData, seq: int, time: float) -> CodedPose:
        if self._shape is None or self._chain is None or not self._fits(pose, exactly=True):
            self._shape = shape_of(pose, self._precisions)
            self._skeleton = self._shape.skeleton
            self._chain = pose_codec.chain_of(self._shape)
            self._start = self._shape.pack()
            self._most = 16 * sum(self._shape.counts)
            self._most_of_key = self._most + len(self._shape.pack(raw=True))
        if self._key_wanted:
            self._granted, self._key_wanted = time, False
        self._key_time, self._frames = time, 0
        coded = self._chain.encode(
            self._start, pose.pose_landmarks, pose.face_landmarks, pose.hand_landmarks, None, self._most_of_key, True
        )
        if coded is None:
            return self._raw(pose)
        self._reference = self._base = self._middle = _Reference(seq, coded[1])
        return CodedPose(_KEY, 0, coded[0])

    def _raw(self, pose: PoseData) -> CodedPose:
        """A pose that quantising does not fit, as it is; nothing can refer to it."""
        self._reference = self._base = self._middle = None
        shape = shape_of(pose, self._precisions)
        parts = (pose.pose_landmarks, pose.face_landmarks, pose.hand_landmarks)
        values = b"".join(part.astype("<f4", copy=False).tobytes() for part in parts if part is not None)
        return CodedPose(_KEY, 0, shape.pack(raw=True) + values)

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
