"""Make a `PoseData` of whatever a capture loop holds.

An ``[N, 4]`` array, the specification's list of dicts, or a MediaPipe result. MediaPipe is recognised by the names of
its attributes, never imported: the old ``mp.solutions`` results (``.pose_landmarks.landmark``) and the new Tasks
results (lists of landmarks, one list a person) both work, and so does anything shaped like them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from posewire.errors import DataValidationError
from posewire.protocol.pose_data import (
    DEFAULT_SKELETON,
    MEDIAPIPE_FACES,
    MEDIAPIPE_HAND,
    MEDIAPIPE_POSE,
    PARTS,
    Landmarks,
    PoseData,
)

UNNAMED_SKELETON: Final = "points"
"""Skeleton of a bare array whose number of joints is not MediaPipe's."""

_RESULT_ATTRIBUTES: Final = (
    "pose_landmarks",
    "face_landmarks",
    "multi_face_landmarks",
    "left_hand_landmarks",
    "right_hand_landmarks",
    "hand_landmarks",
    "multi_hand_landmarks",
)
_ACCEPTED: Final = (
    "a PoseData, an [N, 4] array, a list of {x, y, z, visibility}, a mapping with pose_landmarks, or a MediaPipe result"
)


def to_pose_data(value: Any) -> PoseData:
    """Return ``value`` as a `PoseData`; a `PoseData` comes back as it is.

    Raises:
        DataValidationError: It is none of the accepted forms, or its numbers are wrong.
    """
    if isinstance(value, PoseData):
        return value
    if isinstance(value, np.ndarray):
        return _from_array(value)
    if isinstance(value, Mapping):
        return _from_mapping(value)
    if is_tracker_result(value):
        return _from_mediapipe(value)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray):
        if len(value) and isinstance(value[0], Mapping):
            return _from_array(landmarks_from_dicts("landmarks", value))
        return _from_array(_numbers(value))
    raise DataValidationError("pose", type(value).__name__, f"expected {_ACCEPTED}")


def is_tracker_result(value: Any) -> bool:
    """Return whether ``value`` has the attributes of a MediaPipe result."""
    return any(hasattr(value, name) for name in _RESULT_ATTRIBUTES)


def landmarks_from_dicts(field: str, items: Any) -> Landmarks:
    """Turn the specification's dicts into ``[N, 4]``; visibility is 1.0 where it is left out.

    Raises:
        DataValidationError: It is no list of them; it names the landmark and what is wrong with it.
    """
    if not isinstance(items, Sequence):
        raise DataValidationError(field, type(items).__name__, "expected a list of {x, y, z, visibility}")
    rows = []
    for index, item in enumerate(items):
        if not isinstance(item, Mapping):
            raise DataValidationError(f"{field}[{index}]", type(item).__name__, "expected {x, y, z, visibility}")
        row = []
        for name in ("x", "y", "z", "visibility"):
            number = item.get(name, 1.0 if name == "visibility" else None)
            if isinstance(number, bool) or not isinstance(number, int | float | np.number):
                raise DataValidationError(f"{field}[{index}].{name}", repr(number)[:60], "expected a number")
            try:
                row.append(float(number))
            except OverflowError:
                raise DataValidationError(f"{field}[{index}].{name}", "too large", "expected a number") from None
        rows.append(row)
    return _float32(rows).reshape(-1, 4)


def _numbers(value: Sequence[Any]) -> Landmarks:
    try:
        return _float32(value)
    except (TypeError, ValueError, OverflowError):
        raise DataValidationError("pose", type(value).__name__, f"expected {_ACCEPTED}") from None


def _float32(value: Any) -> Landmarks:
    with np.errstate(all="ignore"):  # what is too large becomes infinite, and `PoseData` refuses it
        return np.array(value, dtype=np.float32)


def _from_array(array: Landmarks, timestamp: float = 0.0) -> PoseData:
    skeleton = DEFAULT_SKELETON if array.shape[:1] == (MEDIAPIPE_POSE,) else UNNAMED_SKELETON
    return PoseData(array, timestamp=timestamp, skeleton=skeleton)


def _from_mapping(value: Mapping[str, Any]) -> PoseData:
    if "landmarks" in value:  # what the specification's own test generator makes
        return _from_array(_part("landmarks", value["landmarks"]), value.get("timestamp", 0.0))
    allowed = (*PARTS, "timestamp", "skeleton")
    if strange := [key for key in value if key not in allowed]:
        raise DataValidationError("pose", f"key {strange[0]!r}", f"expected some of {', '.join(allowed)}")
    parts = {name: _part(name, value[name]) for name in PARTS if value.get(name) is not None}
    if (hands := parts.get("hand_landmarks")) is not None and hands.shape == (2 * MEDIAPIPE_HAND, 4):
        parts["hand_landmarks"] = hands.reshape(2, MEDIAPIPE_HAND, 4)
    skeleton = value.get("skeleton")
    if skeleton is None:
        body = parts.get("pose_landmarks")
        skeleton = DEFAULT_SKELETON if body is None or body.shape[:1] == (MEDIAPIPE_POSE,) else UNNAMED_SKELETON
    pose, face, hands = (parts.get(name) for name in PARTS)
    return PoseData(pose, face, hands, value.get("timestamp", 0.0), skeleton)


def _part(field: str, value: Any) -> Landmarks:
    if isinstance(value, np.ndarray):
        return value
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        raise DataValidationError(field, type(value).__name__, "expected a list of landmarks or an array")
    if len(value) and isinstance(value[0], Mapping):
        return landmarks_from_dicts(field, value)
    if len(value) and isinstance(value[0], Sequence) and len(value[0]) and isinstance(value[0][0], Mapping):
        hands = [landmarks_from_dicts(f"{field}[{index}]", hand) for index, hand in enumerate(value)]
        return _numbers(hands)
    return _numbers(value)


# MediaPipe results ---------------------------------------------------------------------------------------------------


def _from_mediapipe(result: Any) -> PoseData:
    try:
        return _from_result(result)
    except (AttributeError, TypeError, IndexError) as exc:
        raise DataValidationError("pose", type(result).__name__, f"expected a MediaPipe result: {exc}") from None


def _from_result(result: Any) -> PoseData:
    parts: dict[str, Landmarks] = {}
    if hasattr(result, "pose_landmarks"):
        parts["pose_landmarks"] = _person(result.pose_landmarks, MEDIAPIPE_POSE)
    for name in ("face_landmarks", "multi_face_landmarks"):
        if hasattr(result, name):
            parts["face_landmarks"] = _person(getattr(result, name), MEDIAPIPE_FACES[1])
    if (hands := _hands(result)) is not None:
        parts["hand_landmarks"] = hands
    pose, face, hands = (parts.get(name) for name in PARTS)
    return PoseData(pose, face, hands)


def _person(value: Any, count: int) -> Landmarks:
    """Return the first person's landmarks; NaN when nobody was found."""
    if value is None or (isinstance(value, Sequence) and not len(value)):
        return np.full((count, 4), np.nan, dtype=np.float32)
    # Tasks results, and `multi_*` of the old ones, hold one list a person; the first is the surest.
    first = value[0] if isinstance(value, Sequence) and not hasattr(value[0], "x") else value
    return _rows(first.landmark if hasattr(first, "landmark") else first)


def _rows(landmarks: Iterable[Any]) -> Landmarks:
    rows = []
    for landmark in landmarks:
        visibility = getattr(landmark, "visibility", None)
        rows.append((landmark.x, landmark.y, landmark.z, 1.0 if visibility is None else visibility))
    return _float32(rows)


def _hands(result: Any) -> Landmarks | None:
    if hasattr(result, "left_hand_landmarks") or hasattr(result, "right_hand_landmarks"):
        sides = [getattr(result, f"{side}_hand_landmarks", None) for side in ("left", "right")]
        hands = np.full((2, MEDIAPIPE_HAND, 4), np.nan, dtype=np.float32)
        for place, side in zip(hands, sides, strict=True):
            _put(place, _person(side, MEDIAPIPE_HAND))
        return hands
    for name in ("hand_landmarks", "multi_hand_landmarks"):
        if hasattr(result, name):
            return _hands_by_label(getattr(result, name) or (), _labels(result))
    return None


def _hands_by_label(found: Sequence[Any], labels: list[str]) -> Landmarks:
    hands = np.full((2, MEDIAPIPE_HAND, 4), np.nan, dtype=np.float32)
    taken = 0
    for index, hand in enumerate(found[:2]):
        label = labels[index] if index < len(labels) else ("left", "right")[index]
        place = 1 if label == "right" else 0
        if index and place == taken:
            place = 1 - taken  # two of one side: the first is the surest, and neither should be lost
        taken = place
        _put(hands[place], _person([hand], MEDIAPIPE_HAND))
    return hands


def _put(place: Landmarks, hand: Landmarks) -> None:
    if hand.shape != place.shape:
        raise DataValidationError("hand_landmarks", f"shape {list(hand.shape)}", f"expected {list(place.shape)}")
    place[:] = hand


def _labels(result: Any) -> list[str]:
    """Return "left" or "right" for each hand found."""
    labels = []
    for entry in getattr(result, "handedness", None) or getattr(result, "multi_handedness", None) or ():
        best = entry.classification[0] if hasattr(entry, "classification") else entry[0]
        labels.append((getattr(best, "category_name", None) or best.label).lower())
    return labels
