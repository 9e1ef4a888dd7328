"""A clock that is off and drifts, whose error is known everywhere on the machine."""

from __future__ import annotations

import msgspec


class Skew(msgspec.Struct, frozen=True, kw_only=True):
    """A clock as a function of CLOCK_MONOTONIC, which is the same one for all processes of a Linux machine.

    Attributes:
        start: Monotonic seconds at which it was right, but for the offset.
        epoch: What ``time.time()`` was then.
        offset: Seconds.
        drift: Parts per million.
    """

    start: float
    epoch: float
    offset: float
    drift: float

    def at(self, monotonic: float) -> float:
        """Return what the clock shows."""
        passed = monotonic - self.start
        return self.epoch + self.offset + passed * (1 + self.drift / 1e6)
