"""Numbers the frames of each stream and puts headers in front."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posewire.errors import ProtocolError
from posewire.protocol import (
    EVENT_STREAM,
    HEADER_BYTES,
    Delivery,
    FrameType,
    Kind,
    PacketWriter,
    RoomSeal,
    Seal,
    SealKey,
    unpack_header,
)
from posewire.protocol.header import BODY_VERSIONS
from tests.unit.strategies import uints


def seq_of(writer: PacketWriter, stream: int = 1) -> int:
    packet = writer.write(Kind.POSE, Delivery.LATEST, stream, version=2, captured_us=0, body=b"")
    return unpack_header(packet).seq


@given(
    st.sampled_from(Kind),
    st.sampled_from(Delivery),
    uints(8),
    uints(16),
    st.sampled_from(BODY_VERSIONS),
    uints(64),
    st.binary(max_size=60),
)
def test_a_packet_is_header_and_body(
    kind: Kind, delivery: Delivery, stream: int, member: int, version: int, captured_us: int, body: bytes
) -> None:
    writer = PacketWriter()
    writer.reset(member)
    packet = writer.write(kind, delivery, stream, version=version, captured_us=captured_us, body=body)
    header = unpack_header(packet)
    assert packet[HEADER_BYTES:] == body
    assert (header.kind, header.delivery, header.stream, header.member) == (kind, delivery, stream, member)
    assert (header.version, header.captured_us, header.seq) == (version, captured_us, 0)
    assert (header.frame_type, header.ref, header.seal) == (FrameType.KEY, 0, Seal.NONE)


@given(st.lists(st.integers(0, 3), max_size=40))
def test_each_stream_counts_for_itself(streams: list[int]) -> None:
    writer = PacketWriter()
    assert [seq_of(writer, stream) for stream in streams] == [
        streams[:index].count(stream) for index, stream in enumerate(streams)
    ]


def test_another_member_starts_anew() -> None:
    writer = PacketWriter()
    assert writer.member == 0
    assert [seq_of(writer), seq_of(writer)] == [0, 1]
    writer.reset(7)
    assert writer.member == 7
    assert [seq_of(writer), seq_of(writer, EVENT_STREAM)] == [0, 0]


@given(st.sampled_from(FrameType), uints(16), st.sampled_from((None, Seal.MAC, Seal.AEAD)), st.sampled_from((2, 3)))
def test_frame_type_and_reference_go_into_the_header(
    frame_type: FrameType, ref: int, mode: Seal | None, version: int
) -> None:
    writer = PacketWriter()
    writer.reset(1, None if mode is None else key(mode))
    packet = writer.write(
        Kind.POSE, Delivery.LATEST, 1, version=version, captured_us=5, body=b"body", frame_type=frame_type, ref=ref
    )
    opened = packet if mode is None else key(mode).open(packet)
    assert opened is not None, "the seal is over what the header says"
    found = unpack_header(packet)
    assert (found.frame_type, found.ref, found.seal) == (frame_type, ref, mode or Seal.NONE)
    assert (found.version, found.seq, found.captured_us, opened[HEADER_BYTES:]) == (version, 0, 5, b"body")


def test_the_next_number_is_the_one_that_is_written() -> None:
    writer = PacketWriter()
    for stream, expected in ((1, 0), (1, 1), (2, 0), (1, 2)):
        assert writer.next_seq(stream) == writer.next_seq(stream) == expected, "looking takes none"
        assert seq_of(writer, stream) == expected
    writer.reset(2)
    assert (writer.next_seq(1), writer.next_seq(9)) == (0, 0)


def key(mode: Seal) -> SealKey:
    return RoomSeal(mode, b"secret" * 6, "studio").key_of("alice", bytes(16))


@pytest.mark.parametrize("sealed", [None, Seal.MAC, Seal.AEAD])
def test_after_the_last_number_comes_none(monkeypatch: pytest.MonkeyPatch, sealed: Seal | None) -> None:
    # Four numbers instead of four thousand million.
    monkeypatch.setattr("posewire.protocol.packet_writer.MAX_SEQ", 3)
    writer = PacketWriter()
    writer.reset(1, None if sealed is None else key(sealed))
    assert [seq_of(writer) for _ in range(4)] == [0, 1, 2, 3]
    for _ in range(3):
        with pytest.raises(ProtocolError, match="stream 1 has no number left"):
            seq_of(writer)
        with pytest.raises(ProtocolError, match="stream 1 has no number left"):
            writer.next_seq(1)
    assert seq_of(writer, 2) == 0


@pytest.mark.parametrize(
    ("mode", "version", "seal"),
    [
        (Seal.MAC, 1, Seal.NONE),
        (Seal.MAC, 2, Seal.MAC),
        (Seal.MAC, 3, Seal.MAC),
        (Seal.AEAD, 1, Seal.AEAD),
        (Seal.AEAD, 2, Seal.AEAD),
        (Seal.AEAD, 3, Seal.AEAD),
    ],
)
def test_only_v1_goes_without_a_mac(mode: Seal, version: int, seal: Seal) -> None:
    writer = PacketWriter()
    writer.reset(1, key(mode))
    packet = writer.write(Kind.POSE, Delivery.LATEST, 1, version=version, captured_us=0, body=b"body")
    assert unpack_header(packet).seal is seal
    opened = packet if seal is Seal.NONE else key(mode).open(packet)
    assert opened is not None
    assert opened[HEADER_BYTES:] == b"body"


@pytest.mark.parametrize("mode", [Seal.MAC, Seal.AEAD])
def test_a_key_that_was_used_is_not_used_again(mode: Seal) -> None:
    writer, used = PacketWriter(), key(mode)
    writer.reset(1, used)
    assert [seq_of(writer), seq_of(writer)] == [0, 1]
    writer.reset(1, used)
    with pytest.raises(ProtocolError, match="seq 0 of stream 1 was sealed before"):
        seq_of(writer)
