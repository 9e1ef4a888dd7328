"""p50, p95 and p99 of a handful of samples."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np


def percentiles(samples: Iterable[float]) -> tuple[float, float, float]:
    """Return p50, p95 and p99 by linear interpolation; zeros when there are no samples."""
    values = np.fromiter(samples, dtype=np.float64)
    if not values.size:
        return 0.0, 0.0, 0.0
    p50, p95, p99 = np.percentile(values, (50, 95, 99))
    return float(p50), float(p95), float(p99)
