"""What a chain of frames of body version 3 keeps, and how its keyframe says it: parts, landmarks, precision."""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np

from posewire.errors import ProtocolError
from posewire.limits import MAX_LANDMARKS, MAX_NAME_CHARS
from posewire.protocol.pose_data import DEFAULT_SKELETON, MEDIAPIPE_FACES, MEDIAPIPE_HAND, MEDIAPIPE_POSE, PoseData
from posewire.protocol.precision import COARSEST, FINEST, Precision
from posewire.protocol.topology import Floats, Topology, topology

# Flags of a keyframe's first byte.
RAW: Final = 1
_PRECISIONS, _SKELETON, _POSE, _FACE, _HANDS, _IRISES = 2, 4, 8, 16, 32, 64

DEFAULT_PRECISION: Final = Precision()
Precisions = tuple[Precision, Precision, Precision]


class PoseShape(msgspec.Struct, frozen=True):
    """Landmarks of pose, face and one hand, 0 where the part is not there; and their precisions in the same order."""

    pose: int
    face: int
    hand: int
    skeleton: str
    precisions: Precisions

    @property
    def counts(self) -> list[int]:
        """Landmarks of each part that is there; hands are two parts."""
        return [count for count in (self.pose, self.face, self.hand, self.hand) if count]

    def scales(self) -> list[Floats]:
        """Steps per unit of x, y, z and visibility of each part, ``[4, 1]``."""
        pose, face, hands = self.precisions
        parts = ((self.pose, pose), (self.face, face), (self.hand, hands), (self.hand, hands))
        return [_scale(precision) for count, precision in parts if count]

    def topologies(self) -> list[Topology]:
        """How the landmarks of each part hang together."""
        mediapipe = self.skeleton == DEFAULT_SKELETON
        found = []
        if self.pose:
            found.append(topology("pose" if mediapipe else "other", self.pose))
        if self.face:
            found.append(topology("other", self.face))
        if self.hand:
            found += [topology("hand", self.hand)] * 2
        return found

    def pack(self, *, raw: bool = False) -> bytes:
        """Return how a keyframe begins."""
        plain = self.precisions == (DEFAULT_PRECISION,) * 3 or raw
        named = self.skeleton != DEFAULT_SKELETON
        flags = (
            (RAW if raw else 0)
            | (0 if plain else _PRECISIONS)
            | (_SKELETON if named else 0)
            | (_POSE if self.pose else 0)
            | (_FACE if self.face else 0)
            | (_HANDS if self.hand else 0)
            | (_IRISES if self.face == MEDIAPIPE_FACES[1] else 0)
        )
        packed = bytes((flags,))
        if named:
            name = self.skeleton.encode()
            packed += len(name).to_bytes(2, "little") + name + self.pose.to_bytes(2, "little")
        if not plain:
            packed += b"".join(_pack_precision(precision) for precision in self.precisions)
        return packed


def unpack_shape(data: bytes) -> tuple[PoseShape, bool, int]:
    """Read how a keyframe begins: its shape, whether float32 follows, and where.

    Raises:
        ProtocolError: It has no meaning.
    """
    flags = data[0] if data else 128
    if (
        flags & 128
        or not flags & (_POSE | _FACE | _HANDS)
        or (flags & _IRISES and not flags & _FACE)
        or (flags & RAW and flags & _PRECISIONS)
    ):
        raise ProtocolError("3", f"keyframe of {len(data)} bytes with flags {flags:#04x} has no meaning")
    at = 1
    skeleton, count = DEFAULT_SKELETON, MEDIAPIPE_POSE
    if flags & _SKELETON:
        size = int.from_bytes(data[1:3], "little")
        try:
            skeleton = data[3 : 3 + size].decode()
        except UnicodeDecodeError as exc:
            raise ProtocolError("3", f"skeleton is no UTF-8: {exc}") from None
        count = int.from_bytes(data[3 + size : 5 + size], "little")
        at = 5 + size
        if at > len(data) or not 0 < len(skeleton) <= MAX_NAME_CHARS or not count <= MAX_LANDMARKS:
            raise ProtocolError("3", f"skeleton of {size} bytes with {count} landmarks")
        if bool(count) != bool(flags & _POSE) or (skeleton == DEFAULT_SKELETON):
            raise ProtocolError("3", f"skeleton {skeleton!r} with {count} landmarks")
    precisions = (DEFAULT_PRECISION,) * 3
    if flags & _PRECISIONS:
        stated = [_unpack_precision(data, at + start) for start in (0, 3, 6)]
        precisions = (stated[0], stated[1], stated[2])
        at += 9
    shape = PoseShape(
        count if flags & _POSE else 0,
        MEDIAPIPE_FACES[bool(flags & _IRISES)] if flags & _FACE else 0,
        MEDIAPIPE_HAND if flags & _HANDS else 0,
        skeleton,
        precisions,
    )
    return shape, bool(flags & RAW), at


def shape_of(pose: PoseData, precisions: Precisions) -> PoseShape:
    """Return the shape of a pose's keyframe."""
    return PoseShape(
        0 if pose.pose_landmarks is None else len(pose.pose_landmarks),
        0 if pose.face_landmarks is None else len(pose.face_landmarks),
        0 if pose.hand_landmarks is None else MEDIAPIPE_HAND,
        pose.skeleton,
        precisions,
    )


def _scale(precision: Precision) -> Floats:
    return np.array([[2.0**bits] for bits in precision.channels])


def _pack_precision(precision: Precision) -> bytes:
    return bytes(bits - COARSEST for bits in (precision.xy, precision.z, precision.visibility))


def _unpack_precision(data: bytes, at: int) -> Precision:
    stated = [bits + COARSEST for bits in data[at : at + 3]]
    if len(stated) < 3 or max(stated) > FINEST:
        raise ProtocolError("3", f"precision {stated}")
    return Precision(*stated)
