"""The way to a client of the default parser beside those of others."""

from __future__ import annotations

from collections import deque

import pytest

from posewire.protocol.default_parser import FRAME_HEAD
from posewire.server import fast_path
from posewire.server.default_outlet import DefaultOutlet
from posewire.server.fast_path import Outgoing, outgoing_event
from posewire.server.outlet import post_all
from tests.unit.server.client import A, Client, pose, wires


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch) -> tuple[Client, Client, Client]:
    """Of msgpack, and two of the default parser."""
    return Client(monkeypatch), Client(monkeypatch, kind=DefaultOutlet), Client(monkeypatch, kind=DefaultOutlet)


def test_each_is_written_its_own(clients: tuple[Client, Client, Client]) -> None:
    outlets = [client.outlet for client in clients]
    mails = [pose(seq) for seq in range(3)]
    for mail in mails:
        assert post_all(outlets, mail, deque(), clients[0].time) == 3
    binary, *texts = clients
    assert binary.written == wires(*mails)
    for text in texts:
        assert text.written == [mail.outgoing.default_wire for mail in mails]
        assert text.written[0][2:].startswith(b"4" + FRAME_HEAD.encode())
        assert text.outlet.frames == 3
        assert text.outlet.backlog.written == sum(map(len, text.written))
    note = outgoing_event("notice", {"code": "x"})
    for client in clients:
        client.outlet.tell(note)
    assert texts[0].written[-1] == note.default_wire
    assert b"notice" in texts[0].written[-1]


def test_it_is_encoded_once_and_only_when_somebody_wants_it(
    clients: tuple[Client, Client, Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[bytes] = []
    default_messages = fast_path.default_messages

    def counted(message: bytes) -> tuple[str | bytes, ...]:
        encoded.append(message)
        return default_messages(message)

    monkeypatch.setattr(fast_path, "default_messages", counted)
    binary, *texts = (client.outlet for client in clients)
    post_all([binary, binary], pose(0), deque(), 1000.0)
    binary.tell(Outgoing(b"note"))
    assert encoded == []
    post_all([binary, *texts], pose(1), deque(), 1000.0)
    assert len(encoded) == 1


def test_what_waits_goes_out_in_its_own_encoding(clients: tuple[Client, Client, Client]) -> None:
    *_, text = clients  # whose clock holds
    text.stick()
    mails = [pose(1), pose(2, A, 1)]
    assert text.post(*mails) == [True, True]
    assert text.written == []
    text.recover()
    assert not text.flush()
    assert text.written[-2:] == [mail.outgoing.default_wire for mail in mails]


def test_a_transport_that_is_full(clients: tuple[Client, Client, Client]) -> None:
    *_, text = clients  # whose clock holds
    text.buffered = 1
    assert text.post(pose(1), pose(2)) == [True, True]
    assert text.written == []
    text.buffered = 0
    text.flush()
    assert text.written == [pose(2).outgoing.default_wire], "the newest"
