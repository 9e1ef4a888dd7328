"""Numbers the frames of each stream and puts headers in front."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posewire.protocol import EVENT_STREAM, HEADER_BYTES, Delivery, FrameType, Kind, PacketWriter, unpack_header
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
    assert (header.frame_type, header.ref, header.sealed) == (FrameType.KEY, 0, False)


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


def test_after_the_last_number_comes_0(monkeypatch: pytest.MonkeyPatch) -> None:
    # Four numbers instead of four thousand million.
    monkeypatch.setattr("posewire.protocol.packet_writer.MAX_SEQ", 3)
    writer = PacketWriter()
    assert [seq_of(writer) for _ in range(6)] == [0, 1, 2, 3, 0, 1]
