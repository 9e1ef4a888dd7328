"""How long things that are due wait for the event loop."""

from __future__ import annotations

import asyncio
from typing import Any

from posewire.session.handle_timer import can_time, listen, listen_no_more, name_of


class LoopWatch:
    """Sees how late timers come, and what held the loop up.

    A timer tells how late it comes, which is true of any loop, but only of the moments it is due: of a stall of 50 ms,
    a timer each 500 ms sees one in ten. Where callbacks can be timed (see `handle_timer`) none is missed, the slowest
    has a name, and no timer is set: one wakes the loop up, which takes longer than timing a hundred callbacks. Times
    are of the wall: a callback that the system preempted was slow, too.

    Args:
        interval: Seconds between two timers.
        names: Whether to time callbacks, where that is possible.
    """

    def __init__(self, *, interval: float, names: bool = True) -> None:
        self._interval = interval
        self._names = names
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._lag = 0.0
        self._slowest = 0.0
        self._name = ""

    def start(self) -> None:
        """Watch the running loop. Idempotent."""
        if self._loop is not None:
            return
        self._loop = asyncio.get_running_loop()
        self._names = self._names and can_time(self._loop)
        if self._names:
            listen(self._ran)
        else:
            self._set(self._loop)

    def stop(self) -> None:
        """Watch no more. Idempotent."""
        if self._loop is None:
            return
        if self._names:
            listen_no_more(self._ran)
        if self._timer is not None:
            self._timer.cancel()
        self._loop = self._timer = None

    def came(self, late: float) -> None:
        """Take note that somebody's timer came so many seconds late."""
        if self._loop is not None:
            self._lag = max(self._lag, late)

    def take(self) -> tuple[float, str]:
        """Return the longest wait since this was called last, seconds, and the slowest callback; empty when none was.

        A callback that took 100 ms made something wait for so long, or would have.
        """
        lag, name = max(self._lag, self._slowest), self._name
        self._lag, self._slowest, self._name = 0.0, 0.0, ""
        return lag, name

    def _set(self, loop: asyncio.AbstractEventLoop) -> None:
        self._due = loop.time() + self._interval
        self._timer = loop.call_at(self._due, self._ring, loop)

    def _ring(self, loop: asyncio.AbstractEventLoop) -> None:
        self.came(loop.time() - self._due)
        self._set(loop)

    def _ran(self, loop: asyncio.AbstractEventLoop, callback: Any, seconds: float) -> None:
        if loop is self._loop and seconds > self._slowest:
            self._slowest, self._name = seconds, name_of(callback)
