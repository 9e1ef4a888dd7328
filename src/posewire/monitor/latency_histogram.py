"""All latencies of a session, in a few hundred numbers."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Collection, Iterator
from typing import Final

import msgspec
from ddsketch.mapping import LogarithmicMapping
from ddsketch.store import CollapsingLowestDenseStore

RELATIVE_ACCURACY: Final = 0.01
"""A quantile is within this share of the true one."""
_MOST_BINS: Final = 2048
"""Room for values a factor of 10**17 apart; beyond it the least lose their accuracy."""
_LONGEST: Final = 1e15
"""Seconds."""
_LEAST: Final = 1e-9
"""Seconds; a bin for zero there is not."""
_LEAST_RATIO: Final = 1.0 + 2 * RELATIVE_ACCURACY
"""Of the edges of a bar: a narrower one would show the bins of the sketch, not the values."""


class Bars(msgspec.Struct, frozen=True, kw_only=True):
    """A histogram to be drawn: ``counts[i]`` values lie from ``edges[i]`` to ``edges[i + 1]`` seconds."""

    edges: list[float] = []
    counts: list[int] = []

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn on a logarithmic axis.

        Raises:
            ValueError: The edges are not over 0 and ascending, or not one more than the counts.
        """
        if len(self.edges) != len(self.counts) + bool(self.counts):
            raise ValueError(f"{len(self.edges)} edges of {len(self.counts)} bars: expected one more edge than bars")
        for before, edge in itertools.pairwise([0.0, *self.edges]):
            if not before <= edge < _LONGEST or edge <= 0:
                raise ValueError(f"edge {edge:g} after {before:g}: expected seconds over 0, ascending")


class LatencyHistogram:
    """Counts seconds, however many, with quantiles that are right to one percent.

    A DDSketch: C. Masson et al., "DDSketch: A Fast and Fully-Mergeable Quantile Sketch with Relative-Error Guarantees",
    PVLDB 12 (2019). The library's bins and its mapping, but not its ``add``, which takes four times as long for each
    value as counting equal bins first.
    """

    def __init__(self) -> None:
        self._mapping = LogarithmicMapping(RELATIVE_ACCURACY)
        self._store = CollapsingLowestDenseStore(_MOST_BINS)
        self._sum = 0.0
        self.count = 0
        """How many values there were."""
        self.longest = 0.0
        """The exact maximum; 0 when there are none."""

    @property
    def mean(self) -> float:
        """Their exact mean; 0 when there are none."""
        return self._sum / self.count if self.count else 0.0

    def add(self, values: Collection[float]) -> None:
        """Count values, seconds; what is under a nanosecond counts as one, but for the mean."""
        if not values:
            return
        self._sum += sum(values)
        self.count += len(values)
        self.longest = max(self.longest, max(values))
        if min(values) < _LEAST:
            values = [max(value, _LEAST) for value in values]
        for key, count in Counter(map(self._mapping.key, values)).items():
            self._store.add(key, count)

    def quantile(self, share: float) -> float:
        """Return the value that ``share`` (0..1) of the values do not exceed, to one percent; 0 without values."""
        if not self.count:
            return 0.0
        value = float(self._mapping.value(self._store.key_at_rank(share * (self.count - 1))))
        return min(value, self.longest)  # the middle of a bin may lie beyond the largest value in it

    def bars(self, most: int = 32) -> Bars:
        """Return a histogram of at most ``most`` bars, each as wide as the others on a logarithmic scale."""
        bins = list(self._bins())
        if not bins:
            return Bars()
        low, high = bins[0][0] / (1 + RELATIVE_ACCURACY), bins[-1][0] / (1 - RELATIVE_ACCURACY)
        number = max(1, min(most, int(math.log(high / low) / math.log(_LEAST_RATIO))))
        step = math.log(high / low) / number
        counts = [0] * number
        for value, count in bins:
            counts[min(number - 1, int(math.log(value / low) / step))] += count
        return Bars(edges=[low * math.exp(step * index) for index in range(number + 1)], counts=counts)

    def _bins(self) -> Iterator[tuple[float, int]]:
        """Yield the bins that are not empty: their middle and their count."""
        for index, count in enumerate(self._store.bins):
            if count:
                yield float(self._mapping.value(index + self._store.offset)), int(count)
