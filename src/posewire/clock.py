"""Time: durations from the monotonic clock, capture times on the scale of ``time.time()``.

The wall clock may be stepped under us, so it is read once, when the process starts, and carried on by the monotonic
clock from there: capture times never jump, and the difference of two is a true duration.
"""

from __future__ import annotations

import time
from collections.abc import Callable

monotonic: Callable[[], float] = time.monotonic
"""Seconds on a clock that never goes back; for durations and deadlines."""

_EPOCH = time.time() - time.monotonic()


def now() -> float:
    """Return seconds on the scale of ``time.time()``, without its jumps."""
    return _EPOCH + time.monotonic()


class ServerClock:
    """The server's clock as seen from here: ``server = local + offset``.

    Cristian's algorithm (F. Cristian, "Probabilistic clock synchronization", 1989): of several exchanges the one with
    the least round trip has the least error, at most half that round trip.
    """

    def __init__(self) -> None:
        self.offset = 0.0
        """Seconds to add to local time; 0 until the first exchange."""
        self.uncertainty = float("inf")
        """Half the round trip of the exchange the offset came from, seconds."""

    def update(self, exchanges: list[tuple[float, float, float]]) -> None:
        """Take the best of ``exchanges``: ``(local when asked, server when answered, local when heard)``, seconds."""
        asked, server, heard = min(exchanges, key=lambda exchange: exchange[2] - exchange[0])
        self.offset = server - (asked + heard) / 2
        self.uncertainty = (heard - asked) / 2

    def to_server(self, local: float) -> float:
        """Convert a local time to the server's clock."""
        return local + self.offset

    def to_local(self, server: float) -> float:
        """Convert a time on the server's clock to local time."""
        return server - self.offset
