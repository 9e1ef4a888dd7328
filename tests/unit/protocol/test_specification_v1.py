"""Body version 1 against the specification's own code, both ways."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posewire.errors import ProtocolError
from posewire.protocol import PoseData
from posewire.protocol.body_v1 import decode_pose, encode_pose
from tests.reference.specification_v1 import Specification
from tests.unit.protocol.test_recordings import DATA, NAMES, V1_STEP, frames
from tests.unit.strategies import Floats, poses

KEY = b"the key that the members of a room share"
NOW = 1_700_000_000.999_999
thresholds = st.sampled_from([None, 0, 1024])


def specification(threshold: int | None, now: float = NOW) -> Specification:
    return Specification(
        KEY, compression_enabled=threshold is not None, compression_threshold=threshold or 0, now=lambda: now
    )


def as_dicts(array: Floats | None) -> list[dict[str, float | None]] | None:
    """Landmarks as the specification has them; JSON has no NaN."""
    if array is None:
        return None
    rows = [[None if math.isnan(value) else value for value in row] for row in array.tolist()]
    return [dict(zip(("x", "y", "z", "visibility"), row, strict=True)) for row in rows]


def as_data(pose: PoseData) -> dict[str, Any]:
    hands = pose.hand_landmarks
    data: dict[str, Any] = {
        "timestamp": pose.timestamp,
        "pose_landmarks": as_dicts(pose.pose_landmarks),
        "face_landmarks": as_dicts(pose.face_landmarks),
        "hand_landmarks": None if hands is None else [as_dicts(hand) for hand in hands],
    }
    if pose.skeleton != "mediapipe33":
        data["skeleton"] = pose.skeleton
    return {name: value for name, value in data.items() if value is not None}


def both_ways(pose: PoseData, threshold: int | None, now: float) -> None:
    theirs = specification(threshold, now)
    processed = theirs.process_data(as_data(pose))
    assert decode_pose(json.dumps(processed).encode(), key=KEY) == pose
    ours = json.loads(encode_pose(pose, key=KEY, now=now, threshold=threshold, level=6))
    assert theirs.verify_data(ours)
    assert theirs.decompress_data(ours) == as_data(pose)
    assert (ours["timestamp"], set(ours)) == (processed["timestamp"], set(processed))


@pytest.mark.skipif(not DATA.is_dir(), reason=f"no folder of recordings at {DATA}")
@pytest.mark.parametrize("threshold", [None, 1024], ids=["plain", "compressed"])
@pytest.mark.parametrize("name", NAMES)
def test_recordings(name: str, threshold: int | None) -> None:
    for number, (_, pose) in enumerate(list(frames(name))[:: 4 * V1_STEP]):
        both_ways(pose, threshold, NOW + number / 30)


@settings(max_examples=60)
@given(poses(), thresholds, st.floats(0, 4e9))
def test_any_pose_at_any_time(pose: PoseData, threshold: int | None, now: float) -> None:
    both_ways(pose, threshold, now)


@settings(max_examples=60)
@given(thresholds, st.sampled_from(["data", "timestamp", "signature"]), st.booleans())
def test_neither_takes_what_the_other_would_refuse(threshold: int | None, field: str, ours: bool) -> None:
    pose = PoseData(np.full((33, 4), 0.25, dtype=np.float32))
    theirs = specification(threshold)
    processed = theirs.process_data(as_data(pose))
    if ours:
        processed = json.loads(encode_pose(pose, key=KEY, now=NOW, threshold=threshold, level=6))
    value = processed[field]
    processed[field] = value + 1 if field == "timestamp" else value[:9] + ("B" if value[9] == "A" else "A") + value[10:]
    assert not theirs.verify_data(processed)
    with pytest.raises(ProtocolError):
        decode_pose(json.dumps(processed).encode(), key=KEY)
