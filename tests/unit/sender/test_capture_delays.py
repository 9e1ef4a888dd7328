"""What capture takes, over the last quarter of a minute."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posewire.sender.capture_delays import CaptureDelays


def test_nothing_is_known_of_nothing() -> None:
    assert CaptureDelays().spread(5.0) == 0.0


def test_a_steady_tracker_has_no_spread_however_slow_it_is() -> None:
    delays = CaptureDelays()
    for number in range(300):
        delays.note("pose", 0.2, number / 30)
    assert delays.spread(10.0) == 0.0


def test_one_that_becomes_slower_has_until_the_best_is_forgotten() -> None:
    delays = CaptureDelays()
    for number in range(150):
        delays.note("pose", 0.03, number / 30)
    for number in range(150, 900):
        delays.note("pose", 0.18, number / 30)
        if number < 550:
            assert delays.spread(number / 30) == pytest.approx(0.15)
    assert delays.spread(30.0) == 0.0


def test_one_that_becomes_faster_had() -> None:
    delays = CaptureDelays()
    for number in range(150):
        delays.note("pose", 0.18, number / 30)
    for number in range(150, 450):
        delays.note("pose", 0.03, number / 30)
    assert delays.spread(15.0) == 0.0, "nothing is late that was slow before"


def test_streams_are_not_mixed_up_and_not_kept_for_ever() -> None:
    delays = CaptureDelays()
    for number in range(1000):
        delays.note(number, number / 1000, number / 1000)
    assert delays.spread(1.0) == 0.0
    assert len(delays._streams) == 256


@given(st.lists(st.tuples(st.floats(0, 3), st.floats(-1, 5)), min_size=1, max_size=60))
def test_by_the_book(frames: list[tuple[float, float]]) -> None:
    delays, now = CaptureDelays(), 0.0
    for gap, delay in frames:
        now += gap
        delays.note("pose", delay, now)
    everything = [delay for _, delay in frames]
    assert 0.0 <= delays.spread(now) <= max(everything) - min(everything)
    assert delays.spread(now + 6.0) == 0.0
