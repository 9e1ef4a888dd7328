"""Bodies of every kind and version, behind one door."""

from __future__ import annotations

import zlib
from typing import Any, Final

from posewire.errors import DataValidationError, ProtocolError
from posewire.protocol import body_v1, body_v2
from posewire.protocol.audio_chunk import AudioChunk
from posewire.protocol.header import HEADER_BYTES, FrameType, Header
from posewire.protocol.inflate import inflate
from posewire.protocol.landmarks import to_pose_data
from posewire.protocol.pose_data import PoseData

VERSIONS: Final = {"v1": 1, "v2": 2}


class PoseProtocol:
    """Turns poses, sound and events into bodies and back. Pure: no clock, no socket.

    Args:
        compression_level: zlib level, 0 (none) to 9 (smallest).
        compression_threshold: Bytes; a body at or below it is not worth compressing. None never compresses.
        version: Body version that `encode_pose` writes; all versions are read.

    Raises:
        DataValidationError: A level outside 0..9.
        ValueError: An unknown version.
    """

    def __init__(
        self, compression_level: int = 6, *, compression_threshold: int | None = 1024, version: str = "v2"
    ) -> None:
        if type(compression_level) is not int or not 0 <= compression_level <= 9:
            raise DataValidationError("compression_level", repr(compression_level), "expected 0 to 9")
        self.compression_level = compression_level
        self.compression_threshold = compression_threshold
        self.signing_key = b""
        """Signs v1 bodies: the key of the room, set on joining."""
        self._version = VERSIONS["v2"]
        self._signed_us = 0
        self.set_version(version)

    @property
    def version(self) -> str:
        """The version poses are written in."""
        return f"v{self._version}"

    @property
    def body_version(self) -> int:
        """The same as the number in the header."""
        return self._version

    def set_version(self, version: str) -> None:
        """Write poses in ``version`` from the next one on.

        Raises:
            ValueError: There is no such version; the old one stays.
        """
        if version not in VERSIONS:
            raise ValueError(f"protocol version {version!r}: expected one of {', '.join(VERSIONS)}")
        self._version = VERSIONS[version]

    def encode_pose(self, pose: PoseData, *, now: float) -> bytes:
        """Return the body of ``pose`` in the current version; ``now`` is the time v1 stamps and signs, seconds."""
        if self._version == 1:
            if not self.signing_key:
                raise ProtocolError("1", "no signing key: join a room first")
            return body_v1.encode_pose(
                pose,
                key=self.signing_key,
                now=self._signing_time(now),
                threshold=self.compression_threshold,
                level=self.compression_level,
            )
        return body_v2.encode_pose(pose, threshold=self.compression_threshold, level=self.compression_level)

    def decode_pose(self, header: Header, packet: bytes, *, timestamp: float) -> PoseData:
        """Return the pose behind ``header``, stamped with ``timestamp``.

        ``packet`` comes from `Opener.open`, which checks seal and signature; here it is only read.

        Raises:
            ProtocolError: The body is not what the header says.
        """
        _only_plain(header)
        if header.version == 2:
            return body_v2.decode_pose(packet[HEADER_BYTES:], timestamp=timestamp)
        pose = body_v1.read_pose(packet[HEADER_BYTES:])
        try:
            return PoseData(pose.pose_landmarks, pose.face_landmarks, pose.hand_landmarks, timestamp, pose.skeleton)
        except DataValidationError as exc:
            raise ProtocolError("1", f"undecodable pose: {exc}") from exc

    def encode_audio(self, chunk: AudioChunk) -> bytes:
        """Return the body of ``chunk``."""
        return body_v2.encode_audio(chunk, threshold=self.compression_threshold, level=self.compression_level)

    def decode_audio(self, header: Header, packet: bytes, *, timestamp: float) -> AudioChunk:
        """Return the sound behind ``header``.

        Raises:
            ProtocolError: The body is not what the header says.
        """
        _only_v2(header)
        return body_v2.decode_audio(packet[HEADER_BYTES:], timestamp=timestamp)

    def encode_event(self, name: str, data: Any) -> bytes:
        """Return the body of an application event.

        Raises:
            DataValidationError: The name or the data cannot travel.
        """
        return body_v2.encode_event(name, data)

    def decode_event(self, header: Header, packet: bytes) -> tuple[str, Any]:
        """Return name and data of the event behind ``header``.

        Raises:
            ProtocolError: The body is not what the header says.
        """
        _only_v2(header)
        return body_v2.decode_event(packet[HEADER_BYTES:])

    def _signing_time(self, now: float) -> float:
        # A coarse clock shows one time twice, and a receiver takes the second for a replay of the first.
        signed_us = round(now * 1e6)
        if 0 <= self._signed_us - signed_us < 1_000_000:
            signed_us = self._signed_us + 1
        self._signed_us = signed_us
        return signed_us / 1e6

    # The specification's helpers -------------------------------------------------------------------------------------

    def encode_landmarks(self, landmarks: Any) -> list[dict[str, float]]:
        """Return landmarks of any accepted form as dicts of x, y, z and visibility (1.0 where there is none)."""
        array = to_pose_data(landmarks).pose_landmarks
        if array is None:
            raise DataValidationError("landmarks", None, "expected pose landmarks")
        return [dict(zip(("x", "y", "z", "visibility"), row, strict=True)) for row in array.tolist()]

    def compress_data(self, data: Any) -> bytes:
        """Return zlib of a pose's JSON; ``data`` is anything `to_pose_data` takes."""
        return zlib.compress(body_v1.pose_to_json(to_pose_data(data)), self.compression_level)

    def decompress_data(self, data: bytes) -> PoseData:
        """Return the pose that `compress_data` packed.

        Raises:
            ProtocolError: It is not that; the specification returns None, which hides the damage.
        """
        return body_v1.pose_from_json(inflate(data, version=body_v1.VERSION))


def _only_plain(header: Header) -> None:
    if header.ref or header.frame_type is not FrameType.KEY:
        raise ProtocolError(str(header.version), "bodies of versions 1 and 2 are keyframes")


def _only_v2(header: Header) -> None:
    _only_plain(header)
    if header.version != 2:
        raise ProtocolError(str(header.version), f"{header.kind.name.lower()} bodies have version 2")
