"""What exchanges tell about a clock, on links and clocks that are made up."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posewire.flow import ClockFilter, ClockFit, Exchange

EPOCH = 1.7e9


class Link:
    """A server whose clock and distance are known. Its clock was right on `EPOCH`, plus an offset."""

    def __init__(
        self,
        up: Callable[[], float],
        down: Callable[[], float] | None = None,
        *,
        offset: float = 10.0,
        drift: float = 100.0,
    ) -> None:
        self.up, self.down = up, down or up
        self.offset = offset
        self.drift = drift
        self.now = EPOCH

    def true_offset(self, local: float) -> float:
        return self.offset + self.drift / 1e6 * (local - EPOCH)

    def exchange(self) -> Exchange:
        asked = self.now
        there = asked + self.up()
        self.now = there + self.down()
        return asked, round((there + self.true_offset(there)) * 1e6) / 1e6, self.now

    def error(self, fit: ClockFit | None) -> float:
        assert fit is not None
        return abs(fit.offset - self.true_offset(fit.at))


def follow(link: Link, clock: ClockFilter, seconds: float, every: float = 1.0) -> list[ClockFit]:
    fits = [clock.observe([link.exchange() for _ in range(8)])]
    end = link.now + seconds
    while link.now < end:
        link.now += every
        fits.append(clock.observe([link.exchange()]))
    assert None not in fits
    return [fit for fit in fits if fit is not None]


def test_one_exchange_is_cristians() -> None:
    fit = ClockFilter().observe([(100.0, 150.0, 101.0)])
    assert fit is not None
    assert fit.offset == pytest.approx(49.5)
    assert fit.uncertainty == pytest.approx(0.5, abs=1e-3)
    assert fit.drift == pytest.approx(0, abs=1e-3)
    assert (fit.at, fit.jumped) == (101.0, False)


def test_the_quickest_up_and_the_quickest_down_need_not_be_of_one_exchange() -> None:
    quick, slow = 0.010, 0.080
    link = Link(iter([quick, slow] * 9).__next__, iter([slow, quick] * 9).__next__, drift=0.0)
    clock = ClockFilter()
    clock.observe([link.exchange() for _ in range(2)])
    assert link.error(clock.fit) < 1e-4, "each of them alone is wrong by 35 ms"


@pytest.mark.parametrize("drift", [-300.0, 0.0, 100.0])
def test_on_one_machine_it_is_right_to_a_tenth_of_a_millisecond(drift: float) -> None:
    chance = random.Random(1)
    link = Link(lambda: 50e-6 + chance.random() * 200e-6, drift=drift)
    fits = follow(link, ClockFilter(), 60)
    assert fits[-1].drift == pytest.approx(drift, abs=5)
    assert link.error(fits[-1]) < 1e-4
    assert fits[-1].uncertainty < 3e-4


@pytest.mark.parametrize("seed", range(4))
def test_behind_jitter_it_is_right_to_five_milliseconds(seed: int) -> None:
    chance = random.Random(seed)
    link = Link(lambda: 0.040 + chance.random() * 0.040)
    clock = ClockFilter()
    errors = [link.error(fit) for fit in follow(link, clock, 120)]
    assert max(errors[15:]) < 0.005
    assert max(errors[-20:]) < 0.003
    assert clock.fit is not None
    assert clock.fit.noise == pytest.approx(0.025, rel=0.5)


def test_a_minute_of_queues_does_not_move_it() -> None:
    """Half a second more on the way up only: Cristian's is wrong by a quarter of a second."""
    queue = 0.0
    chance = random.Random(1)
    link = Link(lambda: 0.020 + queue + chance.random() * 0.005, lambda: 0.020 + chance.random() * 0.005, drift=-40.0)
    clock = ClockFilter()
    follow(link, clock, 60)
    queue = 0.5
    errors = [link.error(fit) for fit in follow(link, clock, 60)]
    assert max(errors) < 0.002


def test_a_way_that_is_longer_for_good_is_not_seen_and_within_the_uncertainty() -> None:
    link = Link(lambda: 0.060, lambda: 0.020)
    fit = follow(link, ClockFilter(), 60)[-1]
    assert link.error(fit) == pytest.approx(0.020, abs=1e-3)
    assert link.error(fit) <= fit.uncertainty


def test_a_burst_says_nothing_about_the_drift() -> None:
    chance = random.Random(3)
    link = Link(lambda: 0.001 + chance.random() * 0.010)
    fit = ClockFilter().observe([link.exchange() for _ in range(20)])
    assert fit is not None
    assert abs(fit.drift) < 0.01


@pytest.mark.parametrize("jump", [-3600.0, -0.5, 0.01, 0.5, 1e6])
@pytest.mark.parametrize("whose", ["ours", "the server's"])
def test_a_jump_is_told(jump: float, whose: str) -> None:
    chance = random.Random(2)
    link = Link(lambda: 0.001 + chance.random() * 0.001)
    clock = ClockFilter()
    assert not any(fit.jumped for fit in follow(link, clock, 30))
    before = clock.fit
    assert before is not None
    if whose == "ours":
        link.now += jump  # the server's goes on as it was
        link.offset -= jump
        link.offset -= link.drift / 1e6 * jump
    else:
        link.offset += jump
    link.now += 1.0
    if link.now - before.at < 240:  # else nothing is left that it could be at odds with
        assert clock.observe([link.exchange()]) is None, "one exchange is not believed"
        assert clock.fit == before
    fit = clock.observe([link.exchange() for _ in range(4)])
    assert fit is not None
    assert fit.jumped
    assert link.error(fit) < 0.002
    assert fit.drift == pytest.approx(100, abs=40), "the drift is believed still"
    assert not any(fit.jumped for fit in follow(link, clock, 30))
    assert link.error(clock.fit) < 0.0005


def test_a_jump_within_the_round_trip_is_made_up_for_and_not_told() -> None:
    link = Link(lambda: 0.050, drift=0.0)
    clock = ClockFilter()
    follow(link, clock, 60)
    link.offset += 0.03
    fits = follow(link, clock, 300)
    assert not any(fit.jumped for fit in fits)
    assert max(link.error(fit) for fit in fits) <= 0.03 + 1e-3
    assert link.error(fits[-1]) < 1e-3


def test_another_server_is_compared_with_the_one_before() -> None:
    link = Link(lambda: 0.001)
    clock = ClockFilter()
    follow(link, clock, 30)
    clock.restart()
    assert not any(fit.jumped for fit in follow(link, clock, 10))
    clock.restart()
    link.offset += 1.0
    fits = follow(link, clock, 10)
    assert [fit.jumped for fit in fits] == [True] + [False] * (len(fits) - 1)
    assert fits[0].drift == pytest.approx(100, abs=10)


def test_a_rate_that_changes_is_followed_without_a_jump() -> None:
    """A clock that another program slews: 100 ppm one way, then the other."""
    link = Link(lambda: 0.0001)
    clock = ClockFilter()
    follow(link, clock, 100)
    link.offset += link.true_offset(link.now) - link.offset + 100e-6 * (link.now - EPOCH)
    link.drift = -100.0
    fits = follow(link, clock, 300, every=4.0)
    assert not any(fit.jumped for fit in fits)
    assert max(link.error(fit) for fit in fits) < 1e-3
    assert fits[-1].drift == pytest.approx(-100, abs=5)


def test_long_away_is_no_jump() -> None:
    """The drift was not known well; an hour later the clock is where it may be by that."""
    link = Link(lambda: 0.001)
    clock = ClockFilter()
    clock.observe([link.exchange() for _ in range(8)])
    link.now += 3600.0
    fit = clock.observe([link.exchange()])
    assert fit is not None
    assert not fit.jumped
    assert link.error(fit) < 1e-3


def test_an_exchange_that_ended_before_it_began_is_not_taken() -> None:
    clock = ClockFilter()
    assert clock.observe([(100.0, 150.0, 99.0)]) is None
    assert clock.fit is None


delay = st.floats(1e-6, 2.0)


@given(
    drift=st.floats(-480, 480),
    offset=st.floats(-1e5, 1e5),
    exchanges=st.lists(st.tuples(st.floats(0, 30), delay, delay), min_size=1, max_size=60),
    burst=st.integers(1, 8),
)
def test_the_offset_is_wrong_by_no_more_than_it_says(
    drift: float, offset: float, exchanges: list[tuple[float, float, float]], burst: int
) -> None:
    delays: Any = iter([each for exchange in exchanges for each in exchange[1:]])
    link = Link(lambda: next(delays), offset=offset, drift=drift)
    clock = ClockFilter()
    first, rest = exchanges[:burst], exchanges[burst:]
    fits = [clock.observe([link.exchange() for _ in first])]
    for pause, _, _ in rest:
        link.now += pause
        fits.append(clock.observe([link.exchange()]))
    for fit in fits:
        assert fit is not None
        assert not fit.jumped
        assert abs(fit.drift) <= 500
    assert link.error(fits[-1]) <= fits[-1].uncertainty + 1e-6  # type: ignore[union-attr]


def test_what_is_older_than_four_minutes_does_not_count() -> None:
    """By what was known then, the offset could still be told to 20 ms."""
    delay = 0.001
    link = Link(lambda: delay)
    clock = ClockFilter()
    follow(link, clock, 30)
    delay = 0.050
    fits = follow(link, clock, 300, every=10.0)
    assert fits[10].uncertainty < 0.02
    assert fits[-1].uncertainty > 0.045


def test_it_does_not_grow() -> None:
    link = Link(lambda: 0.001)
    clock = ClockFilter()
    follow(link, clock, 100, every=0.1)
    assert len(clock._samples) <= 128
