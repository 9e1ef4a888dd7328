"""Where a capture thread leaves its poses for the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

import msgspec

_MOST_TIMES: Final = 100


class Offered(msgspec.Struct, frozen=True, kw_only=True):
    """A pose from a thread."""

    pose: Any
    stream: str
    timestamp: float
    priority: int
    replaced: int
    """How many before it nobody fetched."""
    times: tuple[float, ...]
    """Capture times of the last of those."""


class ThreadInbox:
    """One place a stream: the newest wins, and what it replaces is told. Never blocks: a dict's methods are atomic.

    One thread a stream.

    Args:
        take: Called in the event loop with each pose.
    """

    def __init__(self, take: Callable[[Offered], None]) -> None:
        self._take = take
        self._loop: asyncio.AbstractEventLoop | None = None
        self._offered: dict[str, Offered] = {}
        self._called = False

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """Hand poses to ``loop`` from now on."""
        self._loop = loop

    def close(self) -> None:
        """Take no more."""
        self._loop = None

    def put(self, pose: Any, stream: str, timestamp: float, priority: int) -> bool:
        """Leave a pose, from any thread; False when nobody fetches it."""
        loop = self._loop
        if loop is None or loop.is_closed():
            return False
        older = self._offered.pop(stream, None)
        replaced = 0 if older is None else older.replaced + 1
        times = () if older is None else (*older.times, older.timestamp)[-_MOST_TIMES:]
        self._offered[stream] = Offered(
            pose=pose, stream=stream, timestamp=timestamp, priority=priority, replaced=replaced, times=times
        )
        if not self._called:
            # Set before the call: at most one call is under way, however fast the thread is.
            self._called = True
            loop.call_soon_threadsafe(self._empty)
        return True

    def _empty(self) -> None:
        self._called = False
        while self._offered:
            _, offered = self._offered.popitem()
            self._take(offered)
