"""Which poses are sent when not all are to be."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posewire.sender import thinning as module
from posewire.sender.thinning import Thinning


def test_all_by_default() -> None:
    thinning = Thinning()
    assert all(thinning.admits("s", 1000.0) for _ in range(100))


def test_a_share_is_spread_evenly_and_each_stream_is_for_itself() -> None:
    thinning = Thinning()
    thinning.set_rate(0.5)
    taken = [(stream, thinning.admits(stream, 0.0)) for _ in range(4) for stream in ("a", "b")]
    assert [admitted for stream, admitted in taken if stream == "a"] == [True, False, True, False]
    assert [admitted for stream, admitted in taken if stream == "b"] == [True, False, True, False]
    thinning.set_rate(0)
    assert not any(thinning.admits("a", 0.0) for _ in range(100))


@given(st.floats(0.01, 1.0))
def test_the_share_is_what_was_asked_for(rate: float) -> None:
    thinning = Thinning()
    thinning.set_rate(rate)
    taken = [index for index in range(1000) if thinning.admits("s", 0.0)]
    assert taken[0] == 0
    assert len(taken) == pytest.approx(1000 * rate, abs=1.01)
    gaps = {later - earlier for earlier, later in itertools.pairwise(taken)}
    assert max(gaps, default=1) - min(gaps, default=1) <= 1


@pytest.mark.parametrize(("camera", "target", "expected"), [(60, 30, 30), (30, 30, 30), (25, 30, 25), (90, 24, 24)])
def test_a_rate_in_frames_a_second(camera: int, target: int, expected: int) -> None:
    thinning = Thinning()
    thinning.set_fps(target)
    taken = sum(thinning.admits("s", 1000 + index / camera) for index in range(10 * camera))
    assert taken == pytest.approx(10 * expected, abs=1)


@given(st.lists(st.floats(0.0, 0.1), min_size=1, max_size=300), st.floats(5, 60))
def test_never_more_than_the_rate(gaps: list[float], fps: float) -> None:
    thinning = Thinning()
    thinning.set_fps(fps)
    times = [1000.0 + each for each in itertools.accumulate(gaps)]
    taken = [time for time in times if thinning.admits("s", time)]
    assert taken
    assert len(taken) <= (times[-1] - times[0]) * fps + 2.5


def test_jitter_costs_no_frames() -> None:
    thinning = Thinning()
    thinning.set_fps(30)
    jitter = [0.0, 0.008, -0.008, 0.012, -0.012, 0.004]
    assert all(thinning.admits("s", 1000 + index / 30 + jitter[index % 6]) for index in range(300))


def test_a_clock_that_is_set_back_silences_nothing() -> None:
    thinning = Thinning()
    thinning.set_fps(10)
    assert thinning.admits("s", 1000.0)
    assert thinning.admits("s", 5.0)
    assert not thinning.admits("s", 5.01)
    assert thinning.admits("s", 5.1)


def test_both_together() -> None:
    thinning = Thinning()
    thinning.set_fps(30)
    thinning.set_rate(0.5)
    assert sum(thinning.admits("s", 1000 + index / 60) for index in range(600)) == pytest.approx(150, abs=1)


def test_streams_that_are_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_STREAMS", 3)
    thinning = Thinning()
    thinning.set_fps(10)
    thinning.set_rate(0.5)
    for index in range(20):
        assert thinning.admits(f"stream-{index}", 1000.0)
        assert len(thinning._due) <= 3
        assert len(thinning._owed) <= 3
