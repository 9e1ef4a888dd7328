"""Time on one machine and between two."""

from __future__ import annotations

import math
import runpy
import time
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posewire import clock
from posewire.clock import ServerClock

delays = st.floats(0, 10)
moments = st.floats(0, 4e9)


def test_now_is_carried_on_by_the_monotonic_clock_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    # A wall clock that is stepped an hour back after the start does not matter.
    ticks = SimpleNamespace(monotonic=lambda: 1000.0, time=lambda: -3600.0)
    monkeypatch.setattr(clock, "time", ticks)
    before = clock.now()
    ticks.monotonic = lambda: 1002.5
    assert clock.now() - before == pytest.approx(2.5, abs=1e-6)


def test_now_starts_on_the_scale_of_the_wall_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    # A module of its own, loaded while the machine has been up 1000 s.
    with monkeypatch.context() as at_start:
        at_start.setattr(time, "time", lambda: 1.7e9)
        at_start.setattr(time, "monotonic", lambda: 1000.0)
        fresh = runpy.run_path(clock.__file__)
        assert fresh["now"]() == 1.7e9


def test_durations_are_those_of_the_monotonic_clock() -> None:
    assert clock.monotonic is time.monotonic


def test_before_the_first_exchange_the_clocks_are_taken_for_one() -> None:
    server = ServerClock()
    assert (server.to_server(5.0), server.to_local(5.0)) == (5.0, 5.0)
    assert math.isinf(server.uncertainty)


def test_the_exchange_with_the_least_round_trip_counts() -> None:
    server = ServerClock()
    server.update([(0.0, 100.0, 1.0), (2.0, 102.1, 2.2), (3.0, 109.0, 9.0)])
    assert server.offset == pytest.approx(100.0)
    assert server.uncertainty == pytest.approx(0.1)
    assert server.to_server(7.0) == pytest.approx(107.0)
    assert server.to_local(107.0) == pytest.approx(7.0)


def test_a_later_sync_replaces_an_earlier_one() -> None:
    server = ServerClock()
    server.update([(0.0, 100.0, 0.0)])
    server.update([(10.0, 60.5, 11.0)])
    assert (server.offset, server.uncertainty) == (50.0, 0.5)


@given(
    offset=st.floats(-1e6, 1e6),
    exchanges=st.lists(st.tuples(moments, delays, delays), min_size=1, max_size=8),
)
def test_the_offset_is_wrong_by_no_more_than_it_says(
    offset: float, exchanges: list[tuple[float, float, float]]
) -> None:
    server = ServerClock()
    server.update([(asked, asked + there + offset, asked + there + back) for asked, there, back in exchanges])
    assert abs(server.offset - offset) <= server.uncertainty + 1e-5
    assert server.uncertainty <= min((there + back) / 2 for _, there, back in exchanges) + 1e-6


@given(offset=st.floats(-1e9, 1e9), moment=moments)
def test_there_and_back_is_the_same_time(offset: float, moment: float) -> None:
    server = ServerClock()
    server.update([(0.0, offset, 0.0)])
    assert server.to_local(server.to_server(moment)) == pytest.approx(moment, abs=1e-5)
