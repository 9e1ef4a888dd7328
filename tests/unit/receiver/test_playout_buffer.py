"""Each frame at its moment, in order; what comes too late is counted, and what cannot be held is told."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from posewire.receiver.alignment import Alignment
from posewire.receiver.clock_skew import ClockSkew
from posewire.receiver.playout_buffer import EARLY, PlayoutBuffer, Timeline
from posewire.receiver.playout_delay import PlayoutDelay
from posewire.receiver.received import Counts, Received
from tests.unit.receiver.playout import START, frame, play, stream


def buffer(delay: float | None = 0.05, **options: Any) -> tuple[PlayoutBuffer, Counts]:
    counts = Counts()
    return PlayoutBuffer(Timeline(PlayoutDelay(delay=delay)), counts, **{"size": 128, **options}), counts


def test_each_frame_is_released_as_long_after_its_capture_as_the_others() -> None:
    rng = random.Random(1)
    audio, counts = buffer(0.05)
    released = play(audio, stream(200, every=0.02, transit=lambda _: 0.03 + rng.uniform(0, 0.04), kind="audio"))
    assert [release.received.seq for _, release in released] == list(range(1, 201))
    lags = [time - release.timestamp for time, release in released[50:]]
    assert max(lags) - min(lags) < 0.002
    assert lags[0] == pytest.approx(0.08, abs=0.002)
    assert (counts.late, counts.missing, counts.dropped) == (0, 0, 0)
    assert not any(release.interpolated for _, release in released)


def test_what_comes_too_late_is_left_out_and_counted_as_late_and_missing() -> None:
    frames = stream(20, every=0.02, transit=lambda index: 0.2 if index == 10 else 0.03, kind="audio")
    audio, counts = buffer(0.05)
    released = play(audio, frames)
    assert [release.received.seq for _, release in released] == [*range(1, 11), *range(12, 21)]
    assert (counts.late, counts.missing) == (1, 1)
    assert (frames[10].stats.late, frames[11].stats.missing) == (1, 1)


def test_a_little_late_is_released_at_once() -> None:
    frames = stream(20, every=0.02, transit=lambda index: 0.092 if index == 10 else 0.03, kind="audio")
    audio, counts = buffer(0.05)
    released = {release.received.seq: time - START for time, release in play(audio, frames)}
    assert released[11] == pytest.approx(0.2 + 0.092)
    assert counts.late == 0


def test_sound_that_was_made_up_for_a_lost_packet_is_released_in_its_place_and_does_not_delay_the_rest() -> None:
    frames = stream(500, every=0.02, transit=lambda _: 0.03, kind="audio")
    for index in range(10, 500, 20):
        lost, after = frames[index], frames[index + 1]
        frames[index] = msgspec.structs.replace(lost, seq=after.seq, size=0, arrived=after.arrived)
    audio, counts = buffer(0.05)
    released = play(audio, frames)
    assert [release.timestamp for _, release in released] == [each.timestamp for each in frames]
    assert (counts.missing, counts.late) == (25, 0)
    adaptive, counts = buffer(None)
    play(adaptive, frames)
    assert adaptive.delay < 0.005
    assert counts.late > 15, "what no jitter would have asked to wait for"


def test_frames_that_overtook_each_other_are_put_in_order() -> None:
    frames = stream(20, every=0.01, transit=lambda index: 0.05 if index % 3 == 0 else 0.02, kind="audio")
    audio, counts = buffer(0.05)
    assert [release.received.seq for _, release in play(audio, frames)] == list(range(1, 21))
    assert counts.late == 0


def test_what_was_overtaken_by_what_is_shown_already_is_late() -> None:
    frames = stream(100, every=0.005, transit=lambda index: 0.09 if index == 50 else 0.03, kind="audio")
    audio, counts = buffer(0.05)
    seqs = [release.received.seq for _, release in play(audio, frames)]
    assert seqs == [seq for seq in range(1, 101) if seq != 51]
    assert counts.late == 1


@pytest.mark.parametrize("kind", ["pose", "audio"])
def test_a_loop_that_comes_late_gets_the_newest_pose_and_all_of_the_sound(kind: Any) -> None:
    held, counts = buffer(0.05)
    for received in stream(10, every=0.02, transit=lambda _: 0.03, kind=kind):
        held.put(received, received.arrived)
    now, seqs = START + 1.0, []
    while (release := held.take(now)) is not None:
        seqs.append(release.received.seq)
    assert seqs == ([10] if kind == "pose" else list(range(1, 11)))
    assert counts.dropped == (9 if kind == "pose" else 0)


def test_a_loop_that_is_not_read_does_not_grow() -> None:
    held, counts = buffer(0.05, size=8)
    for received in stream(1000, every=0.02, transit=lambda _: 0.03, kind="audio"):
        held.put(received, received.arrived)
        assert len(held._times) == len(held._frames) <= 8
    assert counts.dropped == 992


@pytest.mark.parametrize("hours", [1, -1])
def test_a_clock_that_is_set_does_not_strand_what_waits(hours: int) -> None:
    frames = stream(10, every=0.02, transit=lambda _: 0.03, kind="audio")
    moved = [
        frame(seq, START + 3600 * hours + seq / 50, arrived=START + seq / 50 + 0.03, kind="audio")
        for seq in range(11, 61)
    ]
    audio, _ = buffer(0.05)
    released = play(audio, [*frames, *moved], until=START + 10)
    assert [release.received.seq for _, release in released][-30:] == list(range(31, 61))
    assert audio.next_time() is None


def test_a_stream_that_cannot_be_held_is_told_and_released_as_it_comes_until_it_can() -> None:
    told: list[tuple[bool, float]] = []

    def aligned(_: Received, alignment: Alignment) -> None:
        told.append((alignment.held, alignment.offset))

    timeline = Timeline(PlayoutDelay(delay=0.05))
    counts = Counts()
    pose = PlayoutBuffer(timeline, counts, size=128, aligned=aligned)
    audio = PlayoutBuffer(timeline, Counts(), size=128, aligned=aligned)
    poses = stream(300, every=1 / 30, transit=lambda _: 0.03)
    sounds = stream(500, every=0.02, transit=lambda index: 0.4 if 100 <= index < 300 else 0.03, kind="audio")
    apart: list[float] = []
    coming = sorted([*poses, *sounds], key=lambda received: received.arrived)
    lags: dict[str, float] = {}
    for received in coming:
        now = received.arrived
        for each in (pose, audio):
            while (due := each.next_time()) is not None and due <= now:
                release = each.take(due)
                assert release is not None
                lags[release.received.kind] = max(due, release.received.arrived) - release.timestamp
                if len(lags) == 2:
                    apart.append(abs(lags["pose"] - lags["audio"]))
        (pose if received.kind == "pose" else audio).put(received, now)
    assert [held for held, _ in told] == [False, True]
    assert told[0][1] == pytest.approx(0.4 - 0.08, abs=0.01)
    assert told[1][1] == 0.0
    assert max(apart[:150]) < 0.001
    assert max(apart) > 0.3, "it was released nevertheless"
    assert max(apart[-50:]) < 0.001
    assert counts.late == 0


def test_alignment_changes_only_after_a_second_and_five_frames() -> None:
    alignment = Alignment()
    assert not any(alignment.observe(0.05, now / 10) for now in range(10))
    assert alignment.observe(0.021, 1.0)
    assert (alignment.held, alignment.offset) == (False, 0.021)
    assert not any(alignment.observe(0.0, now / 10) for now in range(11, 20))
    assert not alignment.observe(0.015, 2.0), "nearly is not enough"
    assert not any(alignment.observe(0.0, now / 10) for now in range(21, 31))
    assert alignment.observe(-0.1, 3.1)
    assert alignment.held
    assert not any(alignment.observe(0.05, now) for now in range(4, 8)), "few frames prove little"
    assert alignment.observe(0.05, 8)


@pytest.mark.parametrize("ppm", [200.0, -200.0, 0.0])
def test_a_sound_card_that_runs_away_is_followed(ppm: float) -> None:
    rng, skew = random.Random(2), ClockSkew()
    for index in range(30 * 600):
        now = index / 30
        skew.observe("pose", now=now, transit=0.03 + rng.uniform(0, 0.04))
        skew.observe("audio", now=now, transit=0.05 + rng.uniform(0, 0.04) + now * ppm / 1e6)
    assert skew.correction == pytest.approx(600 * ppm / 1e6, abs=0.008)


def test_another_route_for_the_sound_is_not_taken_for_a_clock() -> None:
    skew = ClockSkew()
    for index in range(30 * 60):
        now = index / 30
        skew.observe("pose", now=now, transit=0.03)
        skew.observe("audio", now=now, transit=0.05 if now < 30 else 0.09)
        if 40 < now < 50:
            skew.observe("audio", now=now, transit=0.09)
    assert skew.correction == pytest.approx(0.0, abs=1e-9)
    silent = ClockSkew()
    for now in range(60):
        silent.observe("audio", now=now, transit=now * 0.0002)
    assert silent.correction == 0.0


def test_sound_is_shown_by_the_clock_of_the_poses() -> None:
    timeline = Timeline(PlayoutDelay(), ClockSkew())
    audio = PlayoutBuffer(timeline, Counts(), size=128)
    timeline.skew.correction = 0.3  # type: ignore[union-attr]
    audio.put(frame(1, START, arrived=START + 0.33, kind="audio"), START + 0.33)
    release = audio.take(START + 1)
    assert release is not None
    assert release.timestamp == pytest.approx(START + 0.3)


@given(
    transits=st.lists(st.floats(0, 0.3), min_size=1, max_size=60),
    kind=st.sampled_from(("pose", "audio")),
    delay=st.one_of(st.none(), st.floats(0.005, 0.2)),
    lag=st.floats(0, 0.05),
)
def test_nothing_is_released_early_twice_or_out_of_order_and_everything_is_accounted_for(
    transits: list[float], kind: Any, delay: float | None, lag: float
) -> None:
    held, counts = buffer(delay)
    frames = stream(len(transits), every=1 / 30, transit=transits.__getitem__, kind=kind)
    released = play(held, frames, lag=lambda: lag)
    seqs = [release.received.seq for _, release in released]
    assert seqs == sorted(set(seqs))
    times = [time for time, _ in released]
    assert times == sorted(times)
    assert all(time >= release.received.arrived - EARLY for time, release in released)
    assert len(seqs) + counts.late + counts.dropped == len(transits)
    assert held.next_time() is None
