"""A pose between two captures: on the curve, joint by joint, and never more than is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from posewire.protocol import PoseData
from posewire.receiver.pose_interpolation import Moment, extrapolate, hold, interpolate
from tests.unit.receiver.playout import body, pose_at, value_of


def moment(time: float, value: float, **options: Any) -> Moment:
    return Moment(time, pose_at(value, **options))


def test_a_straight_line_without_neighbours() -> None:
    assert value_of(interpolate(moment(1, 0), moment(3, 1), 1.5)) == pytest.approx(0.25)


def test_a_parabola_with_one_neighbour_and_with_both() -> None:
    def square(time: float) -> Moment:
        return moment(time, time * time)

    for around in ({"before": square(1)}, {"after": square(5)}, {"before": square(1), "after": square(5)}):
        found = value_of(interpolate(square(2), square(3.5), 2.7, **around))
        assert found == pytest.approx(2.7**2, abs=1e-5)


def test_catmull_rom_when_times_are_even() -> None:
    points = [0.0, 1.0, -0.5, 0.25]
    moments = [moment(time, value) for time, value in enumerate(points)]
    found = value_of(interpolate(moments[1], moments[2], 1.5, before=moments[0], after=moments[3]))
    assert found == pytest.approx((-points[0] + 9 * points[1] + 9 * points[2] - points[3]) / 16)


def test_ends_are_met_and_visibility_is_linear() -> None:
    moments = [moment(time, time**3 / 8) for time in range(4)]
    for place, moment_ in ((1, 1.0), (2, 2.0)):
        found = interpolate(moments[1], moments[2], moment_, before=moments[0], after=moments[3])
        assert value_of(found) == pytest.approx(place**3 / 8, abs=1e-6)
    bright, dark = body(0.0), body(1.0)
    bright[:, 3], dark[:, 3] = 1.0, 0.0
    between = interpolate(Moment(1, PoseData(bright)), Moment(2, PoseData(dark)), 1.25, before=moments[0])
    assert between.pose_landmarks is not None
    assert between.pose_landmarks[:, 3] == pytest.approx(0.75)


def test_a_joint_that_one_capture_lacks_is_taken_from_the_nearer_one_and_touches_no_other() -> None:
    first, second = moment(1, 0.0, missing=[5]), moment(2, 1.0, missing=[7])
    early, late = (interpolate(first, second, time).pose_landmarks for time in (1.25, 1.75))
    assert early is not None
    assert late is not None
    assert np.isnan(early[5]).all()
    assert (early[7, :3] == 0.0).all(), "as the first has it"
    assert (late[5, :3] == 1.0).all()
    assert np.isnan(late[7]).all()
    others = [joint for joint in range(33) if joint not in (5, 7)]
    assert early[others, :3] == pytest.approx(0.25)
    assert late[others, :3] == pytest.approx(0.75)


def test_a_neighbour_that_lacks_a_joint_makes_only_its_curve_simpler() -> None:
    def square(time: float, **options: Any) -> Moment:
        return moment(time, time * time, **options)

    found = interpolate(square(1), square(2), 1.5, before=square(0, missing=[3, 4]), after=square(3, missing=[4]))
    assert found.pose_landmarks is not None
    assert found.pose_landmarks[3, 0] == pytest.approx(2.25, abs=1e-5), "the parabola of the three that have it"
    assert found.pose_landmarks[4, 0] == pytest.approx(2.5), "a straight line"
    assert found.pose_landmarks[0, 0] == pytest.approx(2.25, abs=1e-5)


def test_a_neighbour_far_away_does_not_count() -> None:
    assert value_of(interpolate(moment(10, 0), moment(11, 1), 10.25, before=moment(2, -9))) == pytest.approx(0.25)


def test_parts_and_skeletons_that_differ_come_from_the_nearer_capture() -> None:
    hands = np.zeros((2, 21, 4), np.float32)
    bare, full = Moment(1, pose_at(0.0)), Moment(2, PoseData(body(1.0), hand_landmarks=hands))
    assert interpolate(bare, full, 1.25).hand_landmarks is None
    late = interpolate(bare, full, 1.75)
    assert late.hand_landmarks is not None
    assert value_of(late) == pytest.approx(0.75)
    other = Moment(2, PoseData(np.ones((17, 4), np.float32), skeleton="coco17"))
    assert interpolate(bare, other, 1.25).skeleton == "mediapipe33"
    assert interpolate(bare, other, 1.75).skeleton == "coco17"
    only_hands = Moment(2, PoseData(hand_landmarks=hands))
    assert interpolate(bare, only_hands, 1.25).pose_landmarks is not None
    assert interpolate(bare, only_hands, 1.75).hand_landmarks is not None


def test_a_motion_goes_on_where_it_is_known_and_rests_where_not() -> None:
    dim = body(0.0, missing=[5])
    dim[:, 3] = 0.25
    found = extrapolate(Moment(1, PoseData(dim)), moment(2, 1.0, missing=[6]), 2.5).pose_landmarks
    assert found is not None
    assert found[0, :3] == pytest.approx(1.5)
    assert found[0, 3] == 0.5, "as it was seen last"
    assert (found[5, :3] == 1.0).all()
    assert np.isnan(found[6]).all()
    other = Moment(1, PoseData(np.ones((17, 4), np.float32), skeleton="coco17"))
    assert value_of(extrapolate(other, moment(2, 1.0), 2.5)) == 1.0
    held = hold(moment(2, 1.0), 2.5)
    assert (value_of(held), held.timestamp) == (1.0, 2.5)


@given(data=st.data(), share=st.floats(0.001, 0.999), instant=st.sampled_from((1.0, 1.8e9)))
def test_presence_is_always_that_of_the_nearer_capture_where_they_differ(
    data: st.DataObject, share: float, instant: float
) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 1 << 32)))
    times = [instant + each for each in (-0.03, 0.0, 0.04, 0.07)]
    poses = []
    for _ in times:
        joints = rng.random((33, 4), dtype=np.float32)
        joints[rng.random(33) < 0.3, :3] = np.nan
        poses.append(PoseData(joints))
    moments = [Moment(*each) for each in zip(times, poses, strict=True)]
    at = times[1] + share * 0.04
    before = moments[0] if data.draw(st.booleans()) else None
    after = moments[3] if data.draw(st.booleans()) else None
    found = interpolate(moments[1], moments[2], at, before=before, after=after)
    one, two, got = (pose.pose_landmarks for pose in (poses[1], poses[2], found))
    assert one is not None
    assert two is not None
    assert got is not None
    there = [~np.isnan(part[:, 0]) for part in (one, two, got)]
    nearer = there[0] if (at - times[1]) / (times[2] - times[1]) < 0.5 else there[1]
    assert (there[2] == np.where(there[0] & there[1], True, nearer)).all()
    assert (np.isnan(got[:, :3]).all(axis=1) == np.isnan(got[:, :3]).any(axis=1)).all()
    assert not got.flags.writeable
    assert found.timestamp == at
    PoseData(got)  # as good as one that was sent
