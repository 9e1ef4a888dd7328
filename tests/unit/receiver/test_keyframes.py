"""What is missing is asked for, but not all the time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from posewire.errors import ConnectionError
from posewire.protocol import Delivery, FrameType, Header, Kind, control
from posewire.receiver import keyframes as module
from posewire.receiver.keyframes import Keyframes
from posewire.sockets import SocketManager
from tests.unit.sender.fakes import FakeSocket


class Asked(FakeSocket):
    """Keeps the questions; answers when told to."""

    def __init__(self) -> None:
        super().__init__()
        self.questions: list[Any] = []
        self.answering = asyncio.Event()
        self.answering.set()
        self.failure: Exception | None = None

    async def request(self, message: Any, answer: Any) -> Any:
        self.questions.append(message)
        await self.answering.wait()
        if self.failure is not None:
            raise self.failure
        return [b"picture"] if answer == list[bytes] else True


class Rig:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self.shown: list[list[bytes]] = []
        self.socket = Asked()
        socket: SocketManager = self.socket
        self.keyframes = Keyframes(socket, self.shown.append)
        monkeypatch.setattr("posewire.receiver.keyframes.clock.monotonic", lambda: self.now)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.keyframes.run(), name="keyframes")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def turns(self, count: int = 10) -> None:
        for _ in range(count):
            await asyncio.sleep(0)


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Rig:
    return Rig(monkeypatch)


def header(seq: int, ref: int, frame_type: FrameType = FrameType.LEAF, stream: int = 1) -> Header:
    return Header(3, Kind.POSE, Delivery.LATEST, frame_type, stream, 2, seq, ref, 0)


async def test_a_keyframe_is_asked_for_once_while_it_is_on_its_way(rig: Rig) -> None:
    for seq in range(10, 14):
        rig.keyframes.ask(header(seq, seq - 8))
        rig.now += 0.06
    assert list(rig.keyframes.questions) == [control.RequestKeyframe(member=2, stream=1)]
    rig.now += 0.02
    rig.keyframes.ask(header(14, 6))
    assert len(rig.keyframes.questions) == 2, "it did not come in a quarter of a second"
    rig.keyframes.ask(header(14, 6, stream=2))
    assert len(rig.keyframes.questions) == 3, "each stream for itself"


async def test_a_keyframe_that_is_lost_too_is_asked_for_sooner(rig: Rig) -> None:
    rig.keyframes.ask(header(10, 2))
    rig.now += 0.04
    rig.keyframes.ask(header(20, 4))  # refers to 16, newer than all that was here
    assert len(rig.keyframes.questions) == 1
    rig.now += 0.02
    rig.keyframes.ask(header(21, 5))
    assert len(rig.keyframes.questions) == 2


async def test_a_chain_of_anchors_that_cannot_be_read_is_no_new_keyframe(rig: Rig) -> None:
    rig.keyframes.ask(header(10, 2))
    rig.now += 0.03
    rig.keyframes.ask(header(12, 2, FrameType.ANCHOR))
    rig.now += 0.03
    rig.keyframes.ask(header(14, 2, FrameType.ANCHOR))
    rig.now += 0.03
    rig.keyframes.ask(header(15, 1))
    assert len(rig.keyframes.questions) == 1


async def test_what_is_remembered_is_bounded(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_STREAMS", 4)
    for stream in range(20):
        rig.keyframes.ask(header(10, 2, stream=stream))
        rig.keyframes.fetch(2, stream)
        assert len(rig.keyframes.questions) <= 4
        assert len(rig.keyframes._asked) <= 4
        assert len(rig.keyframes.fetching) <= 4
    assert not rig.keyframes.wait_for_picture(header(1, 1, stream=0), lambda: None), "its question was dropped"


@pytest.mark.parametrize("fails", [False, True])
async def test_the_newest_that_came_meanwhile_is_read_behind_the_picture(rig: Rig, fails: bool) -> None:
    """Whether there is one or not: then reading it asks for a keyframe."""
    rig.socket.answering.clear()
    rig.socket.failure = ConnectionError("gone") if fails else None
    done: list[object] = []
    rig.keyframes._show = done.append
    async with rig.running():
        rig.keyframes.fetch(2, 1)
        await rig.turns()
        assert rig.socket.questions == [control.FetchPicture(member=2, stream=1)]
        assert rig.keyframes.wait_for_picture(header(30, 2), lambda: done.append(30))
        assert rig.keyframes.wait_for_picture(header(31, 3), lambda: done.append(31))
        assert not rig.keyframes.wait_for_picture(header(30, 2, stream=9), lambda: done.append(9))
        rig.socket.answering.set()
        await rig.turns()
        assert done == ([31] if fails else [[b"picture"], 31])
        assert (rig.keyframes._missed, rig.keyframes.fetching) == ({}, set())
        assert not rig.keyframes.wait_for_picture(header(31, 3), lambda: None)
        rig.keyframes.ask(header(31, 3))
        await rig.turns()
        assert rig.socket.questions[-1] == control.RequestKeyframe(member=2, stream=1), "it goes on asking"
