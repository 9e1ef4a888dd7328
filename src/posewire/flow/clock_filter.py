"""What exchanges of times with a server tell about its clock: offset, drift, how sure that is, and when it jumped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

_WINDOW_SECONDS: Final = 240.0
"""How long an exchange counts. Long enough to look past a minute of queues; over it a clock's rate is a constant."""
_MOST: Final = 128
_MOST_DRIFT: Final = 500e-6
"""No clock in order is further off (RFC 5905, section 11.3: MAXFREQ)."""
_WANDER: Final = 15e-6
"""How much the rate of a clock may change over the window (RFC 5905, section 7.2: PHI)."""
_USUAL_DRIFT: Final = 50e-6
"""Of two quartz clocks; what is believed of the drift before much is known."""
_GRAIN: Final = 2e-6
"""Seconds: the server tells whole microseconds, and a double of seconds since 1970 has steps of a quarter."""
_LEAST_NOISE: Final = 20e-6
"""Seconds that delays scatter by at least: somebody has to be woken up."""
_LEAST_JUMP: Final = 1e-3
"""Seconds; what is less is corrected without a word."""
_HALVINGS: Final = 22
"""Of the range of drifts: to 0.0003 ppm."""

Exchange = tuple[float, float, float]
"""Local time when the server was asked, its time when it answered, local time when that was heard; seconds."""


class ClockFit(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The server's clock: ``server = local + offset + drift * (local - at)``."""

    at: float
    """Local time of the newest exchange's end."""
    offset: float
    """Seconds, at that time."""
    drift: float
    """Parts per million."""
    uncertainty: float
    """Seconds: the offset is wrong by no more, as long as neither clock jumps nor changes its rate."""
    drift_error: float
    """Parts per million, likewise."""
    noise: float
    """Seconds: by how much the delay of one direction scatters, on average."""
    jumped: bool
    """Whether the fit before cannot be true any more: one of the clocks jumped."""


class ClockFilter:
    """Fits a straight line through what must lie on one side of it and what must lie on the other.

    The server's clock was read after it was asked and before that was heard, so that each exchange is a pair of bounds
    (F. Cristian, "Probabilistic clock synchronization", 1989): the offset was at most ``server - asked`` and at least
    ``server - heard``. A line that is true runs between all of them. Of those, ours is the middle of the widest
    strip between the bounds: the drift is that of S. Moon, P. Skelly, D. Towsley, "Estimation and removal of clock skew
    from network delay measurements" (INFOCOM 1999), with one slope for both directions, and the offset is
    exact when the quickest message up took as long as the quickest down, which need not be of one exchange. Delays
    only push bounds away: the slow exchanges weigh nothing, which no threshold decides. While the exchanges span too
    little time for their noise, the drift stays near what it was thought to be: the most likely line of delays that
    scatter exponentially (for which Moon's is the most likely one) and drifts of 50 ppm.

    When no line runs between the bounds, a clock jumped, or changed its rate: older exchanges are forgotten until one
    does (L. Zhang, Z. Liu, C. Xia, "Clock synchronization algorithms for network measurements", INFOCOM 2002).

    Pure. Times are local seconds that do not go back but by a jump.
    """

    def __init__(self) -> None:
        self.fit: ClockFit | None = None
        """The newest; None before the first exchange."""
        self._samples: list[_Bounds] = []
        self._usual = 0.0

    def restart(self) -> None:
        """Forget the exchanges: what comes may be of another server. The next fit says whether it has another time."""
        self._samples.clear()

    def observe(self, exchanges: Sequence[Exchange]) -> ClockFit | None:
        """Take exchanges in, in order; returns the new fit.

        Returns:
            None when a single exchange is at odds with all before it, or impossible, and was not taken in: ask again,
            several times in a row, for those are believed.
        """
        new = [_Bounds.of(exchange) for exchange in exchanges if exchange[2] >= exchange[0]]
        if not new:
            return None
        since = new[-1].at - _WINDOW_SECONDS
        older = [sample for sample in self._samples if sample.at > since]
        # A clock that jumped goes on at its rate.
        before = 0.0 if self.fit is None else self.fit.drift / 1e6
        kept, usual = [*older, *new][-_MOST:], self._usual if older else before
        while (strip := _Strip.of(kept, usual)) is None:
            kept, usual = kept[len(kept) // 2 :], before
        if older and len(new) == len(kept) == 1:
            return None
        self._samples, self._usual = kept, usual
        return self._judge(strip, max(exchange[2] for exchange in exchanges))

    def _judge(self, strip: _Strip, at: float) -> ClockFit:
        before, (lowest, middle, highest) = self.fit, strip.bounds(at)
        uncertainty, jumped = max(highest - middle, middle - lowest), False
        if before is not None:
            passed = at - before.at
            expected = before.offset + before.drift / 1e6 * passed
            unsure = uncertainty + before.uncertainty + abs(passed) * (before.drift_error / 1e6)
            jumped = abs(middle - expected) > unsure + _LEAST_JUMP
        self.fit = ClockFit(
            at=at,
            offset=middle,
            drift=strip.drift * 1e6,
            uncertainty=uncertainty,
            drift_error=(max(strip.highest - strip.drift, strip.drift - strip.lowest) + _WANDER) * 1e6,
            noise=strip.noise,
            jumped=jumped,
        )
        return self.fit


class _Bounds(msgspec.Struct, frozen=True, gc=False):
    """Where the offset was at one time, seconds."""

    at: float
    low: float
    high: float

    @classmethod
    def of(cls, exchange: Exchange) -> _Bounds:
        asked, server, heard = exchange
        # Both are taken for the bounds at the middle of the exchange, from which the drift leads away.
        slack = _GRAIN + _MOST_DRIFT * (heard - asked) / 2
        return cls((asked + heard) / 2, server - heard - slack, server - asked + slack)


class _Strip:
    """The lines between the bounds: the likely one, and how far others are from it.

    Attributes:
        drift: Of the likely line, seconds a second.
        lowest: Of all the lines.
        highest: Likewise.
        noise: By how much the delay of one direction scatters, seconds.
    """

    def __init__(self, samples: Sequence[_Bounds]) -> None:
        samples = sorted(samples, key=lambda sample: sample.at)  # two may have been under way at once
        self._at, self._offset = samples[-1].at, samples[-1].low
        """The origin: small numbers are exact."""
        self._over = _hull([(sample.at - self._at, sample.high - self._offset) for sample in samples])
        self._under = _hull([(sample.at - self._at, self._offset - sample.low) for sample in samples])
        self.drift = self.lowest = self.highest = self.noise = 0.0

    @classmethod
    def of(cls, samples: Sequence[_Bounds], usual: float) -> _Strip | None:
        """Return the lines between the bounds, near ``usual`` unless the bounds say otherwise; None for none."""
        strip = cls(samples)
        # The lower quartile: most of the exchanges may stand in a queue.
        typical = sorted(sample.high - sample.low for sample in samples)[len(samples) // 4]
        noise = strip._noise(typical, usual)
        drift = strip._widest(usual, noise / (len(samples) * _USUAL_DRIFT))
        if strip._width(drift)[0] < 0:
            drift = strip._widest(usual, 0.0)
            if strip._width(drift)[0] < 0:
                return None
        strip.drift, strip.noise = drift, strip._noise(typical, drift)
        strip.lowest, strip.highest = strip._last(drift, -_MOST_DRIFT), strip._last(drift, _MOST_DRIFT)
        return strip

    def bounds(self, at: float) -> tuple[float, float, float]:
        """Return the lowest, the likely and the highest offset at a time that is not before the newest bound."""
        at -= self._at
        lowest, highest = self.lowest - _WANDER, self.highest + _WANDER
        over, under = _least(self._over, self.drift)[0], -_least(self._under, -self.drift)[0]
        low = lowest * at - _least(self._under, -lowest)[0]
        high = highest * at + _least(self._over, highest)[0]
        return self._offset + low, self._offset + (over + under) / 2 + self.drift * at, self._offset + high

    def _width(self, drift: float) -> tuple[float, float]:
        """Return how wide the strip of a drift is, and how that grows with the drift. It is concave."""
        (over, upper), (under, lower) = _least(self._over, drift), _least(self._under, -drift)
        return over + under, lower - upper

    def _noise(self, typical: float, drift: float) -> float:
        """Return by how much delays of one direction exceed the least, on average: a quartile of the sum of two."""
        return max(_LEAST_NOISE, typical - self._width(drift)[0])

    def _widest(self, usual: float, price: float) -> float:
        """Return the drift of the widest strip, where width costs ``price`` seconds for each unit away from usual."""
        low, high = -_MOST_DRIFT, _MOST_DRIFT
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            if self._width(middle)[1] > (price if middle > usual else -price):
                low = middle
            else:
                high = middle
        return (low + high) / 2

    def _last(self, inside: float, outside: float) -> float:
        """Return the drift nearest to ``outside`` that has a strip."""
        if self._width(outside)[0] >= 0:
            return outside
        for _ in range(_HALVINGS):
            middle = (inside + outside) / 2
            if self._width(middle)[0] >= 0:
                inside = middle
            else:
                outside = middle
        return outside


def _least(points: Sequence[tuple[float, float]], slope: float) -> tuple[float, float]:
    """Return the height at time 0 of the line of a slope on which the points stand, and when it touches one."""
    return min((height - slope * time, time) for time, height in points)


def _hull(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the points, in order of time, that a line from below can touch (A. Andrew, 1979)."""
    hull: list[tuple[float, float]] = []
    for time, height in points:
        while len(hull) > 1:
            (first, low), (second, high) = hull[-2:]
            if (second - first) * (height - low) > (high - low) * (time - first):
                break
            hull.pop()
        hull.append((time, height))
    return hull
