"""Body version 3, the receiving side."""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np

from posewire.errors import DataValidationError, ProtocolError
from posewire.protocol import pose_codec
from posewire.protocol.header import MAX_SEQ, FrameType
from posewire.protocol.pose_codec import Chain
from posewire.protocol.pose_data import PoseData, checked_timestamp
from posewire.protocol.pose_shape import PoseShape, unpack_shape

_KEPT: Final = 4
"""Keyframes and anchors that are remembered: packets of different lanes may overtake each other."""
_SURELY_SOON: Final = 1e10
"""A time that is in no doubt: hundreds of years."""
_KEY, _ANCHOR = FrameType.KEY, FrameType.ANCHOR


class MissingReference(ProtocolError):
    """The frame refers to one that did not come; a keyframe is needed."""

    def __init__(self, seq: int, reference: int) -> None:
        super().__init__("3", f"frame {seq} refers to frame {reference}, which did not come", "missing_reference")


class _Reference(msgspec.Struct, gc=False):
    chain: Chain
    frame: object
    skeleton: str


class PoseDecoder:
    """Decodes the poses of one stream, in any order and with any frame lost: a frame is right, or refused."""

    def __init__(self) -> None:
        self._references: dict[int, _Reference] = {}

    def decode(self, frame_type: FrameType, seq: int, ref: int, body: bytes, *, timestamp: float) -> PoseData:
        """Return the pose in ``body``.

        Args:
            frame_type: From the header, like ``seq`` and ``ref``.
            seq: Number of the frame.
            ref: How many frames back its reference lies.
            body: The bytes after the header.
            timestamp: What the pose is stamped with.

        Raises:
            MissingReference: It refers to a frame that did not come.
            ProtocolError: The body is not what the header says.
        """
        if (frame_type is _KEY) != (ref == 0):
            raise ProtocolError("3", f"a {frame_type.name.lower()} that refers {ref} frames back")
        if type(timestamp) is not float or not 0 <= timestamp < _SURELY_SOON:
            _check_timestamp(timestamp)
        if frame_type is _KEY:
            return self._key(seq, body, timestamp)
        reference = self._references.get((seq - ref) & MAX_SEQ)
        if reference is None:
            raise MissingReference(seq, (seq - ref) & MAX_SEQ)
        anchor = frame_type is _ANCHOR
        chain, skeleton = reference.chain, reference.skeleton
        frame, pose = chain.decode(body, 0, reference.frame, anchor, timestamp, skeleton)
        if anchor:
            self._keep(seq, _Reference(chain, frame, skeleton))
        return pose

    def _key(self, seq: int, body: bytes, timestamp: float) -> PoseData:
        shape, raw, at = unpack_shape(body)
        if raw:
            return _raw_pose(shape, body[at:], timestamp)
        chain = pose_codec.chain_of(shape)
        frame, pose = chain.decode(body, at, None, True, timestamp, shape.skeleton)
        self._keep(seq, _Reference(chain, frame, shape.skeleton))
        return pose

    def _keep(self, seq: int, reference: _Reference) -> None:
        self._references.pop(seq, None)
        self._references[seq] = reference
        if len(self._references) > _KEPT:
            del self._references[next(iter(self._references))]


def _check_timestamp(timestamp: float) -> None:
    try:
        checked_timestamp(timestamp)
    except DataValidationError as exc:
        raise ProtocolError("3", f"undecodable pose: {exc}") from exc


def _raw_pose(shape: PoseShape, data: bytes, timestamp: float) -> PoseData:
    counts = shape.counts
    if len(data) != 16 * sum(counts):
        raise ProtocolError("3", f"{len(data)} bytes for {sum(counts)} landmarks")
    values = np.frombuffer(data, "<f4").astype(np.float32).reshape(-1, 4)
    at = iter(np.split(values, np.cumsum(counts)[:-1]))
    pose = next(at) if shape.pose else None
    face = next(at) if shape.face else None
    hands = np.stack((next(at), next(at))) if shape.hand else None
    try:
        return PoseData(pose, face, hands, timestamp, shape.skeleton)
    except DataValidationError as exc:
        raise ProtocolError("3", f"undecodable pose: {exc}") from exc
