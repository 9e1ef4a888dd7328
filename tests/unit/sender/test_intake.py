"""What is wrong with a frame is said to who hands it in."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from posewire import clock
from posewire.config import MediaConfig, SenderConfig
from posewire.errors import DataValidationError, InvalidDataError, RoomError
from posewire.protocol import AudioChunk, Delivery, Kind, PoseData
from posewire.sender.intake import Intake
from tests.fuzz.receive_path import ReceivePath

POSE = np.zeros((33, 4), np.float32)


@pytest.fixture
def path() -> ReceivePath:
    return ReceivePath(None)


@pytest.fixture
def intake(path: ReceivePath) -> Intake:
    return Intake(path.socket, path.rooms, SenderConfig(audio_max_age=200), MediaConfig(sample_rate=16_000, channels=1))


def test_a_pose_is_latest_wins_and_never_expires(intake: Intake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("posewire.sender.intake.clock.monotonic", lambda: 50.0)
    item = intake.item("pose", POSE, 5, "cam", 123.5)
    assert (item.kind, item.delivery, item.expires, item.queued) == (Kind.POSE, Delivery.LATEST, None, 50.0)
    assert (item.priority, item.stream, item.timestamp) == (5, "cam", 123.5)
    assert isinstance(item.data, PoseData)


def test_sound_is_in_order_and_expires(intake: Intake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("posewire.sender.intake.clock.monotonic", lambda: 50.0)
    item = intake.item("audio", bytes(20), 8, "voice", None)
    assert (item.kind, item.delivery) == (Kind.AUDIO, Delivery.ORDERED)
    assert item.expires == pytest.approx(50.2)
    assert isinstance(item.data, AudioChunk)
    assert item.data.sample_rate == 16_000


def test_the_capture_time_is_the_callers_else_the_datas_else_now(intake: Intake) -> None:
    assert intake.item("pose", PoseData(POSE, timestamp=7.0), 5, "s", None).timestamp == 7.0
    assert intake.item("pose", PoseData(POSE, timestamp=7.0), 5, "s", 8.0).timestamp == 8.0
    before = clock.now()
    assert before <= intake.item("pose", POSE, 5, "s", None).timestamp <= clock.now()


@pytest.mark.parametrize(
    ("priority", "stream", "timestamp", "what"),
    [
        (True, "s", None, "priority True"),
        (1.0, "s", None, "priority 1.0"),
        (5, "", None, "stream ''"),
        (5, "a\nb", None, "stream"),
        (5, "x" * 129, None, "stream"),
        (5, None, None, "stream None"),
        (5, "s", -1.0, "timestamp -1.0"),
        (5, "s", 1e12, "timestamp"),
        (5, "s", float("nan"), "timestamp nan"),
        (5, "s", "now", "timestamp 'now'"),
    ],
)
def test_bad_arguments(intake: Intake, priority: Any, stream: Any, timestamp: Any, what: str) -> None:
    with pytest.raises(InvalidDataError, match=what):
        intake.item("pose", POSE, priority, stream, timestamp)


def test_bad_data(intake: Intake) -> None:
    with pytest.raises(DataValidationError):
        intake.item("pose", "no pose", 5, "s", None)
    with pytest.raises(DataValidationError):
        intake.item("audio", b"odd", 5, "s", None)


def test_version_1_takes_no_old_captures(intake: Intake, path: ReceivePath) -> None:
    path.socket.protocol.set_version("v1")
    with pytest.raises(InvalidDataError, match="version 1 is signed"):
        intake.item("pose", POSE, 5, "s", clock.now() - 1000)
    assert intake.item("pose", POSE, 5, "s", clock.now())
    assert intake.item("audio", bytes(2), 5, "s", clock.now() - 1000), "sound has no signature"


def test_who_may_publish(intake: Intake, path: ReceivePath) -> None:
    intake.check_grant()
    state = path.rooms.state
    assert state is not None
    me = state.members["me"]
    state.members["me"] = msgspec.structs.replace(me, publish=False)
    with pytest.raises(RoomError, match="me may not publish"):
        intake.check_grant()
    path.rooms._entry._exit()
    with pytest.raises(RoomError, match="not in a room"):
        intake.check_grant()
