"""Waits between attempts to come back."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator


def backoff(*, first: float, ceiling: float, rng: random.Random) -> Iterator[float]:
    """Yield seconds for ever: a random part ("full jitter") of ``first``, doubling up to ``ceiling``.

    Full jitter spreads a crowd that lost its server together: M. Brooker, "Exponential Backoff And Jitter", AWS
    Architecture Blog, 2015.
    """
    for attempt in itertools.count():
        # min() before the power: 2**1100 does not fit a float.
        yield rng.uniform(0, min(ceiling, first * 2 ** min(attempt, 32)))
