"""Waits between attempts to come back."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator


def backoff(*, first: float, ceiling: float, rng: random.Random) -> Iterator[float]:
    """Yield seconds for ever: ``first``, doubling up to ``ceiling``, and of each a random part of a fifth less.

    Not all of it is random ("full jitter"), as it would be if nobody noticed earlier that the server is back: the first
    attempts would be over in a few seconds, before the network is back or the seat that is held is given up.
    """
    for attempt in itertools.count():
        # min() before the power: 2**1100 does not fit a float.
        longest = min(ceiling, first * 2 ** min(attempt, 32))
        yield rng.uniform(0.8 * longest, longest)
