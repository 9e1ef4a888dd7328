"""How long things that are due wait for the event loop."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from posewire.session.handle_timer import can_time, listen, listen_no_more, name_of

SUSPICIOUS: Final = 0.05
"""Seconds; when something waited for so long, callbacks are timed to find out why."""
LISTEN_SECONDS: Final = 10.0
"""For so long, from the last time that it was so."""


class LoopWatch:
    """Sees how late timers come, and what held the loop up.

    A timer tells how late it comes, which is true of any loop, but only of the moments it is due: of a stall of 50 ms,
    a timer each 500 ms sees one in ten. When one comes 50 ms late, callbacks are timed for the next ten seconds, where
    that is possible (see `handle_timer`): then no stall is missed, and the slowest callback has a name. So what holds
    the loop up again and again is named, and while all is well nothing is timed, which would take some percent of the
    CPU of sending. Times are of the wall: a callback that the system preempted was slow, too.

    Args:
        interval: Seconds between two timers.
        names: Whether to time callbacks.
    """

    def __init__(self, *, interval: float, names: bool = True) -> None:
        self._interval = interval
        self._names = names
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._listening = False
        self._until = 0.0
        self._lag = 0.0
        self._slowest = 0.0
        self._name = ""

    def start(self) -> None:
        """Watch the running loop. Idempotent."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._set(self._loop)

    def stop(self) -> None:
        """Watch no more. Idempotent."""
        self._listen_no_more()
        if self._timer is not None:
            self._timer.cancel()
        self._loop = self._timer = None

    def came(self, late: float) -> None:
        """Take note that a timer, the watch's or another's, came so many seconds late."""
        if self._loop is None:
            return
        self._lag = max(self._lag, late)
        if late >= SUSPICIOUS and self._names and can_time(self._loop):
            self._until = self._loop.time() + LISTEN_SECONDS
            if not self._listening:
                self._listening = True
                listen(self._ran)

    def take(self) -> tuple[float, str]:
        """Return the longest wait since this was called last, seconds, and the slowest callback; empty when not known.

        A callback that took 100 ms made something wait for so long, or would have.
        """
        lag, name = max(self._lag, self._slowest), self._name
        self._lag, self._slowest, self._name = 0.0, 0.0, ""
        return lag, name

    def _set(self, loop: asyncio.AbstractEventLoop) -> None:
        self._due = loop.time() + self._interval
        self._timer = loop.call_at(self._due, self._ring, loop)

    def _ring(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        self.came(now - self._due)
        if now > self._until:
            self._listen_no_more()
        self._set(loop)

    def _ran(self, loop: asyncio.AbstractEventLoop, callback: Any, seconds: float) -> None:
        if loop is not self._loop:
            return
        if seconds > self._slowest:
            self._slowest, self._name = seconds, name_of(callback)
        if seconds >= SUSPICIOUS:
            self._until = loop.time() + LISTEN_SECONDS

    def _listen_no_more(self) -> None:
        if self._listening:
            self._listening = False
            listen_no_more(self._ran)
