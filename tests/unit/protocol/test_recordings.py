"""Real recordings, every frame, through the bodies and back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from posewire.protocol import Delivery, FrameType, Header, Kind, PoseData, PoseProtocol
from tests.half_step import assert_within
from tests.unit.strategies import Floats

DATA = Path(__file__).parents[3].parent / "shared" / "data"
NAMES = [
    "hand_fingerspell_25fps",
    "holistic_face_talk_a",
    "holistic_hands_body",
    "mocap_cmu_01_01",
    "mocap_cmu_02_05",
    "mocap_cmu_03_03",
    "pose_jump_swing_90fps",
    "pose_people_in_out_10fps",
    "pose_skateboard",
    "pose_squats_5fps",
    "pose_taichi",
    "pose_treadmill_walk",
    "sign_seg_example",
]
V1_STEP = 5
"""JSON is slow; one frame in five says as much."""

pytestmark = [
    pytest.mark.skipif(not DATA.is_dir(), reason=f"no folder of recordings at {DATA}"),
    pytest.mark.usefixtures("codec"),
]

HEADER = Header(2, Kind.POSE, Delivery.LATEST, FrameType.KEY, 1, 1, 0, 0, 0)


def cut(kind: str, row: Floats, timestamp: float) -> PoseData:
    """Make a pose of one frame; holistic is body, face, left hand and right hand in a row."""
    if kind.startswith("holistic"):
        body, face, hands = row[:33], row[33:-42], row[-42:].reshape(2, 21, 4)
        return PoseData(body, face, hands, timestamp)
    if kind == "pose33":
        return PoseData(row, timestamp=timestamp)
    if kind == "hand21":
        return PoseData(hand_landmarks=np.stack([np.full_like(row, np.nan), row]), timestamp=timestamp)
    return PoseData(row, timestamp=timestamp, skeleton=kind)


def frames(name: str) -> Iterator[tuple[Floats, PoseData]]:
    """Yield each frame as recorded and as a pose."""
    with np.load(DATA / f"{name}.npz", allow_pickle=False) as file:
        kind, rows, times = str(file["kind"]), file["landmarks"], file["timestamps"]
    for row, time in zip(rows, times.tolist(), strict=True):
        yield row, cut(kind, row, time)


def recorded(pose: PoseData) -> Floats:
    """Put the parts in a row again, as recorded."""
    parts = [part for part in (pose.pose_landmarks, pose.face_landmarks, pose.hand_landmarks) if part is not None]
    return np.concatenate([part.reshape(-1, 4) for part in parts])


def test_all_thirteen_are_there() -> None:
    assert sorted(path.stem for path in DATA.glob("*.npz")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_frame_through_v2(name: str) -> None:
    protocol = PoseProtocol(version="v2")
    count = 0
    for row, pose in frames(name):
        packet = HEADER.pack() + protocol.encode_pose(pose, now=0.0).body
        found = protocol.decode_pose(HEADER, packet, timestamp=pose.timestamp)
        assert found == pose
        np.testing.assert_array_equal(recorded(found)[-len(row) :], row)
        count += 1
    assert count > 60


@pytest.mark.parametrize("name", NAMES)
def test_every_frame_through_v3(name: str) -> None:
    sender, receiver = PoseProtocol(), PoseProtocol()
    size = count = 0
    for seq, (_, pose) in enumerate(frames(name)):
        coded = sender.encode_pose(pose, now=pose.timestamp, stream=1, seq=seq)
        header = msgspec.structs.replace(HEADER, version=3, frame_type=coded.frame_type, seq=seq, ref=coded.ref)
        found = receiver.decode_pose(header, header.pack() + coded.body, timestamp=pose.timestamp)
        assert_within(found, pose)
        size += len(coded.body)
        count += pose.landmark_count
    assert size < 16 * count / 3, "float32 is 16 bytes a landmark"


@pytest.mark.parametrize("name", NAMES)
def test_every_fifth_frame_through_v1(name: str) -> None:
    protocol = PoseProtocol(version="v1")
    protocol.signing_key = b"the key that the members of a room share"
    header = msgspec.structs.replace(HEADER, version=1)
    for row, pose in list(frames(name))[::V1_STEP]:
        packet = header.pack() + protocol.encode_pose(pose, now=1_700_000_000.0 + pose.timestamp).body
        found = protocol.decode_pose(header, packet, timestamp=pose.timestamp)
        assert found == pose
        np.testing.assert_array_equal(recorded(found)[-len(row) :], row)
