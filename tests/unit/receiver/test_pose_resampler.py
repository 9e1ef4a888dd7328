"""Poses at even moments: the interval does not know of the jitter, the pose is that of exactly the moment shown."""

from __future__ import annotations

import itertools
import random
import statistics
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from posewire.receiver.playout_buffer import Timeline
from posewire.receiver.playout_delay import PlayoutDelay
from posewire.receiver.pose_resampler import EXTRAPOLATE, PoseResampler
from posewire.receiver.received import Counts
from tests.unit.receiver.playout import START, frame, play, stream, value_of


def resampler(delay: float | None = 0.08, **options: Any) -> tuple[PoseResampler, Counts]:
    counts = Counts()
    return PoseResampler(Timeline(PlayoutDelay(delay=delay)), counts, **{"size": 128, **options}), counts


def gaps(released: list[tuple[float, Any]]) -> list[float]:
    return [b - a for (a, _), (b, _) in itertools.pairwise(released)]


@pytest.mark.parametrize("delay", [0.08, None])
def test_forty_milliseconds_of_jitter_are_absorbed(delay: float | None) -> None:
    rng = random.Random(1)
    frames = stream(900, every=1 / 30, transit=lambda _: 0.02 + rng.uniform(0, 0.04))
    buffer, counts = resampler(delay)
    released = play(buffer, frames)[60:-10]
    assert statistics.pstdev(gaps(released)) < 0.0005
    assert buffer.delay <= 0.0801
    assert len(released) > 800
    assert counts.late == 0
    for time, release in released:
        assert value_of(release.pose) == pytest.approx(release.timestamp - START, abs=2e-4), "exactly of its moment"
        assert 0.09 < time - release.timestamp < 0.101
    assert sum(release.interpolated for _, release in released) > 600


def test_as_many_a_second_as_asked_for() -> None:
    frames = stream(300, every=1 / 30, transit=lambda _: 0.02)
    buffer, counts = resampler(fps=90)
    released = play(buffer, frames)[30:-10]
    assert gaps(released) == pytest.approx([1 / 90] * len(gaps(released)), abs=1e-6)
    assert counts.missing == 0, "the end of the stream is no hole"
    seqs = [release.received.seq for _, release in released]
    assert seqs == sorted(seqs)
    for _, release in released:
        assert value_of(release.pose) == pytest.approx(release.timestamp - START, abs=2e-4)
        assert release.received.timestamp <= release.timestamp + 1e-4


@pytest.mark.parametrize("fps", [5, 10, 25, 60, 120])
def test_the_senders_rate_is_found_even_when_frames_are_lost(fps: int) -> None:
    rng = random.Random(3)
    frames = [each for each in stream(40 + 5 * fps, every=1 / fps, transit=lambda _: 0.02) if rng.random() > 0.1]
    buffer, _ = resampler(None)
    released = play(buffer, frames, until=frames[-1].arrived)
    late = gaps(released)[-2 * fps :]
    assert statistics.median(late) == pytest.approx(1 / fps, rel=0.01)


def test_uneven_captures_are_shown_evenly() -> None:
    rng = random.Random(5)
    times = [index / 30 + rng.uniform(-0.006, 0.006) for index in range(300)]
    frames = [frame(seq, START + time, arrived=START + time + 0.02, value=time) for seq, time in enumerate(times, 1)]
    buffer, _ = resampler(0.08)
    released = play(buffer, frames)[60:-10]
    assert statistics.pstdev(gaps(released)) < 0.001
    for _, release in released:
        assert value_of(release.pose) == pytest.approx(release.timestamp - START, abs=2e-3)


def test_a_lost_frame_is_bridged() -> None:
    frames = stream(60, every=1 / 30, transit=lambda _: 0.02)
    del frames[30:33]
    buffer, counts = resampler(0.08)
    released = [release for _, release in play(buffer, frames, until=frames[-1].arrived)]
    assert counts.missing == 0
    between = [release for release in released if START + 29.1 / 30 < release.timestamp < START + 32.9 / 30]
    assert len(between) >= 3
    for release in between:
        assert release.interpolated
        assert value_of(release.pose) == pytest.approx(release.timestamp - START, abs=2e-4)


def test_nothing_is_made_up_over_a_pause_and_the_motion_goes_on_for_a_moment_only() -> None:
    frames = [each for each in stream(120, every=1 / 30, transit=lambda _: 0.02) if not 30 < each.seq <= 60]
    buffer, counts = resampler(0.05)
    released = [release for _, release in play(buffer, frames, until=frames[-1].arrived)]
    last, first = START + 29 / 30, START + 60 / 30
    in_pause = [release for release in released if last + 1e-4 < release.timestamp < first - 1e-4]
    assert all(release.timestamp <= last + EXTRAPOLATE for release in in_pause)
    assert in_pause
    for release in in_pause:
        assert value_of(release.pose) == pytest.approx(release.timestamp - START, abs=2e-4)
    assert 10 <= counts.missing <= 16, "until the schedule stopped"
    again = [release for release in released if release.timestamp >= first - 1e-4]
    assert len(again) > 50
    assert not again[0].interpolated, "it begins with the first capture"


def test_the_end_of_a_stream_is_the_end_of_the_schedule() -> None:
    buffer, counts = resampler(0.05)
    released = play(buffer, stream(30, every=1 / 30, transit=lambda _: 0.02), until=START + 1e6)
    assert buffer.next_time() is None
    assert released[-1][1].timestamp <= START + 29 / 30 + EXTRAPOLATE
    assert counts.missing == 0


def test_a_sender_that_rests_has_nothing_missing() -> None:
    frames = stream(60, every=1 / 30, transit=lambda _: 0.02)
    frames += [frame(61 + index, START + 5 + index / 30, arrived=START + 5.02 + index / 30) for index in range(30)]
    buffer, counts = resampler(0.05)
    assert len(play(buffer, frames)) > 80
    assert counts.missing == 0


def test_a_frame_that_comes_after_its_moment_is_counted_and_used_if_it_still_can_be() -> None:
    frames = stream(60, every=1 / 30, transit=lambda index: 0.15 if index == 30 else 0.02)
    buffer, counts = resampler(0.05)
    for _, release in play(buffer, frames, until=frames[-1].arrived)[3:]:
        assert value_of(release.pose) == pytest.approx(release.timestamp - START, abs=2e-3)
    assert (counts.late, frames[30].stats.late) == (1, 1)


def test_a_frame_is_late_when_its_moment_was_made_up_meanwhile() -> None:
    # Captured between two moments; comes before the next moment but one.
    frames = stream(60, every=1 / 30, transit=lambda index: 0.09 if index == 31 else 0.02)
    buffer, counts = resampler(0.05, fps=45)
    play(buffer, frames, until=frames[-1].arrived)
    assert counts.late == 1


def test_what_a_stall_held_up_is_late_and_the_newest_is_shown_at_once() -> None:
    stalled = {index: 0.02 + (60 - index) / 30 for index in range(30, 60)}
    frames = stream(120, every=1 / 30, transit=lambda index: stalled.get(index, 0.02))
    buffer, counts = resampler(0.05)
    released = play(buffer, frames, until=frames[-1].arrived)
    assert 25 <= counts.late <= 29
    assert counts.dropped == 0, "the loop was not too slow"
    assert 10 <= counts.missing <= 16, "until the schedule stopped"
    end = frames[59].arrived
    assert min(time for time, _ in released if time >= end) < end + 0.001


def test_moments_are_even_however_late_the_loop_comes() -> None:
    rng = random.Random(6)
    buffer, _ = resampler(0.08)
    released = play(buffer, stream(150, every=1 / 30, transit=lambda _: 0.02), lag=lambda: rng.uniform(0, 0.02))[40:-10]
    assert statistics.pstdev(gaps(released)) > 0.004
    moments = [release.timestamp for _, release in released]
    assert [b - a for a, b in itertools.pairwise(moments)] == pytest.approx([1 / 30] * (len(moments) - 1), abs=1e-4)


@pytest.mark.parametrize("delay", [None, 0.01])
def test_a_long_pause_is_no_interval(delay: float | None) -> None:
    frames = [frame(1, START, arrived=START + 0.02)]
    frames += [frame(2 + index, START + 3 + index / 30, arrived=START + 3.02 + index / 30) for index in range(30)]
    buffer, _ = resampler(delay)
    released = play(buffer, frames, until=frames[-1].arrived)
    assert buffer.delay < 0.1
    assert gaps(released)[-10:] == pytest.approx([1 / 30] * 10)


@pytest.mark.parametrize("hours", [1, -1])
def test_a_clock_that_is_set_begins_the_schedule_anew(hours: int) -> None:
    frames = stream(60, every=1 / 30, transit=lambda _: 0.02)
    frames += [
        frame(60 + index, START + 3600 * hours + index / 30, arrived=START + 2.02 + index / 30) for index in range(60)
    ]
    buffer, counts = resampler(0.05)
    released = play(buffer, frames, until=frames[-1].arrived)
    moments = [release.timestamp - START - 3600 * hours for _, release in released[-30:]]
    assert moments == sorted(moments)
    assert 0 < moments[0] < moments[-1] < 2
    assert counts.missing == 0 if hours > 0 else counts.missing < 10, "late frames prove it more slowly"


def test_a_pose_without_a_past_stays_where_it_is_for_a_moment() -> None:
    frames = stream(2, every=1 / 30, transit=lambda index: 0.02 + 0.1 * index)
    frames[0] = frame(1, START, arrived=START + 0.02, value=7.0)
    buffer, _ = resampler(0.005, fps=100)
    alone = [release for time, release in play(buffer, frames) if time < frames[1].arrived]
    assert [round(1000 * (release.timestamp - START)) for release in alone] == [0, 10, 20, 30]
    assert all(value_of(release.pose) == 7.0 for release in alone)


def test_time_stands_still_while_the_delay_jumps_and_never_goes_back() -> None:
    frames = stream(300, every=1 / 30, transit=lambda index: 0.9 if 100 <= index < 130 and index % 9 else 0.02)
    counts = Counts()
    buffer = PoseResampler(Timeline(PlayoutDelay(delay_max=2.0)), counts, size=128)
    moments = [release.timestamp for _, release in play(buffer, frames)]
    assert moments == sorted(set(moments))
    assert buffer.delay > 0.8


def test_a_loop_that_comes_late_gets_the_newest_and_what_it_missed_is_counted() -> None:
    buffer, counts = resampler(0.05)
    for received in stream(30, every=1 / 30, transit=lambda _: 0.02):
        buffer.put(received, received.arrived)
    now = START + 0.8
    release = buffer.take(now)
    assert release is not None
    assert now - release.timestamp < 0.07 + 1 / 30
    assert counts.dropped > 15
    assert buffer.take(now) is None


def test_what_is_not_read_does_not_grow() -> None:
    buffer, counts = resampler(0.05, size=8)
    for received in stream(1000, every=1 / 30, transit=lambda _: 0.02):
        buffer.put(received, received.arrived)
        assert len(buffer._times) == len(buffer._frames) <= 8
    assert counts.dropped == 992


def test_the_same_moment_twice_is_one() -> None:
    buffer, _ = resampler()
    for seq in (1, 2, 3):
        buffer.put(frame(seq, START, arrived=START + 0.02), START + 0.02)
    assert len(buffer._times) == 1


@given(
    captures=st.lists(st.tuples(st.floats(0.001, 0.4), st.floats(0, 0.3)), min_size=1, max_size=50),
    delay=st.one_of(st.none(), st.floats(0.005, 0.3)),
    fps=st.one_of(st.none(), st.floats(1, 200)),
    lag=st.floats(0, 0.1),
    start=st.sampled_from((100.0, START)),
)
def test_moments_rise_and_nothing_is_shown_that_was_not_known(
    captures: list[tuple[float, float]], delay: float | None, fps: float | None, lag: float, start: float
) -> None:
    buffer, counts = resampler(delay, fps=fps)
    time, frames = start, []
    for seq, (step, transit) in enumerate(captures, 1):
        time += step
        frames.append(frame(seq, time, arrived=time + transit, value=time - start))
    released = play(buffer, frames, lag=lambda: lag)
    moments = [release.timestamp for _, release in released]
    assert moments == sorted(set(moments))
    for now, release in released:
        known = [each.timestamp for each in frames if each.arrived <= now]
        assert min(known) - 2e-4 <= release.timestamp <= max(known) + EXTRAPOLATE + 2e-4
        assert release.received.timestamp <= release.timestamp + 2e-4
        assert np.isfinite(value_of(release.pose))
        if not release.interpolated:
            assert release.pose is release.received.pose
    assert len(buffer._times) <= 128
    assert counts.late <= len(frames)
