"""Time on one machine and between two."""

from __future__ import annotations

import itertools
import math
import runpy
import time
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posewire import clock
from posewire.clock import ServerClock

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
    assert (server.to_server(5.0), server.to_local(5.0), server.offset) == (5.0, 5.0, 0.0)
    assert math.isinf(server.uncertainty)


def test_the_first_estimate_is_believed_at_once_and_is_no_step() -> None:
    server = ServerClock()
    assert not server.correct(100.0, 40.0, 100.0, 0.01)
    assert (server.offset, server.drift, server.uncertainty, server.steps) == (40.0, 100.0, 0.01, 0)
    assert server.to_server(100.0) == 140.0
    assert server.to_server(1100.0) == pytest.approx(1140.1)
    assert server.to_server(0.0) == pytest.approx(39.99)


def test_a_small_correction_is_made_little_by_little() -> None:
    server = ServerClock()
    server.correct(0.0, 10.0, 0.0, 0.01)
    assert not server.correct(100.0, 10.01, 0.0, 0.01)
    assert server.to_server(100.0) == 110.0
    assert server.to_server(101.0) == pytest.approx(111.005)
    assert server.to_server(102.0) == pytest.approx(112.01)
    assert server.to_server(200.0) == pytest.approx(210.01)
    assert server.to_server(50.0) == 60.0, "what was converted converts alike"
    assert server.offset == 10.01, "as measured"


def test_a_larger_one_takes_five_seconds() -> None:
    server = ServerClock()
    server.correct(0.0, 10.0, 0.0, 0.1)
    server.correct(100.0, 9.9, 0.0, 0.1)
    assert server.to_server(102.5) == pytest.approx(112.45)
    assert server.to_server(105.0) == pytest.approx(114.9)
    assert server.to_server(106.0) == pytest.approx(115.9)


def test_a_correction_in_the_middle_of_another_goes_on_from_there() -> None:
    server = ServerClock()
    server.correct(0.0, 0.0, 0.0, 0.1)
    server.correct(10.0, 0.1, 0.0, 0.1)
    server.correct(12.5, 0.05, 0.0, 0.1)
    assert server.to_server(12.5) == pytest.approx(12.55)
    assert server.to_server(20.0) == pytest.approx(20.05)


@pytest.mark.parametrize(("offset", "step"), [(10.2, False), (9.0, False), (10.001, True)])
def test_a_step(offset: float, step: bool) -> None:
    server = ServerClock()
    server.correct(0.0, 10.0, 0.0, 0.1)
    assert server.correct(50.0, offset, 0.0, 0.1, step=step)
    assert server.to_server(50.0) == pytest.approx(50.0 + offset)
    assert server.steps == 1


def test_a_local_clock_that_went_back_is_a_step() -> None:
    server = ServerClock()
    server.correct(100.0, 10.0, 0.0, 0.1)
    assert server.correct(50.0, 10.0, 0.0, 0.1)
    assert server.to_server(50.0) == 60.0


estimates = st.lists(st.tuples(st.floats(0.01, 10), st.floats(-0.06, 0.06), st.floats(-500, 500)), max_size=20)


@given(estimates=estimates, pauses=st.lists(st.floats(1e-5, 2.0), min_size=1, max_size=40))
def test_no_time_goes_back_while_the_clock_is_corrected(
    estimates: list[tuple[float, float, float]], pauses: list[float]
) -> None:
    """A stream's times are converted as they come, at most 5 s old, with corrections before, after and in between."""
    server = ServerClock()
    server.correct(1000.0, 10.0, 0.0, 0.1)
    now, captured, last, due = 1000.0, 1000.0, 0.0, iter(estimates)
    for pause in itertools.islice(itertools.cycle(pauses), 60):
        captured += pause
        if captured > now:
            now = captured
            if estimate := next(due, None):
                now += estimate[0] / 2
                assert not server.correct(now, 10.0 + estimate[1], estimate[2], 0.1)
        converted = server.to_server(captured)
        assert converted > last
        # A double of so many seconds is good for a quarter of a microsecond, twice.
        assert server.to_local(converted) == pytest.approx(captured, abs=1e-6)
        last = converted


@given(offset=st.floats(-1e9, 1e9), moment=moments, drift=st.floats(-500, 500))
def test_there_and_back_is_the_same_time(offset: float, moment: float, drift: float) -> None:
    server = ServerClock()
    server.correct(0.0, offset, drift, 0.0)
    assert server.to_local(server.to_server(moment)) == pytest.approx(moment, abs=1e-5)


def test_the_chain_does_not_grow() -> None:
    server = ServerClock()
    for second in range(1000):
        server.correct(float(second), second % 2 / 100, 0.0, 0.1)
    assert len(server._lines) <= 12
