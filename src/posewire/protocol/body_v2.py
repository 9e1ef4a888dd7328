"""Body version 2: one flag byte, then msgpack; zlib over the msgpack where it helps.

Arrays travel as their bytes, little-endian, row by row, so a number comes out as it went in. Audio and events always
use this version.
"""

from __future__ import annotations

import gc
import math
import zlib
from typing import Any, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from posewire.errors import DataValidationError, ProtocolError
from posewire.limits import MAX_EVENT_BYTES, MAX_NAME_CHARS
from posewire.protocol.audio_chunk import AudioChunk, Samples
from posewire.protocol.inflate import inflate
from posewire.protocol.opus_packet import OPUS_RATE, OpusPacket
from posewire.protocol.pose_data import DEFAULT_SKELETON, Landmarks, PoseData

VERSION = "2"
RESERVED_EVENTS = frozenset(
    {"connect", "disconnect", "reconnect", "bye", "room", "presence", "keyframe", "quality", "drop", "clock", "alert"}
    | {"frame", "ack", "report", "confirm", "notice", "endpoint", "synchronization"}
)
"""What a session tells its own handlers; a member must not be able to say it."""
OWN_PREFIX = "posewire:"
"""Begins the names of events that sessions tell each other."""
_RAW, _ZLIB = b"\x00", b"\x01"


class _Pose(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """New fields go last, with a default."""

    pose: bytes | None
    face: bytes | None
    hands: bytes | None
    skeleton: str = DEFAULT_SKELETON


class _Audio(msgspec.Struct, array_like=True, frozen=True, gc=False):
    sample_rate: int
    channels: int
    format: str
    """``i2`` for int16, ``f4`` for float32."""
    samples: bytes


class _Opus(msgspec.Struct, array_like=True, frozen=True, gc=False):
    sample_rate: int
    channels: int
    format: str
    data: bytes
    number: int
    previous: bytes


class _Sound(_Audio, array_like=True, frozen=True, gc=False):
    """Either of the two, as it is read."""

    number: int = 0
    previous: bytes = b""


class _Event(msgspec.Struct, array_like=True, frozen=True):
    name: str
    data: Any = None


_T = TypeVar("_T")
_encode = msgspec.msgpack.Encoder().encode
_pose_decoder = msgspec.msgpack.Decoder(_Pose)
_sound_decoder = msgspec.msgpack.Decoder(_Sound)
_event_decoder = msgspec.msgpack.Decoder(_Event)


def encode_pose(pose: PoseData, *, threshold: int | None, level: int) -> bytes:
    """Return the body of ``pose``; zlib when it is over ``threshold`` bytes (None: never) and gets smaller."""
    pose_, face, hands = (
        None if part is None else _little(part, "<f4")
        for part in (pose.pose_landmarks, pose.face_landmarks, pose.hand_landmarks)
    )
    return _pack(_Pose(pose_, face, hands, pose.skeleton), threshold, level)


def decode_pose(body: bytes, *, timestamp: float) -> PoseData:
    """Return the pose in ``body``; its time comes from the header.

    Raises:
        ProtocolError: Not a pose of version 2.
    """
    read = _unpack(body, _pose_decoder)
    try:
        return PoseData(
            _floats(read.pose, (-1, 4)),
            _floats(read.face, (-1, 4)),
            _floats(read.hands, (2, -1, 4)),
            timestamp,
            read.skeleton,
        )
    except DataValidationError as exc:
        raise ProtocolError(VERSION, f"undecodable pose: {exc}") from exc


def encode_audio(chunk: AudioChunk, *, threshold: int | None, level: int) -> bytes:
    """Return the body of ``chunk``."""
    kind = "i2" if chunk.samples.dtype == np.int16 else "f4"
    audio = _Audio(chunk.sample_rate, chunk.channels, kind, _little(chunk.samples, f"<{kind}"))
    return _pack(audio, threshold, level)


def encode_opus(packet: OpusPacket) -> bytes:
    """Return the body of ``packet``; it is as small as it gets."""
    return _RAW + _encode(_Opus(OPUS_RATE, packet.channels, "opus", packet.data, packet.number, packet.previous))


def decode_audio(body: bytes, *, timestamp: float) -> AudioChunk | OpusPacket:
    """Return the sound in ``body``, or the Opus that it is coded in; its time comes from the header.

    Raises:
        ProtocolError: Not audio of version 2.
    """
    read = _unpack(body, _sound_decoder)
    try:
        if read.format == "opus":
            if read.sample_rate != OPUS_RATE or body[:1] != _RAW:
                raise ProtocolError(VERSION, f"Opus at {read.sample_rate} samples a second, or compressed")
            return OpusPacket(read.samples, read.channels, read.number, read.previous, timestamp)
        if read.format not in ("i2", "f4"):
            raise ProtocolError(VERSION, f"unknown sample format {read.format!r}")
        wire: npt.NDArray[Any] = np.frombuffer(read.samples, dtype=f"<{read.format}")
        samples: Samples = wire.astype(np.int16) if read.format == "i2" else wire.astype(np.float32)
        return AudioChunk(samples.reshape(-1, read.channels), read.sample_rate, timestamp)
    except ProtocolError:
        raise
    except ValueError as exc:  # numpy's, or DataValidationError
        raise ProtocolError(VERSION, f"undecodable audio: {exc}") from exc


def encode_event(name: str, data: Any, *, own: bool = False) -> bytes:
    """Return the body of an event.

    Args:
        name: Its name.
        data: Anything msgpack can hold.
        own: It is one that sessions tell each other, not the application.

    Raises:
        DataValidationError: A bad name, data that msgpack has no form for, or too much of it.
    """
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME_CHARS:
        raise DataValidationError("event name", repr(name), f"expected 1 to {MAX_NAME_CHARS} characters")
    if not own and (name in RESERVED_EVENTS or name.startswith(OWN_PREFIX)):
        raise DataValidationError("event name", repr(name), "expected another; the session itself uses this one")
    try:
        body = _RAW + _encode(_Event(name, data))
    except (TypeError, ValueError, OverflowError, RecursionError) as exc:
        raise DataValidationError("event data", type(data).__name__, f"cannot be encoded: {exc}") from None
    if len(body) > MAX_EVENT_BYTES:
        raise DataValidationError("event data", f"{len(body)} bytes", f"expected at most {MAX_EVENT_BYTES}")
    return body


def decode_event(body: bytes) -> tuple[str, Any]:
    """Return name and data of the event in ``body``.

    Raises:
        ProtocolError: Not an event.
    """
    if len(body) > MAX_EVENT_BYTES:
        raise ProtocolError(VERSION, f"event of {len(body)} bytes is over the limit of {MAX_EVENT_BYTES}")
    if body[:1] != _RAW:
        raise ProtocolError(VERSION, "events are not compressed")
    # Nothing that is being built is garbage yet, but ten thousand small lists make the collector look through all there
    # is, which takes it 20 ms where the lists take 1.
    collecting = gc.isenabled()
    gc.disable()
    try:
        event = _unpack(body, _event_decoder)
    finally:
        if collecting:
            gc.enable()
    if event.name in RESERVED_EVENTS:
        raise ProtocolError(VERSION, f"event name {event.name!r} is reserved")
    if not 0 < len(event.name) <= MAX_NAME_CHARS:
        raise ProtocolError(VERSION, f"event name of {len(event.name)} characters")
    return event.name, event.data


def _pack(struct: msgspec.Struct, threshold: int | None, level: int) -> bytes:
    packed = _encode(struct)
    if threshold is not None and len(packed) > threshold:
        smaller = zlib.compress(packed, level)
        if len(smaller) < len(packed):
            return _ZLIB + smaller
    return _RAW + packed


def _unpack(body: bytes, decoder: msgspec.msgpack.Decoder[_T]) -> _T:
    flag, packed = body[:1], body[1:]
    if flag == _ZLIB:
        packed = inflate(packed, version=VERSION)
    elif flag != _RAW:
        raise ProtocolError(VERSION, f"unknown body flag {flag.hex() or 'none'}")
    try:
        return decoder.decode(packed)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        # The last two are not MsgspecErrors, yet a stranger's bytes can raise them.
        raise ProtocolError(VERSION, f"undecodable body of {len(body)} bytes: {exc}") from exc


def _little(array: Samples | Landmarks, dtype: str) -> bytes:
    return array.astype(dtype, copy=False).tobytes()


def _floats(data: bytes | None, shape: tuple[int, ...]) -> Landmarks | None:
    if data is None:
        return None
    if len(data) % (16 * math.prod(size for size in shape[:-1] if size > 0)):
        raise DataValidationError("landmarks", f"{len(data)} bytes", "expected whole landmarks of four float32")
    array = np.frombuffer(data, dtype="<f4").reshape(shape)
    return array.astype(np.float32, copy=False)
