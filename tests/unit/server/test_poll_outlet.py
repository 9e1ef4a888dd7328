"""The way to a client that asks for what there is, and what takes the place of its transport."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from types import SimpleNamespace
from typing import Any

import pytest

from posewire import clock
from posewire.config import ServerConfig
from posewire.server.fast_path import Outgoing, outgoing_event
from posewire.server.flusher import Flusher
from posewire.server.poll_outlet import PollOutlet
from posewire.server.poll_session import PollSession
from tests.unit.server.client import A, pose


class Poller:
    """A session whose clock stands still, and its outlet."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, default: bool = True) -> None:
        self.time = 1000.0
        monkeypatch.setattr(clock, "monotonic", lambda: self.time)
        monkeypatch.setattr(clock, "now", lambda: self.time)
        self.socket: Any = SimpleNamespace(
            sid="sid", closed=False, closing=False, upgrading=False, upgraded=False, queue=asyncio.Queue()
        )
        self.aborted: list[PollSession] = []
        self.reasons: list[str] = []
        self.session = PollSession(self.socket, self.aborted.append)
        flusher = Flusher()
        monkeypatch.setattr(flusher, "add", lambda outlet: None)
        self.outlet = PollOutlet(
            self.session,
            default=default,
            flusher=flusher,
            drops=Counter(),
            config=ServerConfig(),
            give_up=self.reasons.append,
            ask_keyframe=lambda key: None,
        )

    def asked(self) -> list[str | bytes]:
        """Ask, and return what engine.io would answer with: its messages in base64 where they are bytes."""
        self.session.polled()
        return self.queued()

    def queued(self) -> list[str | bytes]:
        got = []
        while not self.socket.queue.empty():
            got.append(self.socket.queue.get_nowait().encode())
        return got


@pytest.fixture
def poller(monkeypatch: pytest.MonkeyPatch) -> Poller:
    return Poller(monkeypatch)


def default(*messages: Outgoing) -> list[str | bytes]:
    return [part for message in messages for part in message.default]


def test_the_first_goes_at_once_and_the_next_when_it_asks(poller: Poller) -> None:
    mails = [pose(0), pose(1, A, 0), pose(2, A, 1)]
    recent: deque[int] = deque()
    for mail in mails:
        assert poller.outlet.post(mail, recent, poller.time)
        recent.append(mail.seq)
    assert poller.queued() == default(mails[0].outgoing)
    assert poller.asked() == default(mails[1].outgoing, mails[2].outgoing), "all that waited"
    assert poller.outlet.waiting == 0
    assert poller.outlet.frames == 3


def test_each_is_served_in_its_own_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    poller = Poller(monkeypatch, default=False)
    note = outgoing_event("notice", {"text": "x" * 70_000})
    poller.outlet.tell(note)
    assert poller.queued() == [note.message]


def test_a_poll_that_takes_its_time_is_no_slow_link(poller: Poller) -> None:
    for seq in range(20):
        poller.outlet.post(pose(seq), deque(), poller.time)
        poller.time += 0.9
        poller.asked()
    assert poller.outlet.backlog.clear


def test_one_answer_has_a_bound(poller: Poller) -> None:
    notes = [outgoing_event("note", "x" * 100_000) for _ in range(6)]
    for note in notes:
        poller.outlet.tell(note)
    assert poller.queued() == default(notes[0])
    assert poller.asked() == default(*notes[1:4])
    assert poller.asked() == default(*notes[4:])


def test_who_does_not_ask_is_given_up(poller: Poller) -> None:
    poller.outlet.post(pose(0), deque(), poller.time)
    poller.outlet.post(pose(1), deque(), poller.time)
    for _ in range(20):
        poller.time += 1
        poller.outlet.flush(poller.time)
    assert poller.reasons[0] == "took nothing for 15 s"


def test_answers_that_nobody_asks_for(poller: Poller) -> None:
    for _ in range(64):
        poller.socket.queue.put_nowait("answer")
        poller.outlet.answered()
    assert poller.reasons == []
    poller.socket.queue.put_nowait("answer")
    poller.outlet.answered()
    assert poller.reasons == ["reads no answers"]


def test_it_goes_on_by_a_websocket(poller: Poller) -> None:
    written: list[bytes] = []
    transport: Any = SimpleNamespace(
        write=written.append,
        is_closing=lambda: False,
        get_write_buffer_size=lambda: 0,
        get_extra_info=lambda name: None,
        abort=lambda: written.append(b"aborted"),
    )
    poller.outlet.post(pose(0), deque(), poller.time)
    poller.socket.upgrading = True
    poller.session.upgrade = SimpleNamespace(transport=transport)  # type: ignore[assignment]
    poller.outlet.post(pose(1), deque(), poller.time)
    assert poller.outlet.waiting == 1, "while it moves"
    poller.socket.upgrading, poller.socket.upgraded = False, True
    poller.outlet.flush(poller.time)
    assert written == [], "engine.io has to write first what was asked for by polling"
    assert poller.queued() == default(pose(0).outgoing)
    poller.outlet.flush(poller.time)
    poller.outlet.post(pose(2), deque(), poller.time)
    assert written == [pose(1).outgoing.default_wire, pose(2).outgoing.default_wire]
    assert poller.socket.queue.empty()
    poller.session.abort()
    assert written[-1] == b"aborted"
    assert poller.aborted == [poller.session]


def test_when_it_is_over(poller: Poller) -> None:
    assert not poller.outlet.closed
    poller.session.ended.set()
    assert poller.outlet.closed
    poller.outlet.cut()
    assert poller.aborted == [poller.session]
