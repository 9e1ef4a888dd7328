"""One timer for all for whom something waits, and none when nothing does."""

from __future__ import annotations

import asyncio

import pytest

from posewire import clock
from posewire.server.flusher import Flusher
from tests.connect.conftest import eventually


class Waiter:
    """Something in which mail waits for so many flushes."""

    def __init__(self, flusher: Flusher, times: int) -> None:
        self.left = times
        self.flushed: list[float] = []
        self._flusher = flusher

    def flush(self, now: float) -> bool:
        self.flushed.append(now)
        self.left -= 1
        if self.left:
            self._flusher.add(self)
        return bool(self.left)


async def test_it_comes_back_for_as_long_as_something_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "monotonic", lambda: 1234.5)
    flusher = Flusher()
    three, one = Waiter(flusher, 3), Waiter(flusher, 1)
    for waiter in (three, one, one):
        flusher.add(waiter)
    assert three.flushed == []
    await eventually(lambda: not three.left)
    assert three.flushed == [1234.5] * 3
    assert one.flushed == [1234.5]
    assert flusher._timer is None, "nothing waits any more"


async def test_it_has_one_timer_whoever_waits_and_none_once_it_is_closed() -> None:
    flusher = Flusher()
    waiters = [Waiter(flusher, 1) for _ in range(3)]
    timers = set()
    for waiter in waiters:
        flusher.add(waiter)
        timers.add(flusher._timer)
    (timer,) = timers
    assert timer is not None
    flusher.close()
    flusher.close()
    assert timer.cancelled()
    later = Waiter(flusher, 1)
    flusher.add(later)
    await eventually(lambda: not later.left)
    assert [waiter.flushed for waiter in waiters] == [[], [], []]


async def test_closing_while_it_flushes_leaves_no_timer() -> None:
    flusher = Flusher()
    closed = asyncio.Event()

    class Closer:
        def flush(self, now: float) -> bool:
            flusher.close()
            closed.set()
            return False

    flusher.add(Closer())
    await closed.wait()
    assert flusher._timer is None
