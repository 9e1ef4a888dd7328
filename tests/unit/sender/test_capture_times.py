"""Times of a stream grow, by as little as it takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posewire.clock import ServerClock
from posewire.sender.capture_times import AHEAD_SECONDS, GRAIN, RESTART_SECONDS, CaptureTimes

NOW = 1.7e9


def repaired(*captured: float, now: float = NOW) -> tuple[list[float], dict[str, int]]:
    times = CaptureTimes()
    return [times.repair("s", each, now) for each in captured], dict(times.counts)


def test_what_grows_is_left_alone() -> None:
    assert repaired(1.0, 1.1, 1.2, NOW, NOW + 0.5) == ([1.0, 1.1, 1.2, NOW, NOW + 0.5], {})


def test_repeated() -> None:
    times, counts = repaired(5.0, 5.0, 5.0, 5.1)
    assert times == pytest.approx([5.0, 5.0 + GRAIN, 5.0 + 2 * GRAIN, 5.1], abs=1e-9)
    assert counts == {"repeated": 2}


def test_backwards_until_the_source_has_caught_up() -> None:
    times, counts = repaired(5.0, 4.9, 4.95, 5.05)
    assert times == pytest.approx([5.0, 5.0 + GRAIN, 5.0 + 2 * GRAIN, 5.05], abs=1e-9)
    assert counts == {"backwards": 2}


def test_a_camera_that_was_restarted() -> None:
    assert repaired(100.0, 0.1, 0.2) == ([100.0, 0.1, 0.2], {"restarted": 1})


@pytest.mark.parametrize("captured", [NOW + 1.5, 1e11])
def test_ahead_is_now(captured: float) -> None:
    assert repaired(captured) == ([NOW], {"ahead": 1})


def test_the_shift_comes_after_the_look_at_the_clock() -> None:
    times = CaptureTimes()
    assert times.repair("s", NOW, NOW, 5.0) == NOW + 5
    assert times.repair("s", NOW + 0.1, NOW + 0.1, 4.5) == NOW + 5 + GRAIN, "less than before: it grows all the same"
    assert times.repair("s", 0.5, NOW, -1.0) == 0.0
    assert dict(times.counts) == {"backwards": 1, "restarted": 1}


def test_streams_do_not_matter_to_each_other_and_are_forgotten() -> None:
    times = CaptureTimes()
    for number in range(300):
        assert times.repair(number, 1000.0 - number, NOW) == 1000.0 - number
    assert times.repair(0, 999.5, NOW) == 999.5, "the one that began first"
    assert times.repair(299, 1000.0 - 299, NOW) > 1000.0 - 299
    assert dict(times.counts) == {"repeated": 1}


captures = st.floats(NOW - 3, NOW + 3) | st.floats(0, 4e9) | st.sampled_from([NOW, NOW - 0.5])


@given(st.lists(st.tuples(captures, st.floats(0, 0.5)), max_size=50))
def test_times_grow_by_a_microsecond_at_least_or_begin_anew(frames: list[tuple[float, float]]) -> None:
    times, now, last = CaptureTimes(), NOW, -1.0
    server = ServerClock()
    server.correct(NOW - 10, 7.0, -500.0, 0.1)
    server.correct(NOW - 5, 6.9, -500.0, 0.1)  # slewing as fast as it may, the wrong way
    for captured, passed in frames:
        now += passed
        before = sum(times.counts.values())
        restarts = times.counts["restarted"]
        time = times.repair("s", captured, now)
        changed = sum(times.counts.values()) > before
        if times.counts["restarted"] > restarts:
            assert time < last - RESTART_SECONDS
        else:
            assert time > last
            assert round(server.to_server(time) * 1e6) > round(server.to_server(last) * 1e6)
        assert time <= max(now + AHEAD_SECONDS, last + GRAIN)
        if not changed:
            assert time == captured
        elif captured <= now + AHEAD_SECONDS and captured >= last - RESTART_SECONDS:
            assert time == last + GRAIN, "no more than it takes"
        last = time
