"""Rate controller and ladder at work, with a link that is told what to be."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from posewire.flow import LADDER
from posewire.protocol import PoseData, control
from posewire.sender import quality_control as module
from posewire.sender.capture_delays import CaptureDelays
from posewire.sender.quality_control import QualityControl
from tests.unit.sender.fakes import FakeLane, FakeSocket

HOLISTIC = PoseData(
    np.zeros((33, 4), np.float32), np.zeros((478, 4), np.float32), np.zeros((2, 21, 4), np.float32), 1.0
)
BEHIND = {"receivers": 2, "behind": 2, "streams": [{"stream": 1}]}


class Rig:
    """Time goes on at 30 poses a second."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.socket = FakeSocket()
        self.delays = CaptureDelays()
        self.control = QualityControl(self.socket, self.delays)
        self.now = 100.0
        self.coarser: list[int] = []
        self.layered: list[bool] = []
        monkeypatch.setattr("posewire.sender.quality_control.clock.monotonic", lambda: self.now)
        monkeypatch.setattr(self.socket.protocol, "coarsen", self.coarser.append)
        monkeypatch.setattr(self.socket.protocol, "layer", self.layered.append)

    def acknowledge(self, seconds: float, round_trip: float) -> None:
        """Let packets have gone and come."""
        credit = self.socket.fake_lane.credit
        credit.sent(200, seconds - round_trip)
        credit.acknowledged(credit.sent_bytes, seconds)

    def run(self, seconds: float, *, share: float = 1.0, round_trip: float = 0.01, pose: PoseData = HOLISTIC) -> None:
        debt = 0.0
        for _ in range(round(30 * seconds)):
            self.now += 1 / 30
            self.acknowledge(self.now, round_trip)
            if self.control.admits("pose", self.now):
                debt += share
                if debt >= 1:
                    debt -= 1
                    self.control.left()
                    self.control.reduce(pose)
            if share < 1:
                self.control.held_up()
            self.control.observe(self.now)


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Rig:
    return Rig(monkeypatch)


def test_full_quality_while_everything_goes_out(rig: Rig) -> None:
    rig.run(20)
    assert (rig.control.level, rig.control.rate, rig.socket.events) == (0, None, [])
    assert rig.control.reduce(HOLISTIC) is HOLISTIC


def test_down_the_ladder_step_by_step_and_up_again(rig: Rig) -> None:
    rig.run(1)
    rig.run(12, share=0.3, round_trip=0.3)
    assert rig.control.level == len(LADDER) - 1
    assert rig.control.rate is not None, "the rate controller backs off too"
    down = [event.data for event in rig.socket.events]
    assert [data["level"] for data in down] == [1, 2, 3, 4, 5]
    assert [(data["before"], data["name"]) for data in down] == [
        (LADDER[index].name, LADDER[index + 1].name) for index in range(5)
    ]
    assert all(data["degraded"] and data["rate"] > 0 for data in down)
    assert rig.layered[-1] is True
    rig.run(15)
    assert rig.control.level == 0
    assert rig.control.rate is None
    assert rig.socket.events[-1].data["degraded"] is False
    assert (rig.coarser[-1], rig.layered[-1]) == (0, False)


@pytest.mark.parametrize(("level", "share"), [(0, 1.0), (1, 0.5)])
def test_the_share_that_is_admitted(rig: Rig, monkeypatch: pytest.MonkeyPatch, level: int, share: float) -> None:
    rig.control._ladder.level = level
    admitted = {
        stream: sum(rig.control.admits(stream, 100 + index / 30) for index in range(60)) for stream in ("a", "b")
    }
    assert admitted == {"a": 60 * share, "b": 60 * share}, "each stream for itself"


def test_the_last_step_spaces_poses(rig: Rig) -> None:
    rig.control._ladder.level = len(LADDER) - 1
    times = [100 + index / 30 for index in range(90)]
    admitted = [now for now in times if rig.control.admits("pose", now)]
    assert admitted[0] == 100
    assert all(later - earlier >= 0.5 for earlier, later in itertools.pairwise(admitted))
    assert len(admitted) == 6


def test_what_is_left_out_of_a_pose(rig: Rig) -> None:
    rig.control._ladder.level = 3
    reduced = rig.control.reduce(HOLISTIC)
    assert (reduced.face_landmarks, reduced.hand_landmarks is HOLISTIC.hand_landmarks) == (None, True)
    rig.control._ladder.level = 4
    assert rig.control.reduce(HOLISTIC).hand_landmarks is None
    assert rig.control.reduce(HOLISTIC).timestamp == HOLISTIC.timestamp
    hands_only = PoseData(hand_landmarks=np.zeros((2, 21, 4), np.float32))
    assert rig.control.reduce(hands_only) is hands_only, "nothing would be left"


def test_an_outage_says_nothing_about_the_rate(rig: Rig) -> None:
    rig.run(1)
    rig.socket.fake_lane.credit.sent(100, rig.now)
    rig.now += 1.1
    for _ in range(100):
        rig.now += 0.1
        rig.control.admits("pose", rig.now)
        rig.control.held_up()
        assert not rig.control.observe(rig.now)
    assert rig.control.level == 0
    rig.socket.fake_lane = None
    rig.now += 1
    assert not rig.control.observe(rig.now)
    rig.socket.fake_lane = FakeLane()
    rig.now += 1
    assert rig.control.observe(rig.now)
    assert not rig.control.observe(rig.now + 0.05), "ten times a second"


def test_poses_that_come_late_to_everyone_are_too_much(rig: Rig) -> None:
    reported = rig.socket.told(control.REPORT)
    for _ in range(20):
        reported(BEHIND)
        rig.run(0.1)
    assert rig.control.level > 0
    assert rig.layered[-1] is True
    level = rig.control.level
    rig.now += 3.5  # the report is old by then, and says nothing
    rig.run(5)
    assert rig.control.level < level


@pytest.mark.parametrize(
    ("queueing", "lost", "level"), [(120.0, 0, 0), (140.0, 0, 0), (260.0, 0, 1), (120.0, 20, 1), (0.0, 0, 0)]
)
def test_a_tracker_that_takes_longer_is_not_a_slow_link(rig: Rig, queueing: float, lost: int, level: int) -> None:
    """Its frames are older everywhere, and the link has nothing to do with it."""
    for number in range(20):
        rig.delays.note("pose", 0.03 if number < 10 else 0.13, rig.now)
        stream = {"stream": 1, "queueing": queueing, "frames": 30, "lost": lost}
        rig.socket.told(control.REPORT)({"receivers": 2, "behind": 2, "streams": [stream]})
        rig.run(0.1)
        if number < 10:
            rig.control._report = None
    assert (rig.control.level > 0) == level


@pytest.mark.parametrize("report", [{"receivers": 2, "behind": 1, "streams": []}, {**BEHIND, "receivers": 0}])
def test_poses_that_come_late_to_some_are_the_servers_business(rig: Rig, report: dict[str, object]) -> None:
    for _ in range(20):
        rig.socket.told(control.REPORT)(report)
        rig.run(0.1)
    assert rig.control.level == 0


def test_a_report_that_is_none_changes_nothing(rig: Rig) -> None:
    for junk in (None, 5, {"receivers": -1, "behind": 0, "streams": []}, {"receivers": 1}):
        rig.socket.told(control.REPORT)(junk)
    assert (rig.control.report, rig.layered) == (None, [])


def test_streams_that_are_remembered_are_bounded(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    # Once: every name ever handed in, also those the server refused.
    monkeypatch.setattr(module, "_MAX_STREAMS", 3)
    for index in range(20):
        assert rig.control.admits(f"stream-{index}", 100.0)
        assert len(rig.control._counts) <= 3
