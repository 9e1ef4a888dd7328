"""The filter is the paper's, joint by joint, and begins anew where it must."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from posewire.errors import DataValidationError
from posewire.protocol import PoseData
from posewire.receiver.one_euro_filter import OneEuro, OneEuroFilter
from posewire.receiver.pose_smoother import PoseSmoother
from tests.unit.receiver.playout import body, pose_at, value_of


class PaperFilter:
    """The algorithm as the paper's appendix has it, one number at a time."""

    def __init__(self, settings: OneEuro) -> None:
        self.settings = settings
        self.first = True
        self.x = self.dx = 0.0

    def filter(self, x: float, rate: float) -> float:
        if self.first:
            self.first, self.x = False, x
            return x
        dx = (x - self.x) * rate
        self.dx = self._low_pass(dx, self.dx, self._alpha(rate, self.settings.derivative_cutoff))
        cutoff = self.settings.min_cutoff + self.settings.beta * abs(self.dx)
        self.x = self._low_pass(x, self.x, self._alpha(rate, cutoff))
        return self.x

    def _alpha(self, rate: float, cutoff: float) -> float:
        tau, te = 1 / (2 * math.pi * cutoff), 1 / rate
        return 1 / (1 + tau / te)

    def _low_pass(self, x: float, last: float, alpha: float) -> float:
        return alpha * x + (1 - alpha) * last


@given(
    values=st.lists(st.floats(-1, 1, width=32), min_size=2, max_size=20),
    steps=st.lists(st.floats(0.005, 0.2), min_size=20, max_size=20),
    min_cutoff=st.floats(0.1, 10),
    beta=st.floats(0, 20),
)
def test_it_is_the_filter_of_the_paper(values: list[float], steps: list[float], min_cutoff: float, beta: float) -> None:
    settings = OneEuro(min_cutoff=min_cutoff, beta=beta)
    ours, theirs, time = OneEuroFilter(settings), PaperFilter(settings), 100.0
    for value, step in zip(values, steps, strict=False):
        time += step
        found = ours.filter(body(value), time)
        assert found[0, 0] == pytest.approx(theirs.filter(value, 1 / step), abs=2e-3)
        assert (found[:, 3] == 0.5).all()


def test_a_missing_joint_stays_missing_touches_no_other_and_comes_back_where_it_is() -> None:
    ours = OneEuroFilter(OneEuro(min_cutoff=0.1, beta=0.0))
    ours.filter(body(0.0), 0.0)
    gone = ours.filter(body(1.0, missing=[4]), 0.03)
    assert np.isnan(gone[4]).all()
    assert not np.isnan(np.delete(gone, 4, axis=0)).any()
    assert 0 < gone[0, 0] < 0.1
    back = ours.filter(body(1.0), 0.06)
    assert (back[4, :3] == 1.0).all(), "as it is seen"
    assert back[0, 0] < 0.2, "the others go on"
    again = ours.filter(body(0.0), 0.09)
    assert again[4, 0] > 0.9, "and is smoothed from then on"


@pytest.mark.parametrize("time", [1.6, 0.9, 1.0])
def test_it_begins_anew_after_a_gap_and_when_time_goes_back(time: float) -> None:
    ours = OneEuroFilter(OneEuro(min_cutoff=0.1, beta=0.0))
    ours.filter(body(0.0), 1.0)
    assert ours.filter(body(1.0), time)[0, 0] == 1.0


def test_it_begins_anew_with_another_number_of_joints() -> None:
    ours = OneEuroFilter(OneEuro())
    ours.filter(body(0.0), 1.0)
    assert ours.filter(np.ones((17, 4), np.float32), 1.03)[0, 0] == 1.0


def test_a_slow_tremble_goes_and_a_quick_motion_stays() -> None:
    rng = np.random.default_rng(3)
    ours = OneEuroFilter(OneEuro())
    still = np.array([ours.filter(body(0.5 + rng.normal(0, 0.001)), index / 30)[0, 0] for index in range(300)])
    assert still[30:].std() < 0.0006
    quick = OneEuroFilter(OneEuro())
    for index in range(60):
        found = quick.filter(body(index / 30), index / 30)[0, 0]
    assert found == pytest.approx(59 / 30, abs=0.04)


def test_each_stream_and_part_by_itself_and_a_bounded_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("posewire.receiver.pose_smoother._MAX_STREAMS", 2)
    smoother = PoseSmoother(OneEuro(min_cutoff=0.1, beta=0.0))
    hands = np.zeros((2, 21, 4), np.float32)
    given = PoseData(body(0.0), hand_landmarks=hands, timestamp=5.0)
    smoother.smooth("alice", "pose", given, 1.0)
    other = smoother.smooth("bob", "pose", pose_at(1.0), 1.01)
    assert value_of(other) == 1.0
    smooth = smoother.smooth("alice", "pose", PoseData(body(1.0), hand_landmarks=hands + 1, timestamp=5.0), 1.02)
    assert 0 < value_of(smooth) < 0.1
    assert smooth.hand_landmarks is not None
    assert 0 < smooth.hand_landmarks[0, 0, 0] < 0.1
    assert smooth.timestamp == 5.0
    assert not smooth.hand_landmarks.flags.writeable
    smoother.smooth("carol", "pose", pose_at(0.0), 1.03)
    assert len(smoother._streams) == 2
    assert value_of(smoother.smooth("bob", "pose", pose_at(0.0), 1.04)) == 0.0, "forgotten: heard longest ago"


@pytest.mark.parametrize(
    "wrong", [{"min_cutoff": 0}, {"min_cutoff": math.nan}, {"beta": -1}, {"derivative_cutoff": "1"}, {"beta": True}]
)
def test_wrong_settings_are_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(DataValidationError, match=f"smoothing.{next(iter(wrong))}"):
        OneEuro(**wrong)
