"""p50, p95, p99 and jitter."""

from __future__ import annotations

import math
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posewire.monitor import percentiles
from posewire.monitor.percentiles import jitter_of


def by_hand(samples: list[float], percent: float) -> float:
    """Linear interpolation between the two nearest ranks."""
    ordered = sorted(samples)
    rank = (len(ordered) - 1) * percent / 100
    low = math.floor(rank)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (rank - low)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60))
def test_linear_interpolation(samples: list[float]) -> None:
    expected = tuple(by_hand(samples, percent) for percent in (50, 95, 99))
    found = percentiles(samples)
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-6)
    assert found[0] <= found[1] <= found[2]
    assert {type(value) for value in found} == {float}


def test_no_samples() -> None:
    assert percentiles([]) == (0.0, 0.0, 0.0)


def test_one_sample() -> None:
    assert percentiles([3.5]) == (3.5, 3.5, 3.5)


def test_any_iterable() -> None:
    assert percentiles(x / 1 for x in range(101)) == (50, 95, 99)
    assert percentiles(deque(range(101))) == (50, 95, 99)


@pytest.mark.parametrize(("samples", "jitter"), [([], 0), ([3.0], 0), ([1.0, 1.0, 1.0], 0), ([1, 3, 2, 2], 1.0)])
def test_jitter(samples: list[float], jitter: float) -> None:
    assert jitter_of(samples) == jitter
    assert jitter_of(deque(samples)) == jitter
