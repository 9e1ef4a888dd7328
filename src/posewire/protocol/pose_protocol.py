"""Bodies of every kind and version, behind one door."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from posewire.errors import DataValidationError, ProtocolError
from posewire.protocol import body_v1, body_v2
from posewire.protocol.audio_chunk import AudioChunk
from posewire.protocol.header import HEADER_BYTES, FrameType, Header
from posewire.protocol.inflate import inflate
from posewire.protocol.landmarks import to_pose_data
from posewire.protocol.opus_packet import OpusPacket
from posewire.protocol.pose_data import PoseData
from posewire.protocol.pose_decoder import PoseDecoder
from posewire.protocol.pose_encoder import ANCHOR_INTERVAL, KEYFRAME_INTERVAL, CodedPose, PoseEncoder
from posewire.protocol.pose_shape import DEFAULT_PRECISION
from posewire.protocol.precision import COARSEST, Precision
from posewire.values import shown

VERSIONS: Final = {"v1": 1, "v2": 2, "v3": 3}
_KEYFRAME_GAP: Final = 0.2
"""Seconds between keyframes, however many ask for one."""
_MOST_DECODERS: Final = 8
"""Streams of a member whose references are kept; then its own that was heard longest ago needs a keyframe."""


class PoseProtocol:
    """Turns poses, sound and events into bodies and back. Pure: no clock, no socket.

    It remembers, for version 3, what the frames of each stream refer to, until `reset`.

    Args:
        compression_level: zlib level, 0 (none) to 9 (smallest).
        compression_threshold: Bytes; a body at or below it is not worth compressing. None never compresses.
        version: Body version that `encode_pose` writes; all versions are read.
        precision: Steps of version 3.
        anchor_interval: Every so manyeth frame of version 3 is an anchor.
        keyframe_interval: Seconds between keyframes of version 3.

    Raises:
        DataValidationError: A level outside 0..9.
        ValueError: An unknown version.
    """

    def __init__(
        self,
        compression_level: int = 6,
        *,
        compression_threshold: int | None = 1024,
        version: str = "v3",
        precision: Precision = DEFAULT_PRECISION,
        anchor_interval: int = ANCHOR_INTERVAL,
        keyframe_interval: float = KEYFRAME_INTERVAL,
    ) -> None:
        if type(compression_level) is not int or not 0 <= compression_level <= 9:
            raise DataValidationError("compression_level", repr(compression_level), "expected 0 to 9")
        self.compression_level = compression_level
        self.compression_threshold = compression_threshold
        self.signing_key = b""
        """Signs v1 bodies: the key of the room, set on joining."""
        self.on_forget: Callable[[int | None], None] = lambda member: None
        """Called with the number of a member that left, or None when all of them mean others from now on."""
        self._version = VERSIONS["v3"]
        self._signed_us = 0
        self._precision = precision
        self._coarser = 0
        self._layered = False
        self._new_encoder = partial(
            PoseEncoder,
            anchor_interval=anchor_interval,
            keyframe_interval=keyframe_interval,
            keyframe_gap=_KEYFRAME_GAP,
        )
        self._encoders: dict[int, PoseEncoder] = {}
        self._decoders: dict[int, dict[int, PoseDecoder]] = {}
        """By member, then by stream: nobody's streams push out another's."""
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
        if not isinstance(version, str) or version not in VERSIONS:
            raise ValueError(f"protocol version {version!r}: expected one of {', '.join(VERSIONS)}")
        self._version = VERSIONS[version]

    def reset(self) -> None:
        """Forget the frames of all streams: their numbers mean others from now on."""
        self._encoders.clear()
        self._decoders.clear()
        self.on_forget(None)

    def restart(self) -> None:
        """Begin each of our streams with a keyframe: what was sent last may not have come."""
        self._encoders.clear()

    def forget(self, member: int) -> None:
        """Forget the frames of a member that left; its number may be given to another."""
        self._decoders.pop(member, None)
        self.on_forget(member)

    def request_keyframe(self, stream: int | None = None) -> None:
        """Make the next frame of one of our streams, or of all, a keyframe: somebody cannot read what comes.

        But not twice in 0.2 s.
        """
        for number, encoder in self._encoders.items():
            if stream in (None, number):
                encoder.request_keyframe()

    def coarsen(self, bits: int) -> None:
        """Send z, and all of the face, so many bits coarser than the precision of the settings, from the next frame on.

        For version 3; the next frames are keyframes when that changes anything.
        """
        self._coarser = bits
        for encoder in self._encoders.values():
            self._set_up(encoder)

    def layer(self, layered: bool) -> None:
        """Let a slow recipient do without most anchors, and keyframes be seldom; or not. For version 3."""
        self._layered = layered
        for encoder in self._encoders.values():
            self._set_up(encoder)

    def _set_up(self, encoder: PoseEncoder) -> None:
        full, bits = self._precision, self._coarser
        precision = Precision(full.xy, max(full.z - bits, COARSEST), full.visibility)
        face = Precision(max(full.xy - bits, COARSEST), precision.z, full.visibility)
        encoder.set_precision(precision, face=face, hands=precision)
        encoder.layered = self._layered

    def encode_pose(self, pose: PoseData, *, now: float, stream: int = 0, seq: int = 0) -> CodedPose:
        """Return ``pose`` in the current version, with the frame type and the reference that go into its header.

        Args:
            pose: What to encode.
            now: Seconds on the server's clock: what v1 signs, and v3 spaces keyframes by.
            stream: Its number.
            seq: Number of the frame; it grows with each.

        Raises:
            ProtocolError: Version 1 without a signing key.
        """
        if self._version == 3:
            encoder = self._encoders.get(stream)
            if encoder is None:
                encoder = self._encoders[stream] = self._new_encoder(self._precision)
                self._set_up(encoder)
            return encoder.encode(pose, seq=seq, time=now)
        if self._version == 2:
            body = body_v2.encode_pose(pose, threshold=self.compression_threshold, level=self.compression_level)
            return CodedPose(FrameType.KEY, 0, body)
        if not self.signing_key:
            raise ProtocolError("1", "no signing key: join a room first")
        body = body_v1.encode_pose(
            pose,
            key=self.signing_key,
            now=self._signing_time(now),
            threshold=self.compression_threshold,
            level=self.compression_level,
        )
        return CodedPose(FrameType.KEY, 0, body)

    def decode_pose(self, header: Header, packet: bytes, *, timestamp: float) -> PoseData:
        """Return the pose behind ``header``, stamped with ``timestamp``.

        ``packet`` comes from `Opener.open`, which checks seal and signature; here it is only read.

        Raises:
            MissingReference: It refers to a frame that did not come.
            ProtocolError: The body is not what the header says.
        """
        if header.version == 3:
            return self._decode_v3(header, packet[HEADER_BYTES:], timestamp)
        _only_key(header)
        if header.version == 2:
            return body_v2.decode_pose(packet[HEADER_BYTES:], timestamp=timestamp)
        pose = body_v1.read_pose(packet[HEADER_BYTES:])
        try:
            return PoseData(pose.pose_landmarks, pose.face_landmarks, pose.hand_landmarks, timestamp, pose.skeleton)
        except DataValidationError as exc:
            raise ProtocolError("1", f"undecodable pose: {exc}") from exc

    def encode_audio(self, sound: AudioChunk | OpusPacket) -> bytes:
        """Return the body of ``sound``."""
        if isinstance(sound, OpusPacket):
            return body_v2.encode_opus(sound)
        return body_v2.encode_audio(sound, threshold=self.compression_threshold, level=self.compression_level)

    def decode_audio(self, header: Header, packet: bytes, *, timestamp: float) -> AudioChunk | OpusPacket:
        """Return the sound behind ``header``, or the Opus that it is coded in.

        Raises:
            ProtocolError: The body is not what the header says.
        """
        _only_v2(header)
        return body_v2.decode_audio(packet[HEADER_BYTES:], timestamp=timestamp)

    def encode_event(self, name: str, data: Any, *, own: bool = False) -> bytes:
        """Return the body of an event: the application's, or our own.

        Raises:
            DataValidationError: The name or the data cannot travel.
        """
        return body_v2.encode_event(name, data, own=own)

    def decode_event(self, header: Header, packet: bytes) -> tuple[str, Any]:
        """Return name and data of the event behind ``header``.

        Raises:
            ProtocolError: The body is not what the header says.
        """
        _only_v2(header)
        return body_v2.decode_event(packet[HEADER_BYTES:])

    def _decode_v3(self, header: Header, body: bytes, timestamp: float) -> PoseData:
        streams = self._decoders.get(header.member, {})
        decoder = streams.get(header.stream) or PoseDecoder()
        pose = decoder.decode(header.frame_type, header.seq, header.ref, body, timestamp=timestamp)
        # Only now: what cannot be read is not remembered. The one heard last goes to the end.
        streams.pop(header.stream, None)
        streams[header.stream] = decoder
        if len(streams) > _MOST_DECODERS:
            del streams[next(iter(streams))]
        self._decoders[header.member] = streams
        return pose

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
            DataValidationError: They are no bytes.
        """
        if not isinstance(data, bytes | bytearray | memoryview):
            raise DataValidationError("data", shown(data), "expected bytes")
        return body_v1.pose_from_json(inflate(data, version=body_v1.VERSION))


def _only_key(header: Header) -> None:
    if header.ref or header.frame_type is not FrameType.KEY:
        raise ProtocolError(str(header.version), "bodies of versions 1 and 2 are keyframes")


def _only_v2(header: Header) -> None:
    _only_key(header)
    if header.version != 2:
        raise ProtocolError(str(header.version), f"{header.kind.name.lower()} bodies have version 2")
