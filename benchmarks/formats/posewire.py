"""Posewire's body versions: from a checked `PoseData` to a checked `PoseData`. Bytes are the body's, no header."""

from __future__ import annotations

from typing import Final

from benchmarks.formats.format import Format, Frame, Layout
from posewire.protocol import CodedPose, PoseData, PoseDecoder, PoseEncoder, Precision, body_v1, body_v2

_THRESHOLD: Final = 1024
_LEVEL: Final = 6
"""Both as a session has them by default."""
_KEY: Final = b"a signing key of the room, 32 by"


class PosewireV1(Format[PoseData, bytes]):
    """The specification's JSON, zlib, base64 and JWT, as Posewire writes it."""

    def prepare(self, frame: Frame) -> PoseData:
        return frame.pose

    def encode(self, source: PoseData) -> bytes:
        return body_v1.encode_pose(source, key=_KEY, now=source.timestamp, threshold=_THRESHOLD, level=_LEVEL)

    def decode(self, coded: bytes) -> PoseData:
        return body_v1.decode_pose(coded, key=_KEY)


class PosewireV2(Format[PoseData, bytes]):
    """Float32 in msgpack, zlib where it helps."""

    def prepare(self, frame: Frame) -> PoseData:
        return frame.pose

    def encode(self, source: PoseData) -> bytes:
        return body_v2.encode_pose(source, threshold=_THRESHOLD, level=_LEVEL)

    def decode(self, coded: bytes) -> PoseData:
        return body_v2.decode_pose(coded, timestamp=1.0)


class PosewireV3(Format[PoseData, CodedPose]):
    """Quantised deltas, as a sender makes them: keyframe every 2 s, an anchor every 4th frame.

    Args:
        layout: Landmarks of each part.
        finer: Halves every default step that often; negative doubles it.
    """

    def __init__(self, layout: Layout, *, finer: int = 0) -> None:
        super().__init__(layout)
        default = Precision()
        self._encoder = PoseEncoder(
            Precision(xy=default.xy + finer, z=default.z + finer, visibility=default.visibility + finer)
        )
        self._decoder = PoseDecoder()
        self._sent = self._received = 0

    def prepare(self, frame: Frame) -> PoseData:
        return frame.pose

    def encode(self, source: PoseData) -> CodedPose:
        self._sent += 1
        return self._encoder.encode(source, seq=self._sent, time=source.timestamp)

    def decode(self, coded: CodedPose) -> PoseData:
        self._received += 1
        return self._decoder.decode(coded.frame_type, self._received, coded.ref, coded.body, timestamp=1.0)

    def size(self, coded: CodedPose) -> int:
        return len(coded.body)
