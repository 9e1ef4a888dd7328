"""What the pressure benchmark counts with: numbers in poses, tables to figures."""

from __future__ import annotations

import dataclasses

import msgspec
import numpy as np
import pytest
from benchmarks.netlab import LineStats, LinkStats
from benchmarks.pressure import figures, motions
from benchmarks.pressure.messages import AUDIO, EVENTS, Got, Report
from benchmarks.pressure.play import Played
from benchmarks.pressure.scenarios import OURS, SCENARIOS, cases
from hypothesis import given
from hypothesis import strategies as st

from posewire.protocol import PoseData

CASE = SCENARIOS["e"][0]
EMPTY = LinkStats(up=LineStats(), down=LineStats())


def played(sent: list[float], came: list[tuple[int, float]], stream: str = "pose33") -> Played:
    """Return a case in which frames were sent at seconds, and numbers came at seconds."""
    start = 10**12
    got = Got(
        numbers=np.array([number for number, _ in came], dtype=np.int64).tobytes(),
        times=np.array([start + round(at * 1e9) for _, at in came], dtype=np.int64).tobytes(),
    )
    nothing = Report(cpu_s=0, memory=[])
    table = np.array([start + round(at * 1e9) for at in sent], dtype=np.int64).tobytes()
    return Played(
        case=CASE,
        start_ns=start,
        link=[EMPTY],
        link_kind="tun",
        server=nothing,
        publisher=Report(cpu_s=0, memory=[], sent={stream: table}),
        subscribers=[Report(cpu_s=0, memory=[], got={"sub0": {stream: got}})],
        others=0.0,
    )


@given(st.integers(0, motions.MAX_FRAMES - 1), st.sampled_from(["pose33", "holistic"]))
def test_a_pose_tells_its_number_after_coding(number: int, stream: str) -> None:
    pose = motions.pose(stream, number)
    assert motions.number_of(pose) == number
    body = pose.pose_landmarks
    assert body is not None
    # Visibility is sent in steps of 1/32.
    rounded = body.copy()
    rounded[:, 3] = np.rint(body[:, 3] * 32) / 32
    assert motions.number_of(dataclasses.replace(pose, pose_landmarks=rounded)) == number


def test_a_damaged_number_is_not_believed() -> None:
    given_body = motions.pose("pose33", 77).pose_landmarks
    assert given_body is not None
    body = given_body.copy()
    body[-1, 3] = (body[-1, 3] + 1 / 16) % 1
    assert motions.number_of(PoseData(body)) is None
    assert motions.number_of(PoseData(None, face_landmarks=np.zeros((468, 4), np.float32))) is None


def test_errors_are_in_steps_and_infinite_for_what_is_missing() -> None:
    pose = motions.pose("holistic", 3)
    assert motions.errors(pose, pose) == (0.0, 0.0)
    assert motions.errors(pose, dataclasses.replace(pose, face_landmarks=None)) == (float("inf"), float("inf"))
    assert pose.pose_landmarks is not None
    moved = pose.pose_landmarks.copy()
    moved[0, 0] += 1 / 2048
    assert motions.errors(pose, dataclasses.replace(pose, pose_landmarks=moved))[0] == pytest.approx(1, rel=1e-3)


def test_ages_losses_and_phases() -> None:
    seen = played([0.0, 0.1, 7.0, 12.0], [(0, 0.05), (1, 0.2), (3, 12.5)])
    came = figures.arrivals(seen, "pose33")
    assert came.ages == pytest.approx([0.05, 0.1, 0.5])
    assert figures.stream_figures(came, CASE)["clear"]["max"] == pytest.approx(100.0)
    assert figures.lost(seen, "pose33") == (1, 4)
    assert figures.lost(seen, "pose33", start=11.0) == (0, 1)
    assert figures.first_after(came, 11.0, seen, "pose33") == 1.5


def test_a_frame_from_before_the_return_is_no_fresh_one() -> None:
    seen = played([10.9, 11.3], [(0, 11.1), (1, 11.4)])
    assert figures.first_after(figures.arrivals(seen, "pose33"), 11.0, seen, "pose33") == 0.4
    assert figures.first_after(figures.arrivals(seen, "pose33"), 12.0, seen, "pose33") is None


def test_back_means_a_second_of_full_rate_and_low_age() -> None:
    sent = [11 + number / 30 for number in range(150)]
    # The first second arrives at half the rate, and what comes up to 12.5 is old.
    came = [(n, at + (0.4 if at < 12.5 else 0.02)) for n, at in enumerate(sent) if at >= 12 or n % 2]
    seen = played(sent, sorted(came, key=lambda entry: entry[1]))
    back = figures.back_after(figures.arrivals(seen, "pose33"), 11.0, fps=30)
    assert back is not None
    assert 1.85 < back < 2.0
    seen = played(sent, [entry for entry in came if entry[0] % 2])
    assert figures.back_after(figures.arrivals(seen, "pose33"), 11.0, fps=30) is None


@pytest.mark.parametrize(
    ("numbers", "twice", "missing", "in_order"),
    [([0, 1, 2], 0, [], True), ([0, 2], 0, [1], True), ([0, 1, 1, 2], 1, [], False), ([1, 0, 2], 0, [], False)],
)
def test_events_are_counted(numbers: list[int], twice: int, missing: list[int], in_order: bool) -> None:
    seen = played([0.0, 0.1, 0.2], [(number, 1 + place / 10) for place, number in enumerate(numbers)], EVENTS)
    found = figures.event_figures(seen)
    assert (found["twice"], found["missing"], found["in_order"]) == (twice, missing, in_order)


def test_a_clock_that_is_not_shared_is_noticed() -> None:
    with pytest.raises(AssertionError, match="do not share a clock"):
        figures.arrivals(played([1.0], [(0, 0.5)], AUDIO), AUDIO)


def test_every_scenario_can_be_played() -> None:
    for case in cases(list(SCENARIOS), [OURS], 0.5):
        for step in case.steps():
            step.apply(case.up if step.side == "up" else case.down)
        assert case.seconds == pytest.approx(sum(phase.seconds for phase in case.phases))
        assert msgspec.json.encode(case)
