"""A rate limit that lets the freshest frame go next."""

from __future__ import annotations

_ROUNDING = 1e-3
"""Bytes: what rounding may leave of a debt. Paying it would be a wait too short for the clock to show."""


class TokenBucket:
    """A token bucket on debt: open while the balance is not negative, then charged what was really sent.

    A classic bucket waits until it can pay for a frame it has already chosen, and so sends an old frame. Here the
    frame is chosen when the bucket opens, and the bucket stays shut until the debt is paid off: over any span the
    bytes sent are at most ``rate * span + burst + one frame``.

    Args:
        rate: Bytes a second; None is no limit.
        burst: Seconds of ``rate`` that may be saved up.
        now: Monotonic seconds.
    """

    def __init__(self, rate: float | None, *, burst: float = 0.05, now: float = 0.0) -> None:
        self._rate = rate
        self._burst = burst
        self._balance = 0.0
        self._updated = now

    @property
    def rate(self) -> float | None:
        """Bytes a second; None is no limit."""
        return self._rate

    def set_rate(self, rate: float | None, *, now: float) -> None:
        """Change the rate. What is owed or saved stays, up to the new burst; without a limit nothing is owed."""
        self._settle(now)
        self._rate = rate
        if rate is None:
            self._balance = 0.0
        else:
            self._balance = min(self._balance, rate * self._burst)

    def delay(self, now: float) -> float:
        """Return seconds until the bucket is open; 0 when it is."""
        self._settle(now)
        if self._rate is None or self._balance > -_ROUNDING:
            return 0.0
        return -self._balance / self._rate

    def charge(self, size: int, *, now: float) -> None:
        """Take ``size`` bytes out; the balance may become negative."""
        if self._rate is None:
            return
        self._settle(now)
        self._balance -= size

    def _settle(self, now: float) -> None:
        elapsed = max(0.0, now - self._updated)
        self._updated = max(now, self._updated)
        if self._rate is not None:
            self._balance = min(self._rate * self._burst, self._balance + self._rate * elapsed)
