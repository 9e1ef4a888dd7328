"""Quantiles of very many values, in bounded memory."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from posewire.monitor import Bars, LatencyHistogram
from posewire.monitor.latency_histogram import RELATIVE_ACCURACY

VALUES = st.lists(st.floats(1e-6, 1e4), min_size=1, max_size=200)


@given(VALUES, st.sampled_from([0.0, 0.5, 0.95, 0.99, 1.0]))
def test_a_quantile_is_right_to_one_percent(values: list[float], share: float) -> None:
    histogram = LatencyHistogram()
    histogram.add(values)
    true = float(np.quantile(values, share, method="lower"))
    assert histogram.quantile(share) == pytest.approx(true, rel=RELATIVE_ACCURACY * 1.001)
    assert histogram.count == len(values)
    assert histogram.mean == pytest.approx(sum(values) / len(values))
    assert histogram.longest == max(values)
    assert histogram.quantile(share) <= histogram.longest


def test_without_values() -> None:
    histogram = LatencyHistogram()
    assert (histogram.count, histogram.mean, histogram.longest, histogram.quantile(0.5)) == (0, 0.0, 0.0, 0.0)
    assert histogram.bars() == Bars()


@given(st.lists(st.floats(0, 1e4), min_size=1, max_size=200), st.integers(1, 40))
def test_bars_count_every_value_once(values: list[float], most: int) -> None:
    histogram = LatencyHistogram()
    histogram.add(values)
    bars = histogram.bars(most)
    assert sum(bars.counts) == len(values)
    assert 1 <= len(bars.counts) <= most
    assert len(bars.edges) == len(bars.counts) + 1
    assert all(low < high for low, high in itertools.pairwise(bars.edges))
    assert bars.edges[-1] >= max(values) * 0.999 or max(values) < 1e-8


def test_bars_are_where_the_values_are() -> None:
    histogram = LatencyHistogram()
    histogram.add([0.001] * 10 + [0.1] * 5)
    bars = histogram.bars(8)
    assert (bars.counts[0], bars.counts[-1]) == (10, 5)
    assert bars.edges[0] == pytest.approx(0.001, rel=0.03)
    assert bars.edges[-1] == pytest.approx(0.1, rel=0.03)


def test_memory_is_bounded() -> None:
    histogram = LatencyHistogram()
    histogram.add([10.0**power for power in range(-300, 300)])
    assert histogram.count == 600
    assert len(histogram._store.bins) <= 2048
    assert histogram.quantile(1.0) == pytest.approx(1e299, rel=0.01)
