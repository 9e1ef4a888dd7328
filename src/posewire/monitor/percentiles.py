"""p50, p95, p99 and jitter of a handful of samples."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterable


def percentiles(samples: Iterable[float]) -> tuple[float, float, float]:
    """Return p50, p95 and p99 by linear interpolation; zeros when there are no samples.

    Without numpy, whose calls take longer than sorting what a window holds.
    """
    ordered = sorted(samples)
    if not ordered:
        return 0.0, 0.0, 0.0
    return _at(ordered, 0.5), _at(ordered, 0.95), _at(ordered, 0.99)


def jitter_of(samples: Collection[float]) -> float:
    """Return the mean difference of two samples that follow each other; 0 when there are not two."""
    if len(samples) < 2:
        return 0.0
    return sum(abs(after - before) for before, after in itertools.pairwise(samples)) / (len(samples) - 1)


def _at(ordered: list[float], share: float) -> float:
    rank = (len(ordered) - 1) * share
    low = math.floor(rank)
    if low + 1 >= len(ordered):
        return float(ordered[-1])
    return float(ordered[low] + (ordered[low + 1] - ordered[low]) * (rank - low))
