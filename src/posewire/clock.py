"""Time: durations from the monotonic clock, capture times on the scale of ``time.time()``.

The wall clock may be stepped under us, so it is read once, when the process starts, and carried on by the monotonic
clock from there: capture times never jump, and the difference of two is a true duration.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Final

monotonic: Callable[[], float] = time.monotonic
"""Seconds on a clock that never goes back; for durations and deadlines."""

_EPOCH = time.time() - time.monotonic()

_STEP_SECONDS: Final = 0.128
"""A larger correction is a step. NTP's step threshold (RFC 5905, section 11.3, STEPT)."""
_SLEW: Final = 0.005
"""Seconds a second: how fast a smaller correction is made. Between two poses, 33 ms apart, it is 0.17 ms."""
_LONGEST_SLEW: Final = 5.0
"""Seconds that a correction takes at most; a large one goes faster, 2.6 % at most."""
_MOST_LINES: Final = 12
"""Two an exchange: times of the last 20 seconds convert as they did."""


def now() -> float:
    """Return seconds on the scale of ``time.time()``, without its jumps.

    It is looked up at every call: a process may put another clock in its place before it does anything else.
    """
    return _EPOCH + time.monotonic()


class ServerClock:
    """The server's clock as seen from here: ``server = local + offset``, where the offset changes with the drift.

    A chain of straight lines that is continued and never changed: what was converted once is converted alike again, a
    later local time always to a later time of the server, and back. Only a step breaks the chain: the first estimate, a
    clock that jumped, a correction of more than 128 ms. What it is told comes from `posewire.flow.ClockFilter`; see
    docs/topics/time.md.
    """

    def __init__(self) -> None:
        self.drift = 0.0
        """How much faster the server's clock goes than ours, parts per million."""
        self.uncertainty = math.inf
        """How wrong the offset was at most when it was measured last, seconds."""
        self.steps = 0
        """How often it was stepped since the first estimate."""
        self._offset = 0.0
        # (local time, the server's then, seconds of the server's a local second), the newest first.
        self._lines: list[tuple[float, float, float]] = [(0.0, 0.0, 1.0)]

    @property
    def offset(self) -> float:
        """Seconds to add to local time, as measured last; 0 until the first exchange."""
        return self._offset

    def correct(self, at: float, offset: float, drift: float, uncertainty: float, *, step: bool = False) -> bool:
        """Take a better estimate: little by little, or in one step where that would take too long.

        Args:
            at: Local time.
            offset: Of the server's clock at that time, seconds.
            drift: Parts per million.
            uncertainty: Seconds.
            step: One of the clocks jumped: believe it at once.

        Returns:
            Whether times on one side of ``at`` have no more to do with those on the other. Not so the first time.
        """
        first, before, speed = math.isinf(self.uncertainty), self.to_server(at), 1 + drift / 1e6
        change = at + offset - before
        self._offset, self.drift, self.uncertainty = offset, drift, uncertainty
        kept = [line for line in self._lines if line[0] <= at][: _MOST_LINES - 2]
        if first or step or abs(change) > _STEP_SECONDS or not kept:
            self._lines = [(at, at + offset, speed)]
            self.steps += not first
            return not first
        span = min(abs(change) / _SLEW, _LONGEST_SLEW)
        slewing = [(at, before, speed + change / span)] if span else []
        self._lines = [(at + span, at + offset + span * speed, speed), *slewing, *kept]
        return False

    def to_server(self, local: float) -> float:
        """Convert a local time to the server's clock."""
        for line in self._lines:
            if local >= line[0]:
                break
        since, server, speed = line
        return server + (local - since) * speed

    def to_local(self, server: float) -> float:
        """Convert a time on the server's clock to local time."""
        for line in self._lines:
            if server >= line[1]:
                break
        since, then, speed = line
        return since + (server - then) / speed
