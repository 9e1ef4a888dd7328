"""Whether it is worth asking somebody who did not answer lately."""

from __future__ import annotations

import enum
from typing import Final

MOST_COOLDOWNS: Final = 16
"""The pause is at most so many times the first one."""


class BreakerState(enum.StrEnum):
    """What a circuit breaker lets through."""

    CLOSED = "closed"
    """Everything."""
    OPEN = "open"
    """Nothing."""
    HALF_OPEN = "half_open"
    """One attempt, which decides."""


class CircuitBreaker:
    """Lets nothing through for a while after failures in a row; then one attempt, which closes it or opens it again.

    Each time the attempt fails the pause is twice as long, up to `MOST_COOLDOWNS` times the first. Pure: the caller
    says what time it is. M. Nygard, "Release It!" (2007), chapter 5, calls the pattern so.

    Args:
        failures: In a row, until it opens.
        cooldown: Seconds it stays open at first.
    """

    def __init__(self, *, failures: int = 3, cooldown: float = 1.0) -> None:
        if failures < 1 or not 0 < cooldown < float("inf"):
            raise ValueError(f"failures={failures}, cooldown={cooldown}: expected at least 1, and more than 0 seconds")
        self._failures = failures
        self._first = cooldown
        self._cooldown = cooldown
        self._in_a_row = 0
        self._opened_at: float | None = None
        self._trying = False

    def state(self, now: float) -> BreakerState:
        """Return what it is at ``now``, monotonic seconds."""
        if self._opened_at is None:
            return BreakerState.CLOSED
        return BreakerState.OPEN if self.wait(now) else BreakerState.HALF_OPEN

    def wait(self, now: float) -> float:
        """Return the seconds until something may be tried; 0 when it may be now, or is."""
        return 0.0 if self._opened_at is None else max(0.0, self._opened_at + self._cooldown - now)

    def admits(self, now: float) -> bool:
        """Return whether an attempt may be made; the caller makes it, and says what came of it.

        Half open it is the only one until then.
        """
        state = self.state(now)
        if state is BreakerState.HALF_OPEN and not self._trying:
            self._trying = True
            return True
        return state is BreakerState.CLOSED

    def succeeded(self) -> None:
        """The attempt went well: closed."""
        self._in_a_row = 0
        self._cooldown = self._first
        self._opened_at = None
        self._trying = False

    def failed(self, now: float) -> None:
        """An attempt went wrong at ``now``. One that was made though it is open changes nothing."""
        self._in_a_row += 1
        if self._opened_at is None and self._in_a_row < self._failures:
            return
        if self._opened_at is not None:
            if not self._trying:
                return
            self._cooldown = min(2 * self._cooldown, MOST_COOLDOWNS * self._first)
        self._trying = False
        self._opened_at = now

    def abandoned(self) -> None:
        """The attempt was given up, and says nothing."""
        self._trying = False
