"""Opus in a body of version 2."""

from __future__ import annotations

import zlib
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from posewire.errors import DataValidationError, ProtocolError
from posewire.protocol import AudioChunk, OpusPacket
from posewire.protocol.body_v2 import decode_audio, encode_audio, encode_opus
from posewire.protocol.opus_packet import MAX_OPUS_BYTES

PACKET = OpusPacket(b"\x48abc", 2, 7, b"\x48xyz", 5.0)


def body(*fields: Any) -> bytes:
    return b"\0" + msgspec.msgpack.encode(fields)


@given(
    data=st.binary(min_size=1, max_size=200),
    channels=st.sampled_from((1, 2)),
    number=st.integers(0, 2**32 - 1),
    previous=st.binary(max_size=200),
)
def test_round_trip(data: bytes, channels: int, number: int, previous: bytes) -> None:
    packet = OpusPacket(data, channels, number, previous, 3.0)
    assert decode_audio(encode_opus(packet), timestamp=3.0) == packet


def test_what_is_on_the_wire() -> None:
    assert encode_opus(PACKET) == body(48_000, 2, "opus", b"\x48abc", 7, b"\x48xyz")


def test_more_fields_are_ignored_and_fewer_are_none() -> None:
    whole = (48_000, 2, "opus", b"\x48abc", 7, b"\x48xyz")
    assert decode_audio(body(*whole, "later"), timestamp=5.0) == PACKET
    assert decode_audio(body(*whole[:4]), timestamp=5.0) == OpusPacket(b"\x48abc", 2, 0, b"", 5.0)
    with pytest.raises(ProtocolError):
        decode_audio(body(*whole[:3]), timestamp=5.0)


def test_pcm_is_as_it_was() -> None:
    chunk = AudioChunk(np.arange(4, dtype=np.int16), 48_000, 1.0)
    assert encode_audio(chunk, threshold=None, level=6) == body(48_000, 1, "i2", chunk.samples.tobytes())
    # A later version may append to it too.
    assert decode_audio(body(48_000, 1, "i2", chunk.samples.tobytes(), 5, b"x"), timestamp=1.0) == chunk


@pytest.mark.parametrize(
    "fields",
    [
        (44_100, 2, "opus", b"abc", 7, b""),
        (48_000, 3, "opus", b"abc", 7, b""),
        (48_000, 0, "opus", b"abc", 7, b""),
        (48_000, 2, "opus", b"", 7, b""),
        (48_000, 2, "opus", b"a" * (MAX_OPUS_BYTES + 1), 7, b""),
        (48_000, 2, "opus", b"abc", 7, b"a" * (MAX_OPUS_BYTES + 1)),
        (48_000, 2, "opus", b"abc", -1, b""),
        (48_000, 2, "opus", b"abc", 2**32, b""),
        (48_000, 2, "opus", "abc", 7, b""),
        (48_000, 2, "opus", b"abc", 1.5, b""),
        (48_000, 2, "opus", b"abc", 7, None),
        (48_000, 2, "flac", b"abc", 7, b""),
    ],
    ids=repr,
)
def test_refused(fields: tuple[Any, ...]) -> None:
    with pytest.raises(ProtocolError):
        decode_audio(body(*fields), timestamp=1.0)


def test_it_is_never_compressed() -> None:
    squeezed = b"\1" + zlib.compress(encode_opus(PACKET)[1:])
    with pytest.raises(ProtocolError, match="or compressed"):
        decode_audio(squeezed, timestamp=1.0)


def test_a_packet_says_what_it_cannot_be() -> None:
    with pytest.raises(DataValidationError, match="Invalid channels: 3"):
        OpusPacket(b"a", 3, 0)
    with pytest.raises(DataValidationError, match="Invalid number"):
        OpusPacket(b"a", 1, 2**32)
    with pytest.raises(DataValidationError, match="0 and 0 bytes - expected 1 to 4000"):
        OpusPacket(b"", 1, 0)
