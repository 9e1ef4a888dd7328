"""PoseData: shapes, NaN, infinity, copies."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posewire.errors import DataValidationError
from posewire.limits import MAX_LANDMARKS, MAX_NAME_CHARS
from posewire.protocol import PoseData
from tests.unit.strategies import poses

BODY = np.linspace(0, 1, 132, dtype=np.float32).reshape(33, 4)
PARTS = {"pose_landmarks": (33, 4), "face_landmarks": (468, 4), "hand_landmarks": (2, 21, 4)}


def zeros(*shape: int) -> Any:
    return np.zeros(shape, dtype=np.float32)


def refused(field: str, *words: str, **arguments: Any) -> None:
    with pytest.raises(DataValidationError) as caught:
        PoseData(**arguments)
    assert caught.value.field == field
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        ({"pose_landmarks": zeros(33, 4)}, 33),
        ({"face_landmarks": zeros(468, 4)}, 468),
        ({"face_landmarks": zeros(478, 4)}, 478),
        ({"hand_landmarks": zeros(2, 21, 4)}, 42),
        ({"pose_landmarks": zeros(33, 4), "face_landmarks": zeros(478, 4), "hand_landmarks": zeros(2, 21, 4)}, 553),
        ({"pose_landmarks": zeros(1, 4), "skeleton": "point"}, 1),
        ({"pose_landmarks": zeros(MAX_LANDMARKS, 4), "skeleton": "cloud"}, MAX_LANDMARKS),
    ],
)
def test_shapes(arguments: dict[str, Any], count: int) -> None:
    pose = PoseData(**arguments)
    assert pose.landmark_count == count
    for name in PARTS:
        part = getattr(pose, name)
        assert (part is not None) == (name in arguments)
        if part is not None:
            assert (part.shape, part.dtype) == (arguments[name].shape, np.float32)


@pytest.mark.parametrize(
    ("field", "shape"),
    [
        ("pose_landmarks", (0, 4)),
        ("pose_landmarks", (32, 4)),
        ("pose_landmarks", (34, 4)),
        ("pose_landmarks", (33, 3)),
        ("pose_landmarks", (33, 5)),
        ("pose_landmarks", (132,)),
        ("pose_landmarks", (1, 33, 4)),
        ("pose_landmarks", ()),
        ("face_landmarks", (0, 4)),
        ("face_landmarks", (469, 4)),
        ("face_landmarks", (468, 3)),
        ("hand_landmarks", (21, 4)),
        ("hand_landmarks", (42, 4)),
        ("hand_landmarks", (1, 21, 4)),
        ("hand_landmarks", (2, 20, 4)),
        ("hand_landmarks", (2, 21, 3)),
        ("hand_landmarks", (0, 21, 4)),
    ],
)
def test_wrong_shapes(field: str, shape: tuple[int, ...]) -> None:
    refused(field, f"shape {list(shape)}", "expected", **{field: np.zeros(shape)})


@pytest.mark.parametrize(("count", "words"), [(0, "1 to 2048"), (MAX_LANDMARKS + 1, "1 to 2048"), (10_000, "10000")])
def test_no_and_too_many_landmarks(count: int, words: str) -> None:
    refused("pose_landmarks", words, pose_landmarks=zeros(count, 4), skeleton="cloud")


def test_another_number_of_joints_needs_another_name() -> None:
    refused("pose_landmarks", "33 landmarks, or another skeleton name", pose_landmarks=zeros(31, 4))
    assert PoseData(zeros(31, 4), skeleton="mocap31").skeleton == "mocap31"


def test_no_part_at_all() -> None:
    refused("pose", "at least one of pose_landmarks, face_landmarks, hand_landmarks")


@pytest.mark.parametrize("value", ["abc", object(), [["a"] * 4] * 33, [[1, 2, 3, 4], [5]], {"x": 1}])
def test_no_numbers(value: Any) -> None:
    refused("pose_landmarks", "expected numbers", pose_landmarks=value)


def test_a_refused_value_is_quoted_briefly() -> None:
    with pytest.raises(DataValidationError) as caught:
        PoseData("x" * 58)  # type: ignore[arg-type]
    assert caught.value.value == repr("x" * 58)
    with pytest.raises(DataValidationError) as caught:
        PoseData(["x" * 1000])  # type: ignore[arg-type]
    assert len(caught.value.value) == 60
    assert caught.value.value.endswith("...")


@pytest.mark.parametrize("skeleton", ["", "x" * (MAX_NAME_CHARS + 1), None, 33, b"mocap"])
def test_skeleton_is_a_name(skeleton: Any) -> None:
    refused("skeleton", "1 to 128 characters", pose_landmarks=BODY, skeleton=skeleton)


@pytest.mark.parametrize("skeleton", ["x", "x" * MAX_NAME_CHARS, "é", "\ud7ff", "\ue000", "\U0001f57a"])
def test_names_of_skeletons(skeleton: str) -> None:
    assert PoseData(BODY, skeleton=skeleton).skeleton == skeleton


def test_no_surrogate_is_part_of_a_name() -> None:
    for code in (0xD800, 0xDBFF, 0xDC00, 0xDFFF):
        refused("skeleton", pose_landmarks=BODY, skeleton=f"x{chr(code)}")


def test_skeleton_can_be_written_in_utf_8() -> None:
    # Once: accepted here, and then encode_pose() raises UnicodeEncodeError, which ends the sender's pipeline.
    refused("skeleton", pose_landmarks=BODY, skeleton="\ud800")


@pytest.mark.parametrize(
    "timestamp", [-1e-9, -1, float("nan"), float("inf"), float("-inf"), None, "1.0", True, 1e12, 10**13]
)
def test_timestamp_is_seconds(timestamp: Any) -> None:
    refused("timestamp", "seconds, 0 or more", pose_landmarks=BODY, timestamp=timestamp)


@pytest.mark.parametrize("timestamp", [0, 0.0, 1, 1.7e9, 5e-324, 999_999_999_999.0])
def test_timestamps(timestamp: float) -> None:
    assert PoseData(BODY, timestamp=timestamp).timestamp == timestamp


def test_an_integer_too_large_for_a_float_is_refused() -> None:
    # Once: OverflowError comes out of all three: from math.isfinite() and from np.array().
    refused("timestamp", pose_landmarks=BODY, timestamp=10**400)


def test_an_integer_too_large_for_an_array_is_refused() -> None:
    # Once: see above.
    refused("pose_landmarks", pose_landmarks=[[10**400, 0, 0, 1]] * 33)


# NaN and infinity ----------------------------------------------------------------------------------------------------


def with_value(part: str, at: tuple[Any, ...], value: Any) -> dict[str, Any]:
    array = np.zeros(PARTS[part], dtype=np.float32)
    array[at] = value
    return {part: array}


@pytest.mark.parametrize("part", PARTS)
def test_a_joint_or_a_whole_part_may_be_missing(part: str) -> None:
    first = (0,) * (len(PARTS[part]) - 1)
    for at, value in (
        ((*first, slice(0, 3)), np.nan),
        ((*first, slice(None)), np.nan),
        ((*first, 3), np.nan),
        ((...,), np.nan),
    ):
        arguments = with_value(part, at, value)
        np.testing.assert_array_equal(getattr(PoseData(**arguments), part), arguments[part])


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("missing", [[0], [1], [2], [0, 1], [0, 2], [1, 2]])
def test_a_joint_is_found_or_not(part: str, missing: list[int]) -> None:
    where = (*((1,) * (len(PARTS[part]) - 1)),)
    arguments = with_value(part, (*where, missing), np.nan)
    refused(f"{part}{list(where)}", "all found or all NaN", **arguments)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("value", [np.inf, -np.inf])
@pytest.mark.parametrize("axis", range(4))
def test_infinite(part: str, value: float, axis: int) -> None:
    where = (*((1,) * (len(PARTS[part]) - 1)), axis)
    refused(f"{part}{list(where)}", "finite", **with_value(part, where, value))


def test_infinite_beside_a_missing_joint() -> None:
    array = BODY.copy()
    array[0, :3] = np.nan
    array[7, 2] = np.inf
    refused("pose_landmarks[7, 2]", "infinite", pose_landmarks=array)


def test_infinite_both_ways() -> None:
    # Once: inf - inf in the sum of _checked() warns (RuntimeWarning); under -W error that is what comes out.
    array = BODY.copy()
    array[0, 0], array[1, 1] = np.inf, -np.inf
    refused("pose_landmarks[0, 0]", "infinite", pose_landmarks=array)


def test_large_but_finite() -> None:
    # Once: the sum of _checked() overflows and warns.
    array = np.full((33, 4), np.finfo(np.float32).max)
    np.testing.assert_array_equal(PoseData(array).pose_landmarks, array)


def test_a_float64_too_large_for_float32_is_infinite() -> None:
    # Once: the conversion to float32 warns.
    refused("pose_landmarks[0, 0]", "infinite", pose_landmarks=np.full((33, 4), 1e300))


def test_a_signalling_nan_is_a_nan() -> None:
    # Once: the sum of _checked() warns; a stranger's bytes can hold one.
    array = np.frombuffer(bytes.fromhex("0100a07f") * 132, dtype="<f4").reshape(33, 4)
    found = PoseData(array).pose_landmarks
    assert found is not None
    assert np.isnan(found).all()


# Copies --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", PARTS)
def test_arrays_are_copies_and_read_only(part: str) -> None:
    buffer = zeros(*PARTS[part])
    array = getattr(PoseData(**{part: buffer}), part)
    buffer[...] = 7
    assert not array.any()
    with pytest.raises(ValueError, match="read-only"):
        array[...] = 1
    assert buffer.flags.writeable


@pytest.mark.parametrize(
    "value",
    [
        BODY.astype(np.float64),
        BODY.astype(">f4"),
        np.asfortranarray(BODY),
        BODY[::-1][::-1],
        BODY.tolist(),
        tuple(map(tuple, BODY.tolist())),
    ],
    ids=["float64", "big endian", "columns first", "view", "list", "tuple"],
)
def test_any_array_becomes_float32_in_rows(value: Any) -> None:
    array = PoseData(value).pose_landmarks
    assert array is not None
    assert array.dtype == np.dtype("=f4")
    assert array.flags.c_contiguous
    np.testing.assert_array_equal(array, BODY)


def test_frozen() -> None:
    pose = PoseData(BODY)
    with pytest.raises(AttributeError):
        pose.timestamp = 1.0  # type: ignore[misc]
    with pytest.raises(TypeError):
        hash(pose)


@settings(max_examples=40)
@given(poses())
def test_equal_by_value(pose: PoseData) -> None:
    twin = PoseData(pose.pose_landmarks, pose.face_landmarks, pose.hand_landmarks, pose.timestamp, pose.skeleton)
    assert twin == pose
    assert pickle.loads(pickle.dumps(pose)) == pose
    assert copy.deepcopy(pose) == pose


@given(st.sampled_from(sorted(PARTS)))
def test_unequal_when_anything_differs(part: str) -> None:
    whole: dict[str, Any] = {name: np.zeros(shape) for name, shape in PARTS.items()}
    pose = PoseData(**whole)
    changed = whole[part].copy()
    changed.flat[-1] = 1
    for other in (
        PoseData(**{**whole, part: changed}),
        PoseData(**{**whole, part: None}),
        PoseData(**whole, timestamp=1.0),
        PoseData(**whole, skeleton="other"),
    ):
        assert pose != other
    assert pose != "pose"


def test_a_timestamp_that_python_does_not_write_out() -> None:
    refused("timestamp", pose_landmarks=BODY, timestamp=10**5000)
