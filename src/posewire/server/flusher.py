"""Comes back to the clients for whom mail waits: one timer for all of them."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from posewire import clock

_SECONDS: Final = 0.01


class Flushable(Protocol):
    """Something that mail may wait in."""

    def flush(self, now: float) -> bool:
        """Write what can be written at ``now``, monotonic seconds; returns whether something still waits."""
        ...


class Flusher:
    """Flushes every 10 ms those who said that something waits, until nothing does. Runs only while something waits."""

    def __init__(self) -> None:
        self._waiting: set[Flushable] = set()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, outlet: Flushable) -> None:
        """Come back to ``outlet``."""
        self._waiting.add(outlet)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_SECONDS, self._flush)

    def close(self) -> None:
        """Come back to nobody any more."""
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _flush(self) -> None:
        self._timer = None
        now = clock.monotonic()
        waiting, self._waiting = self._waiting, set()
        try:
            while waiting:
                waiting.pop().flush(now)  # adds itself again while something waits
        finally:
            for outlet in waiting:  # a bug in one must not hold up the others
                self.add(outlet)
