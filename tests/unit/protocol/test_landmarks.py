"""Everything a capture loop may hand in becomes a PoseData, or is refused in one way."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Iterator, Sequence
from types import MappingProxyType
from types import SimpleNamespace as Record
from typing import Any

import numpy as np
import pytest

from posewire.errors import DataValidationError
from posewire.protocol import PoseData, to_pose_data
from posewire.protocol.landmarks import UNNAMED_SKELETON, is_tracker_result, landmarks_from_dicts

BODY = np.linspace(0, 1, 132, dtype=np.float32).reshape(33, 4)
FACE = np.linspace(-1, 1, 478 * 4, dtype=np.float32).reshape(478, 4)
LEFT, RIGHT = np.linspace(1, 2, 168, dtype=np.float32).reshape(2, 21, 4)
HANDS = np.stack([LEFT, RIGHT])
NOBODY = np.full((33, 4), np.nan)
NO_HAND = np.full((21, 4), np.nan)


def dicts(array: Any) -> list[dict[str, float]]:
    return [dict(zip(("x", "y", "z", "visibility"), row, strict=True)) for row in array.tolist()]


def marks(array: Any) -> list[Record]:
    """What MediaPipe's landmarks look like."""
    return [Record(**row, presence=1.0) for row in dicts(array)]


class Repeated(Sequence[Any]):
    """What a protobuf's repeated field looks like: a sequence that is no list."""

    def __init__(self, items: list[Any]) -> None:
        self._items = items

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: Any) -> Any:
        return self._items[index]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._items)


def proto(array: Any) -> Record:
    """What a NormalizedLandmarkList of `mp.solutions` looks like."""
    return Record(landmark=Repeated(marks(array)))


def check(
    value: Any,
    body: Any = None,
    face: Any = None,
    hands: Any = None,
    *,
    timestamp: float = 0.0,
    skeleton: str = "mediapipe33",
) -> None:
    assert to_pose_data(value) == PoseData(body, face, hands, timestamp, skeleton)


def refused(value: Any, field: str, *words: str) -> None:
    with pytest.raises(DataValidationError) as caught:
        to_pose_data(value)
    assert caught.value.field == field
    for word in words:
        assert word in str(caught.value)


# Our own forms -------------------------------------------------------------------------------------------------------


def test_pose_data_comes_back_as_it_is() -> None:
    pose = PoseData(BODY)
    assert to_pose_data(pose) is pose


@pytest.mark.parametrize(
    "value",
    [BODY, BODY.astype(np.float64), BODY.tolist(), tuple(map(tuple, BODY.tolist())), list(BODY), dicts(BODY)],
    ids=["float32", "float64", "lists", "tuples", "arrays", "dicts"],
)
def test_33_joints_are_mediapipe_s(value: Any) -> None:
    check(value, BODY)


@pytest.mark.parametrize("value", [BODY[:5], BODY[:5].tolist(), dicts(BODY[:5]), tuple(dicts(BODY[:5]))])
def test_another_number_of_joints_gets_a_name(value: Any) -> None:
    check(value, BODY[:5], skeleton=UNNAMED_SKELETON)


def test_visibility_is_1_where_it_is_left_out() -> None:
    check([{"x": 1, "y": np.float32(2), "z": np.int64(3)}], [[1, 2, 3, 1]], skeleton=UNNAMED_SKELETON)
    assert landmarks_from_dicts("pose", []).shape == (0, 4)


def test_dicts_may_be_any_mapping_and_hold_more() -> None:
    check(
        [MappingProxyType({"x": 1, "y": 2, "z": 3, "presence": 1, "name": "nose"})],
        [[1, 2, 3, 1]],
        skeleton=UNNAMED_SKELETON,
    )


def test_mapping_of_all_parts() -> None:
    whole = {"pose_landmarks": BODY, "face_landmarks": dicts(FACE), "hand_landmarks": HANDS, "timestamp": 3.5}
    check(whole, BODY, FACE, HANDS, timestamp=3.5)
    check(MappingProxyType(whole), BODY, FACE, HANDS, timestamp=3.5)


def test_mapping_with_absent_parts() -> None:
    check({"face_landmarks": FACE, "pose_landmarks": None}, None, FACE)
    check({"hand_landmarks": HANDS}, None, None, HANDS)


def test_mapping_with_a_skeleton() -> None:
    check({"pose_landmarks": BODY[:5], "skeleton": "mocap5"}, BODY[:5], skeleton="mocap5")
    check({"pose_landmarks": BODY, "skeleton": "other33"}, BODY, skeleton="other33")
    check({"pose_landmarks": BODY[:5], "skeleton": None}, BODY[:5], skeleton=UNNAMED_SKELETON)
    refused({"pose_landmarks": BODY[:5], "skeleton": "mediapipe33"}, "pose_landmarks", "another skeleton name")


@pytest.mark.parametrize(
    "hands",
    [
        HANDS,
        HANDS.tolist(),
        HANDS.reshape(42, 4),
        dicts(HANDS.reshape(42, 4)),
        [dicts(LEFT), dicts(RIGHT)],
        (tuple(dicts(LEFT)), tuple(dicts(RIGHT))),
        [LEFT, RIGHT],
    ],
    ids=["array", "lists", "42 rows", "42 dicts", "two of dicts", "tuples", "two arrays"],
)
def test_forms_of_hands(hands: Any) -> None:
    check({"hand_landmarks": hands}, None, None, HANDS)


def test_what_the_specification_s_generator_makes() -> None:
    check({"landmarks": dicts(BODY)}, BODY)
    check({"landmarks": BODY, "timestamp": 2.0}, BODY, timestamp=2.0)
    check({"landmarks": dicts(BODY[:7])}, BODY[:7], skeleton=UNNAMED_SKELETON)


@pytest.mark.parametrize("value", [None, 5, 2.5, "pose", b"pose", bytearray(4), object(), iter([1]), {1, 2}])
def test_none_of_the_accepted_forms(value: Any) -> None:
    refused(value, "pose", type(value).__name__, "PoseData", "MediaPipe")


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ([], "pose_landmarks"),
        (np.zeros(()), "pose_landmarks"),
        (np.zeros((33, 3)), "pose_landmarks"),
        (np.array(["a"]), "pose_landmarks"),
        (["a", "b"], "pose"),
        ([[1, 2, 3, 4], [5]], "pose"),
        ([[1, 2, 3, 4], {"x": 1, "y": 2, "z": 3}], "pose"),
        ([{"x": 1, "y": 2, "z": 3}, [1, 2, 3, 4]], "landmarks[1]"),
        ([{"x": 1, "y": 2}], "landmarks[0].z"),
        ([{"x": 1, "y": "2", "z": 3}], "landmarks[0].y"),
        ([{"x": True, "y": 2, "z": 3}], "landmarks[0].x"),
        ([{"x": None, "y": 2, "z": 3}], "landmarks[0].x"),
        ([{"x": 1, "y": 2, "z": 3, "visibility": None}], "landmarks[0].visibility"),
        ([{"x": float("nan"), "y": 2, "z": 3}], "pose_landmarks[0]"),
        ([{"x": float("inf"), "y": 2, "z": 3}], "pose_landmarks[0, 0]"),
        ({}, "pose"),
        ({"pose": BODY}, "pose"),
        ({"pose_landmarks": BODY, "colour": "red"}, "pose"),
        ({"pose_landmarks": "abc"}, "pose_landmarks"),
        ({"pose_landmarks": 5}, "pose_landmarks"),
        ({"pose_landmarks": []}, "pose_landmarks"),
        ({"face_landmarks": dicts(BODY)}, "face_landmarks"),
        ({"face_landmarks": [{"x": 1}]}, "face_landmarks[0].y"),
        ({"hand_landmarks": [dicts(LEFT)]}, "hand_landmarks"),
        ({"hand_landmarks": [dicts(LEFT), []]}, "pose"),
        ({"hand_landmarks": [dicts(LEFT), [{"x": 1}]]}, "hand_landmarks[1][0].y"),
        ({"pose_landmarks": BODY, "timestamp": None}, "timestamp"),
        ({"pose_landmarks": BODY, "timestamp": -1}, "timestamp"),
        ({"landmarks": "abc"}, "landmarks"),
        ({"landmarks": BODY, "timestamp": "now"}, "timestamp"),
    ],
)
def test_refused(value: Any, field: str) -> None:
    refused(value, field)


def test_unknown_keys_are_named() -> None:
    refused({"pose": BODY}, "pose", "key 'pose'", "expected some of pose_landmarks, face_landmarks")


@pytest.mark.parametrize("other", [None, 5])
def test_a_hand_that_is_no_list(other: Any) -> None:
    # Once: TypeError comes out: landmarks_from_dicts() enumerates whatever the second hand is.
    refused({"hand_landmarks": [dicts(LEFT), other]}, "hand_landmarks[1]")


def test_a_number_too_large() -> None:
    # Once: float() of a huge int raises OverflowError.
    refused([{"x": 10**400, "y": 0, "z": 0}], "landmarks[0].x")


def test_a_number_too_large_for_float32() -> None:
    # Once: the conversion to float32 warns (RuntimeWarning), in _numbers() as well.
    refused([{"x": 1e300, "y": 0, "z": 0}], "pose_landmarks[0, 0]", "infinite")
    refused([[1e300, 0, 0, 1]], "pose_landmarks[0, 0]", "infinite")


# MediaPipe, old: mp.solutions ----------------------------------------------------------------------------------------

Solution = namedtuple("Solution", ["pose_landmarks", "pose_world_landmarks", "segmentation_mask"])
Holistic = namedtuple("Holistic", ["pose_landmarks", "face_landmarks", "left_hand_landmarks", "right_hand_landmarks"])
Hands = namedtuple("Hands", ["multi_hand_landmarks", "multi_hand_world_landmarks", "multi_handedness"])


def side(label: str) -> Record:
    return Record(classification=Repeated([Record(index=0, score=0.9, label=label)]))


def test_old_pose() -> None:
    check(Solution(proto(BODY), proto(BODY), None), BODY)
    check(Record(pose_landmarks=proto(BODY)), BODY)


def test_old_pose_with_nobody_in_the_picture() -> None:
    check(Solution(None, None, None), NOBODY)


def test_old_holistic() -> None:
    check(Holistic(proto(BODY), proto(FACE), proto(LEFT), proto(RIGHT)), BODY, FACE, HANDS)


def test_old_holistic_with_parts_not_found() -> None:
    check(Holistic(None, None, None, proto(RIGHT)), NOBODY, np.full((478, 4), np.nan), np.stack([NO_HAND, RIGHT]))
    check(Record(left_hand_landmarks=proto(LEFT)), None, None, np.stack([LEFT, NO_HAND]))


def test_old_face_mesh() -> None:
    check(Record(multi_face_landmarks=[proto(FACE), proto(-FACE)]), None, FACE)
    check(Record(multi_face_landmarks=[proto(FACE[:468])]), None, FACE[:468])
    check(Record(multi_face_landmarks=None), None, np.full((478, 4), np.nan))


@pytest.mark.parametrize("swapped", [False, True])
def test_old_hands_by_handedness(swapped: bool) -> None:
    found = [proto(LEFT), proto(RIGHT)]
    labels = [side("Left"), side("Right")]
    if swapped:
        found, labels = found[::-1], labels[::-1]
    check(Hands(found, None, labels), None, None, HANDS)


def test_one_old_hand() -> None:
    check(Hands([proto(RIGHT)], None, [side("Right")]), None, None, np.stack([NO_HAND, RIGHT]))
    check(Hands([proto(LEFT)], None, [side("Left")]), None, None, np.stack([LEFT, NO_HAND]))


def test_old_hands_not_found() -> None:
    check(Hands(None, None, None), None, None, np.stack([NO_HAND, NO_HAND]))


# MediaPipe, new: Tasks -----------------------------------------------------------------------------------------------


def category(name: str | None) -> list[Record]:
    return [Record(category_name=name, display_name=name, score=0.9, index=0)]


def test_tasks_pose() -> None:
    # The first person is the surest.
    check(Record(pose_landmarks=[marks(BODY), marks(-BODY)], pose_world_landmarks=[]), BODY)


def test_tasks_with_nobody_in_the_picture() -> None:
    check(Record(pose_landmarks=[], pose_world_landmarks=[]), NOBODY)
    check(Record(face_landmarks=[]), None, np.full((478, 4), np.nan))
    check(Record(hand_landmarks=[], handedness=[]), None, None, np.stack([NO_HAND, NO_HAND]))


def test_tasks_face() -> None:
    check(Record(face_landmarks=[marks(FACE)], face_blendshapes=[]), None, FACE)


@pytest.mark.parametrize("swapped", [False, True])
def test_tasks_hands_by_handedness(swapped: bool) -> None:
    found = [marks(LEFT), marks(RIGHT)]
    labels = [category("Left"), category("Right")]
    if swapped:
        found, labels = found[::-1], labels[::-1]
    check(Record(hand_landmarks=found, handedness=labels), None, None, HANDS)


def test_tasks_hands_without_handedness_are_left_then_right() -> None:
    check(Record(hand_landmarks=[marks(LEFT), marks(RIGHT)], handedness=[]), None, None, HANDS)
    check(Record(hand_landmarks=[marks(LEFT)]), None, None, np.stack([LEFT, NO_HAND]))


def test_a_third_hand_is_left_out() -> None:
    result = Record(
        hand_landmarks=[marks(LEFT), marks(RIGHT), marks(-LEFT)],
        handedness=[category("Left"), category("Right"), category("Left")],
    )
    check(result, None, None, HANDS)


def test_tasks_holistic_has_one_person_and_no_list_of_people() -> None:
    result = Record(
        pose_landmarks=marks(BODY),
        face_landmarks=marks(FACE),
        left_hand_landmarks=marks(LEFT),
        right_hand_landmarks=[],
    )
    check(result, BODY, FACE, np.stack([LEFT, NO_HAND]))


def test_landmarks_without_visibility_are_visible() -> None:
    bare = [Record(x=row.x, y=row.y, z=row.z) for row in marks(BODY)]
    unset = [Record(x=row.x, y=row.y, z=row.z, visibility=None) for row in marks(BODY)]
    expected = BODY.copy()
    expected[:, 3] = 1
    check(Record(pose_landmarks=[bare]), expected)
    check(Record(pose_landmarks=[unset]), expected)


def test_what_counts_as_a_tracker_s_result() -> None:
    assert is_tracker_result(Solution(None, None, None))
    assert is_tracker_result(Record(right_hand_landmarks=None))
    assert not is_tracker_result(BODY)
    assert not is_tracker_result({"pose_landmarks": BODY})


def test_a_result_with_another_number_of_joints_is_refused() -> None:
    refused(Record(pose_landmarks=[marks(BODY[:5])]), "pose_landmarks", "shape [5, 4]")
    refused(Record(face_landmarks=[marks(BODY)]), "face_landmarks", "shape [33, 4]")
    refused(Record(pose_landmarks=[[]]), "pose_landmarks", "shape [0]")


@pytest.mark.parametrize(
    "result",
    [
        # Once: AttributeError, TypeError, IndexError or ValueError comes out of each of these.
        Record(pose_landmarks=BODY),
        Record(pose_landmarks=5),
        Record(pose_landmarks="abc"),
        Record(left_hand_landmarks=marks(LEFT)[:20]),
        Record(hand_landmarks=[marks(LEFT)], handedness=[[]]),
    ],
    ids=["array", "number", "text", "20 joints", "no label"],
)
def test_a_result_like_none_of_mediapipe_s_is_refused(result: Any) -> None:
    with pytest.raises(DataValidationError):
        to_pose_data(result)


def test_two_hands_of_one_side() -> None:
    # Once: the second takes the first one's place; the first is the surest, and no hand should be lost.
    result = Record(hand_landmarks=[marks(LEFT), marks(RIGHT)], handedness=[category("Left"), category("Left")])
    hands = to_pose_data(result).hand_landmarks
    assert hands is not None
    np.testing.assert_array_equal(hands, HANDS)


@pytest.mark.parametrize("label", ["Left", "Right"])
def test_two_hands_of_one_side_keep_the_first_ones_place(label: str) -> None:
    result = Record(hand_landmarks=[marks(LEFT), marks(RIGHT)], handedness=[category(label), category(label)])
    check(result, None, None, HANDS if label == "Left" else HANDS[::-1])


def test_a_hand_of_another_size_is_refused() -> None:
    refused(Record(hand_landmarks=[marks(LEFT[:20])]), "hand_landmarks", "shape [20, 4]")
    refused(Record(left_hand_landmarks=marks(LEFT[:20])), "hand_landmarks", "shape [20, 4]")
