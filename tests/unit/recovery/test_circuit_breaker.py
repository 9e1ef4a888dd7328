"""When somebody who does not answer is asked again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posewire.recovery import BreakerState, CircuitBreaker
from posewire.recovery.circuit_breaker import MOST_COOLDOWNS

CLOSED, OPEN, HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN


def opened(at: float = 10.0) -> CircuitBreaker:
    breaker = CircuitBreaker(failures=2, cooldown=1.0)
    for _ in range(2):
        assert breaker.admits(at)
        breaker.failed(at)
    return breaker


def test_it_opens_after_failures_in_a_row() -> None:
    breaker = CircuitBreaker(failures=3)
    for _ in range(2):
        breaker.failed(0.0)
    breaker.succeeded()
    for _ in range(2):
        breaker.failed(0.0)
        assert breaker.admits(0.0)
    breaker.failed(0.0)
    assert breaker.state(0.0) is OPEN
    assert not breaker.admits(0.0)


def test_half_open_lets_one_attempt_through() -> None:
    breaker = opened(10.0)
    assert breaker.state(10.9) is OPEN
    assert breaker.wait(10.75) == 0.25
    assert breaker.state(11.0) is HALF_OPEN
    assert breaker.admits(11.0)
    assert not breaker.admits(11.0), "the one is under way"
    breaker.abandoned()
    assert breaker.admits(11.5), "nothing came of it"
    breaker.succeeded()
    assert breaker.state(11.5) is CLOSED
    assert breaker.wait(11.5) == 0


def test_the_pause_doubles_up_to_a_bound_and_is_short_again_after_a_success() -> None:
    breaker, now, pauses = opened(0.0), 0.0, []
    for _ in range(8):
        pauses.append(breaker.wait(now))
        now += breaker.wait(now)
        assert breaker.admits(now)
        breaker.failed(now)
    assert pauses == [1, 2, 4, 8, 16, 16, 16, 16]
    now += 16
    assert breaker.admits(now)
    breaker.succeeded()
    for _ in range(2):
        breaker.failed(now)
    assert breaker.wait(now) == 1


def test_a_failure_of_who_was_not_admitted_changes_nothing() -> None:
    breaker = opened(0.0)
    breaker.failed(0.9)
    assert breaker.wait(0.9) == pytest.approx(0.1)
    assert breaker.admits(1.0)


@pytest.mark.parametrize(("failures", "cooldown"), [(0, 1.0), (1, 0.0), (1, -1.0), (1, float("inf"))])
def test_what_it_cannot_be(failures: int, cooldown: float) -> None:
    with pytest.raises(ValueError, match="expected"):
        CircuitBreaker(failures=failures, cooldown=cooldown)


@given(
    st.integers(1, 4),
    st.lists(st.tuples(st.floats(0, 40), st.sampled_from(["fails", "goes well", "is given up"])), max_size=60),
)
def test_whatever_happens(failures: int, steps: list[tuple[float, str]]) -> None:
    """Open it lets nothing through, never for longer than the bound, and only failures in a row open it."""
    breaker, now, in_a_row = CircuitBreaker(failures=failures, cooldown=1.0), 0.0, 0
    for pause, outcome in steps:
        now += pause
        state = breaker.state(now)
        assert (state is CLOSED) == (in_a_row < failures)
        assert 0 <= breaker.wait(now) <= MOST_COOLDOWNS
        assert (breaker.wait(now) > 0) == (state is OPEN)
        admitted = breaker.admits(now)
        assert admitted == (state is not OPEN)
        if not admitted:
            continue
        if state is HALF_OPEN:
            assert not breaker.admits(now)
        if outcome == "fails":
            breaker.failed(now)
            in_a_row += 1
            assert breaker.state(now) is (OPEN if in_a_row >= failures else CLOSED)
        elif outcome == "goes well":
            breaker.succeeded()
            in_a_row = 0
        else:
            breaker.abandoned()
            assert breaker.state(now) is state
