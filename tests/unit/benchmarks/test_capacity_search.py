"""The search for a capacity finds it, whatever single bursts of other programs do."""

from __future__ import annotations

from benchmarks.capacity_search import FINE, RISE, CapacitySearch
from hypothesis import given
from hypothesis import strategies as st


def search(capacity: float, *, start: float = 200.0, limit: float = 1e6, bursts: set[int] | None = None) -> float:
    """Run a search on a system that stands up to ``capacity``; looks numbered in ``bursts`` fail anyhow."""
    found, look = CapacitySearch(start, limit=limit), 0
    while found.rate is not None:
        assert look < 500
        found.record(found.rate <= capacity and look not in (bursts or set()))
        look += 1
    return found.capacity


@given(st.floats(200, 500_000))
def test_it_finds_the_capacity_to_a_fine_step(capacity: float) -> None:
    found = search(capacity)
    assert found <= capacity < found * FINE * FINE


@given(st.floats(1000, 100_000), st.sets(st.integers(0, 60).map(lambda number: 3 * number)))
def test_a_burst_now_and_then_costs_time_and_not_capacity(capacity: float, bursts: set[int]) -> None:
    found = search(capacity, bursts=bursts)
    assert found <= capacity < found * FINE * FINE


def test_a_start_that_fails_is_no_capacity() -> None:
    assert search(100.0) == 0.0


def test_it_ends_at_the_limit_and_says_so() -> None:
    found = CapacitySearch(200.0, limit=1000.0)
    while found.rate is not None:
        assert found.rate <= 1000.0
        found.record(True)
    assert found.limited
    assert found.capacity > 1000.0 / RISE
