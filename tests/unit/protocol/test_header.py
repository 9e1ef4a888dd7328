"""The 19 bytes in front of every body."""

from __future__ import annotations

import struct
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from posewire.errors import ProtocolError
from posewire.protocol import HEADER_BYTES, Delivery, FrameType, Header, Kind, Seal, unpack_header
from posewire.protocol.header import BODY_VERSIONS, MAX_SEQ
from tests.unit.strategies import bit_flips, headers, unless_refused

HEADER = Header(2, Kind.AUDIO, Delivery.ORDERED, FrameType.LEAF, 7, 513, 0x01020304, 9, 1_700_000_000_123_456, Seal.MAC)


def test_19_bytes_in_the_order_of_the_description() -> None:
    assert HEADER_BYTES == 19
    expected = struct.pack("<BBBHIHQ", 0x12, 0x65, 7, 513, 0x01020304, 9, 1_700_000_000_123_456)
    assert HEADER.pack() == expected
    assert unpack_header(expected) == HEADER


@given(headers, st.binary(max_size=40))
def test_round_trip(header: Header, body: bytes) -> None:
    packed = header.pack()
    assert len(packed) == HEADER_BYTES
    found = unpack_header(packed + body)
    assert found == header
    assert (type(found.kind), type(found.delivery), type(found.frame_type), type(found.seal)) == (
        Kind,
        Delivery,
        FrameType,
        Seal,
    )


@pytest.mark.parametrize("version", BODY_VERSIONS)
@pytest.mark.parametrize("seal", Seal)
def test_every_version_and_flag(version: int, seal: Seal) -> None:
    seen = set()
    for kind in Kind:
        for delivery in Delivery:
            for frame_type in FrameType:
                header = Header(version, kind, delivery, frame_type, 1, 1, 0, 0, 0, seal)
                assert unpack_header(header.pack()) == header
                seen.add(header.pack())
    assert len(seen) == 27


def test_frozen_and_unsealed_unless_it_says_so() -> None:
    header = Header(1, Kind.POSE, Delivery.LATEST, FrameType.KEY, 1, 1, 0, 0, 0)
    assert header.seal is Seal.NONE
    with pytest.raises(AttributeError):
        header.seq = 1  # type: ignore[misc]


@given(headers, st.integers(0, HEADER_BYTES - 1))
def test_cut_short(header: Header, size: int) -> None:
    with pytest.raises(ProtocolError, match=f"packet of {size} bytes is shorter than its header"):
        unpack_header(header.pack()[:size])


@given(st.binary(min_size=HEADER_BYTES, max_size=HEADER_BYTES + 8))
@example(bytes(HEADER_BYTES))
@example(b"\xff" * HEADER_BYTES)
def test_any_bytes_are_refused_or_mean_exactly_what_they_say(data: bytes) -> None:
    header = unless_refused(unpack_header, data)
    assert header is None or header.pack() == data[:HEADER_BYTES]


def test_one_bit_changed_is_refused_or_another_header() -> None:
    found = [unless_refused(unpack_header, data) for data in bit_flips(HEADER.pack())]
    assert HEADER not in found
    # Format and version, and the flags without a meaning; any bit of the numbers is another number.
    assert None in found[:8]
    assert found[8 + 7] is None  # both bits of the seal
    assert None not in found[16:]


@pytest.mark.parametrize("first", [0x02, 0x22, 0xF2, 0x10, 0x14, 0x1F, 0x00])
def test_unknown_format_or_version(first: int) -> None:
    with pytest.raises(ProtocolError, match=f"unknown format {first >> 4}, body version {first & 15}"):
        unpack_header(bytes([first]) + HEADER.pack()[1:])


@pytest.mark.parametrize("flags", [0b11, 0b1100, 0b110000, 0b11000000, 0xFF])
def test_flags_without_a_meaning(flags: int) -> None:
    with pytest.raises(ProtocolError, match=f"flags {flags:#04x} have no meaning"):
        unpack_header(HEADER.pack()[:1] + bytes([flags]) + HEADER.pack()[2:])


@pytest.mark.parametrize(
    ("field", "greatest"),
    [("stream", 255), ("member", 0xFFFF), ("seq", MAX_SEQ), ("ref", 0xFFFF), ("captured_us", (1 << 64) - 1)],
)
def test_a_field_holds_this_much_and_no_more(field: str, greatest: int) -> None:
    header: Any = msgspec.structs.replace(HEADER, **{field: greatest})
    assert getattr(unpack_header(header.pack()), field) == greatest
    for value in (greatest + 1, -1):
        with pytest.raises(struct.error):
            msgspec.structs.replace(HEADER, **{field: value}).pack()


def test_a_memoryview_will_do() -> None:
    assert unpack_header(memoryview(HEADER.pack() + b"body")) == HEADER  # type: ignore[arg-type]
