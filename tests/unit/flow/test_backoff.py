"""Waits between attempts."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posewire.flow import backoff


class _Extreme(random.Random):
    """Draws an end of the interval."""

    def __init__(self, end: Callable[[float, float], float]) -> None:
        super().__init__()
        self._end = end

    def uniform(self, a: float, b: float) -> float:
        return self._end(a, b)


def first(count: int, *, start: float, ceiling: float, rng: random.Random) -> list[float]:
    return list(itertools.islice(backoff(first=start, ceiling=ceiling, rng=rng), count))


def test_the_longest_waits_double_up_to_the_ceiling() -> None:
    assert first(6, start=1.0, ceiling=10.0, rng=_Extreme(max)) == [1, 2, 4, 8, 10, 10]


def test_the_shortest_waits_are_a_fifth_less() -> None:
    assert first(5, start=1.0, ceiling=10.0, rng=_Extreme(min)) == pytest.approx([0.8, 1.6, 3.2, 6.4, 8.0])


def test_a_first_wait_over_the_ceiling() -> None:
    assert first(2, start=20.0, ceiling=10.0, rng=_Extreme(max)) == [10, 10]


@given(st.floats(0.001, 100), st.floats(0.001, 1000), st.integers())
def test_always_in_the_last_fifth_of_the_doubling_or_the_ceiling(start: float, ceiling: float, seed: int) -> None:
    waits = first(40, start=start, ceiling=ceiling, rng=random.Random(seed))
    for attempt, wait in enumerate(waits):
        longest = min(ceiling, start * 2**attempt)
        assert 0.8 * longest <= wait <= longest


def test_for_ever() -> None:
    # 2**1100 does not fit a float.
    waits = backoff(first=1.0, ceiling=10.0, rng=_Extreme(max))
    assert next(itertools.islice(waits, 1100, None)) == 10


def test_a_crowd_comes_back_at_different_times() -> None:
    waits = [first(1, start=1.0, ceiling=10.0, rng=random.Random(seed))[0] for seed in range(1000)]
    assert len(set(waits)) == 1000
    assert sum(waits) / 1000 == pytest.approx(0.9, abs=0.01)


def test_the_same_chance_gives_the_same_waits() -> None:
    assert first(9, start=1.0, ceiling=10.0, rng=random.Random(7)) == first(
        9, start=1.0, ceiling=10.0, rng=random.Random(7)
    )
