"""The delay is what the jitter needs, never steps for little, and shows what belongs together together."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posewire.receiver.playout_delay import PlayoutDelay

NETWORK = 0.03


def fed(delay: PlayoutDelay, jitter: float, *, seconds: float = 20.0, start: float = 0.0, lead: float = 0.0) -> float:
    """Feed frames of 30 fps with even jitter; returns the time after the last."""
    rng = random.Random(7)
    now = start
    for _ in range(round(seconds * 30)):
        now += 1 / 30
        delay.observe("pose", now=now, transit=NETWORK + rng.uniform(0, jitter), lead=lead)
    return now


def test_an_adaptive_delay_is_the_jitter_and_the_lead() -> None:
    delay = PlayoutDelay()
    now = fed(delay, 0.04, lead=1 / 30)
    assert 0.07 < delay.delay < 0.08
    assert delay.offset(now + 5) == pytest.approx(NETWORK + delay.delay, abs=0.001)


def test_without_jitter_the_delay_is_next_to_nothing() -> None:
    delay = PlayoutDelay()
    delay.observe("pose", now=0.0, transit=NETWORK)
    assert delay.delay > 0.03, "nothing is known yet"
    now = fed(delay, 0.0)
    assert delay.delay < 0.005
    assert delay.offset(now + 5) < NETWORK + 0.005


def test_a_fixed_delay_comes_on_top_of_the_least_transit() -> None:
    delay = PlayoutDelay(delay=0.06)
    now = fed(delay, 0.04)
    assert delay.delay == pytest.approx(0.06)
    assert delay.offset(now) == pytest.approx(NETWORK + 0.06, abs=0.001)


def test_rare_stalls_do_not_count_and_frequent_ones_do() -> None:
    delays = []
    for share in (0.005, 0.05):
        delay, rng = PlayoutDelay(), random.Random(1)
        for index in range(600):
            stall = 0.2 if rng.random() < share else 0.0
            delay.observe("pose", now=index / 30, transit=NETWORK + stall)
        delays.append(delay.delay)
    assert delays[0] < 0.01
    assert delays[1] > 0.19


def test_an_adaptive_delay_has_a_most() -> None:
    delay = PlayoutDelay(delay_max=0.1)
    rng = random.Random(1)
    for index in range(600):
        delay.observe("pose", now=index / 30, transit=rng.uniform(0, 1.0))
    assert delay.delay == pytest.approx(0.1)


def test_it_grows_and_shrinks_by_running_slower_and_faster() -> None:
    delay = PlayoutDelay()
    now = fed(delay, 0.0, seconds=40)
    before = delay.offset(now)
    for _ in range(12):
        now += 0.001
        delay.observe("pose", now=now, transit=NETWORK + 0.2)
    assert delay.offset(now) < before + 0.01, "not at once"
    assert delay.offset(now + 0.1) == pytest.approx(delay.offset(now) + 0.05)
    assert delay.offset(now + 1.0) == pytest.approx(NETWORK + 0.202)
    now = fed(delay, 0.0, seconds=16, start=now + 1)
    assert delay.offset(now) > delay.offset(now + 1.0) >= delay.offset(now) - 0.051


def test_a_clock_that_was_set_and_a_way_that_is_longer_for_good_begin_anew() -> None:
    delay = PlayoutDelay(delay=0.05)
    now = fed(delay, 0.01)
    epoch = delay.epoch
    now = fed(delay, 0.01, start=now)
    assert delay.epoch == epoch
    delay.observe("pose", now=now, transit=-3600.0)  # its clock was put forward by an hour
    assert delay.epoch == epoch + 1
    assert delay.offset(now) == pytest.approx(-3600 + 0.05)
    for index in range(30):
        delay.observe("pose", now=now + index / 30, transit=40.0)
    assert delay.epoch == epoch + 2
    assert delay.offset(now + 1) == pytest.approx(40.05)


def test_a_burst_after_a_stall_does_not_begin_anew() -> None:
    delay = PlayoutDelay(delay=0.05)
    now = fed(delay, 0.01)
    epoch = delay.epoch
    for index in range(60):
        delay.observe("pose", now=now + 2 + index / 1e4, transit=2 - index / 30)
    assert delay.epoch == epoch


def test_the_stream_that_needs_most_decides_for_all() -> None:
    delay = PlayoutDelay()
    for index in range(300):
        delay.observe("pose", now=index / 30, transit=0.03)
        delay.observe("audio", now=index / 30, transit=0.09)
    assert delay.offset(11) == pytest.approx(0.092, abs=0.001)
    for index in range(60):
        delay.observe("pose", now=11 + index / 30, transit=0.03)
    assert delay.offset(13) == pytest.approx(0.092, abs=0.001), "it may go on"
    for index in range(200):
        delay.observe("pose", now=13 + index / 30, transit=0.03)
    assert delay.offset(22) == pytest.approx(0.032, abs=0.001), "silent streams have no say"


def test_the_number_of_streams_and_frames_is_bounded() -> None:
    delay = PlayoutDelay()
    for index in range(2000):
        delay.observe(index % 200, now=index / 1000, transit=0.03)
    assert len(delay._streams) <= 64
    assert all(len(each.ordered) <= 512 for each in delay._streams.values())
    for _ in range(1500):
        delay.observe(0, now=6.0, transit=0.03)
    assert len(delay._streams[0].ordered) == len(delay._streams[0]._times) == 512


@given(
    transits=st.lists(st.floats(0, 0.45), min_size=1, max_size=40),
    ahead=st.floats(0, 0.5),
    fixed=st.one_of(st.none(), st.floats(0.01, 0.3)),
)
def test_due_is_the_time_at_which_the_moment_is_shown(transits: list[float], ahead: float, fixed: float | None) -> None:
    delay = PlayoutDelay(delay=fixed)
    now = 0.0
    for transit in transits:
        now += 1 / 30
        before = delay.offset(now)
        delay.observe("pose", now=now, transit=transit)
        if now > 0.04:
            assert abs(delay.offset(now) - before) < 1e-9, "no step"
    timestamp = now - delay.offset(now) + ahead
    due = delay.due(timestamp)
    assert due >= now - 1e-9
    assert due - delay.offset(due) == pytest.approx(timestamp, abs=1e-9)
