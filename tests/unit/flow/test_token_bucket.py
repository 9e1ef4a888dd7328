"""The rate limit on debt."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from posewire.flow import TokenBucket

START = 1000.0
rates = st.floats(100, 1e7)
sizes = st.integers(1, 60_000)
gaps = st.floats(0, 2)


class Send(NamedTuple):
    """One frame that left."""

    time: float
    size: int


def run(bucket: TokenBucket, steps: list[tuple[float, int]]) -> list[Send]:
    """Wait ``gap``, and as long as the bucket says, then send; for each step."""
    now, sends = START, []
    for gap, size in steps:
        now += gap
        now += bucket.delay(now)
        bucket.charge(size, now=now)
        sends.append(Send(now, size))
    return sends


@given(rates, st.floats(0, 1), st.lists(st.tuples(gaps, sizes), min_size=1, max_size=25))
@example(1000.0, 0.05, [(0.0, 60_000), (0.0, 1), (0.0, 1)])
@example(1000.0, 0.0, [(2.0, 100)] * 5)
def test_over_any_span_no_more_than_the_rate_the_burst_and_one_frame(
    rate: float, burst: float, steps: list[tuple[float, int]]
) -> None:
    sends = run(TokenBucket(rate, burst=burst, now=START), steps)
    for first, last in itertools.combinations_with_replacement(range(len(sends)), 2):
        span = sends[last].time - sends[first].time
        sent = sum(send.size for send in sends[first : last + 1])
        assert sent <= (rate * span + rate * burst + sends[last].size) * (1 + 1e-9) + 1e-3


@given(rates, st.lists(sizes, min_size=20, max_size=40))
def test_a_sender_that_never_rests_gets_the_whole_rate(rate: float, frames: list[int]) -> None:
    sends = run(TokenBucket(rate, now=START), [(0.0, size) for size in frames])
    # All but the last frame is paid for when the last one leaves.
    assert sends[-1].time - START == pytest.approx(sum(frames[:-1]) / rate, rel=1e-6, abs=1e-6)


@given(rates, sizes, st.floats(0, 1))
def test_delay_is_the_time_until_the_debt_is_paid(rate: float, size: int, part: float) -> None:
    bucket = TokenBucket(rate, now=START)
    assert bucket.delay(START) == 0
    bucket.charge(size, now=START)
    whole = bucket.delay(START)
    assert whole == pytest.approx(size / rate)
    assert bucket.delay(START + part * whole) == pytest.approx((1 - part) * whole, abs=1e-9)
    assert bucket.delay(START + whole) == pytest.approx(0, abs=1e-9)
    assert bucket.delay(START + whole + 1e-6) == 0


@given(rates, sizes, st.floats(0, 1e6))
@example(1024.0, 1, 123_456.7)
@example(3000.0, 1000, 86_400.123)
def test_waiting_as_long_as_it_says_opens_it(rate: float, size: int, now: float) -> None:
    # Once: what rounding leaves of the debt is a delay so short that now + delay is now: under a clock that only moves
    # when someone waits (virtual time), the sender's loop never ends. Half of all debts end so.
    bucket = TokenBucket(rate, now=now)
    bucket.charge(size, now=now)
    for _ in range(5):
        if (delay := bucket.delay(now)) <= 0:
            break
        assert now + delay > now
        now += delay
    else:
        pytest.fail("still shut")


def test_what_is_saved_up_is_bounded_by_the_burst() -> None:
    bucket = TokenBucket(1000.0, burst=0.05, now=0.0)
    # An hour without a frame saves 50 bytes.
    bucket.charge(50, now=3600.0)
    assert bucket.delay(3600.0) == 0
    bucket.charge(100, now=3600.0)
    assert bucket.delay(3600.0) == pytest.approx(0.1)


def test_nothing_is_saved_up_at_the_start() -> None:
    bucket = TokenBucket(1000.0, burst=1.0, now=0.0)
    bucket.charge(100, now=0.0)
    assert bucket.delay(0.0) == pytest.approx(0.1)


def test_defaults() -> None:
    bucket = TokenBucket(1000.0)
    bucket.charge(0, now=0.0)
    # 50 ms of the rate are saved up.
    bucket.charge(150, now=10.0)
    assert bucket.delay(10.0) == pytest.approx(0.1)
    late = TokenBucket(1000.0, burst=10.0)
    late.charge(1500, now=1.0)
    assert late.delay(1.0) == pytest.approx(0.5)


def test_no_limit() -> None:
    bucket = TokenBucket(None, now=0.0)
    assert bucket.rate is None
    bucket.charge(1 << 40, now=0.0)
    assert bucket.delay(0.0) == 0


@given(rates, rates, sizes, st.floats(0, 0.5))
def test_a_new_rate_keeps_the_debt(old: float, new: float, size: int, gap: float) -> None:
    bucket = TokenBucket(old, now=START)
    bucket.charge(size, now=START)
    left = max(0.0, size - old * gap)
    bucket.set_rate(new, now=START + gap)
    assert bucket.rate == new
    assert bucket.delay(START + gap) == pytest.approx(left / new, rel=1e-6, abs=1e-6)


def test_a_lower_rate_lets_go_of_what_was_saved_up_over_its_burst() -> None:
    bucket = TokenBucket(1_000_000.0, burst=0.05, now=0.0)
    bucket.set_rate(1000.0, now=10.0)
    bucket.charge(150, now=10.0)
    assert bucket.delay(10.0) == pytest.approx(0.1)


def test_a_higher_rate_keeps_what_was_saved_up() -> None:
    bucket = TokenBucket(1000.0, burst=0.05, now=0.0)
    bucket.set_rate(10_000.0, now=10.0)
    bucket.charge(150, now=10.0)
    assert bucket.delay(10.0) == pytest.approx(0.01)


def test_lifting_the_limit_opens_it_and_the_time_without_one_saves_nothing() -> None:
    bucket = TokenBucket(1000.0, now=0.0)
    bucket.charge(5000, now=0.0)
    bucket.set_rate(None, now=1.0)
    assert bucket.delay(1.0) == 0
    bucket.set_rate(1000.0, now=100.0)
    bucket.charge(100, now=100.0)
    assert bucket.delay(100.0) == pytest.approx(0.1)


def test_a_clock_that_goes_back_pays_nothing_twice() -> None:
    bucket = TokenBucket(1000.0, now=10.0)
    bucket.charge(1000, now=10.0)
    assert bucket.delay(10.5) == pytest.approx(0.5)
    assert bucket.delay(9.0) == pytest.approx(0.5)
    assert bucket.delay(10.5) == pytest.approx(0.5)
