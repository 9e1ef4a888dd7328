"""How many bytes a second to send, by what the link shows of itself."""

from __future__ import annotations

from typing import Final

_BACK_OFF: Final = 0.9
_GROWTH_PER_SECOND: Final = 1.6
_NO_LIMIT: Final = 4.0
"""A rate so many times what is sent limits nothing."""
_SPACING: Final = 0.2
"""Seconds between two steps back: the first must show before there is a second."""


class RateController:
    """Backs off when packets wait longer and longer on the link, before it loses any; grows when they do not.

    Delay is the signal, as in V. Jacobson's and S. Low's work that became LEDBAT (RFC 6817) and Google Congestion
    Control (G. Carlucci et al., MMSys 2016): queueing delay = delay - its minimum. Only steps back while the link is
    what holds us up, for else the queue is somebody else's. Pure: the caller says what time it is.

    Args:
        queueing_limit: Seconds of queueing from which on it steps back.
    """

    def __init__(self, *, queueing_limit: float = 0.06) -> None:
        self.rate: float | None = None
        """Bytes a second; None while the link takes all there is."""
        self.backed_off = 0
        """Steps back so far."""
        self._limit = queueing_limit
        self._stepped_at = 0.0
        self._updated = 0.0

    def observe(self, now: float, *, delivered: float, queueing: float, held_up: bool) -> float | None:
        """Take in how it goes, and return the rate.

        Args:
            now: Monotonic seconds.
            delivered: Bytes a second that come through.
            queueing: Seconds even the quickest of the last packets waited on the link.
            held_up: Whether frames waited since the last time because the link would not take them.
        """
        elapsed = min(max(now - self._updated, 0.0), 1.0)
        self._updated = now
        if held_up and queueing > self._limit:
            if now - self._stepped_at >= _SPACING and delivered > 0:
                self.rate, self._stepped_at = _BACK_OFF * delivered, now
                self.backed_off += 1
        elif self.rate is not None:
            self.rate *= _GROWTH_PER_SECOND**elapsed
            if self.rate > _NO_LIMIT * max(delivered, 1.0):
                self.rate = None
        return self.rate
