"""Messages between a source and its process: whole, in order, however they are cut; and nothing else."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posewire.errors import PoseError, ProtocolError
from posewire.sources.messages import MAX_MESSAGE, Ended, Failed, Job, Message, Opened, Seen, framed, taken

MESSAGES = st.one_of(
    st.builds(Opened, st.integers(0, 9999), st.integers(0, 9999), st.floats(1, 1000), st.integers(0, 9999)),
    st.builds(Seen, st.floats(0, 1e9), st.floats(0, 10), st.integers(0, 9999), st.binary(max_size=100)),
    st.builds(Ended, st.integers(0, 9999)),
    st.just(Failed(PoseError("why").to_wire())),
)


@given(st.lists(MESSAGES, max_size=5), st.lists(st.integers(1, 50), min_size=1))
def test_messages_come_whole_however_they_are_cut(messages: list[Message], cuts: list[int]) -> None:
    data = b"".join(framed(message) for message in messages)
    buffer = bytearray()
    came: list[Message] = []
    at = 0
    for index in range(len(data)):
        size = cuts[index % len(cuts)]
        buffer += data[at : at + size]
        came += taken(buffer)
        at += size
    assert came == messages
    assert not buffer


@given(st.binary(max_size=200))
def test_garbage_is_refused_in_one_way_only(data: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        taken(bytearray(data))


def test_a_message_without_end_is_refused_before_it_is_kept() -> None:
    with pytest.raises(ProtocolError, match="expected at most"):
        taken(bytearray((MAX_MESSAGE + 1).to_bytes(4, "little")))
    with pytest.raises(ProtocolError, match="undecodable"):
        taken(bytearray(b"\x01\x00\x00\x00\xc1"))


def test_what_is_looked_at_has_a_name() -> None:
    assert Job(backend="", video="a.mp4").name == "a.mp4"
    assert Job(backend="", camera=2).name == "camera 2"
