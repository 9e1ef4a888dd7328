"""The search for the highest rate a system stands. Pure."""

from __future__ import annotations

from typing import Final

RISE: Final = 1.6
FINE: Final = 1.08
TRIES: Final = 2
"""A rate is too high when it fails this often in a row: once may be another program's doing."""


class CapacitySearch:
    """Rises in large steps until a rate fails, then in small ones from the last that held until one fails again.

    Only ever upward: what counts as capacity was reached by rising to it. A large step that failed is no ceiling, so
    another program's burst at the wrong moment costs time and not capacity.

    Args:
        start: First rate, frames a second. One that fails makes the capacity 0: start lower.
        limit: Rates over it are not tried.
    """

    def __init__(self, start: float, *, limit: float) -> None:
        self.rate: float | None = start
        """What to try next; None when the search is over."""
        self.capacity = 0.0
        """Highest rate that held."""
        self.limited = False
        """The search ended at ``limit``: the capacity is at least this."""
        self._limit = limit
        self._step = RISE
        self._failures = 0

    def record(self, held: bool) -> None:
        """Take what came of the last `rate`."""
        assert self.rate is not None
        if held:
            self._failures = 0
            self.capacity = self.rate
            self._next()
            return
        self._failures += 1
        if self._failures < TRIES:
            return
        self._failures = 0
        if self._step == FINE or not self.capacity:
            self.rate = None
        else:
            self._step = FINE
            self._next()

    def _next(self) -> None:
        self.rate = self.capacity * self._step
        if self.rate > self._limit:
            self.limited = True
            self.rate = None
