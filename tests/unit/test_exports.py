"""The public names are exactly those of `__all__`, and those of the design are among them."""

from __future__ import annotations

import inspect
from types import ModuleType

import posewire

DESIGN = {
    "serve",
    "connect",
    "send_pose_data",
    "join_room",
    "get_performance_metrics",
    "PoseData",
    "AudioChunk",
    "SendOutcome",
}


def test_public_names_are_exactly_all() -> None:
    public = {n for n, v in vars(posewire).items() if not n.startswith("_") and not isinstance(v, ModuleType)}
    assert public == set(posewire.__all__) - {"__version__"}
    assert public >= DESIGN


def parameters(function: object) -> list[str]:
    return list(inspect.signature(function).parameters)  # type: ignore[arg-type]


def test_signatures_of_the_design() -> None:
    assert parameters(posewire.serve) == ["host", "port", "config"]
    assert parameters(posewire.connect) == ["url", "token", "credentials", "room", "room_key", "config"]
    assert parameters(posewire.Session.send_pose)[1:] == ["pose", "stream", "timestamp", "priority"]
    assert parameters(posewire.Session.send_audio)[1:] == ["pcm", "stream", "timestamp", "priority"]
    assert parameters(posewire.Session.frames)[1:4] == ["kind", "user_id", "stream"]
    assert parameters(posewire.Session.send_event)[1:] == ["name", "data"]
    assert parameters(posewire.send_pose_data) == ["pose_data", "room_id", "priority"]
    assert parameters(posewire.join_room) == ["room_id", "user_id", "role"]
    assert parameters(posewire.get_performance_metrics) == []
    assert parameters(posewire.PoseData) == [
        "pose_landmarks",
        "face_landmarks",
        "hand_landmarks",
        "timestamp",
        "skeleton",
    ]
    assert parameters(posewire.Server.issue_token)[1:] == [
        "user_id",
        "room_id",
        "role",
        "publish",
        "subscribe",
        "moderate",
        "ttl",
    ]


def test_sending_priorities_of_the_design() -> None:
    defaults = {name: p.default for name, p in inspect.signature(posewire.Session.send_pose).parameters.items()}
    assert (defaults["stream"], defaults["timestamp"], defaults["priority"]) == ("pose", None, 5)
    defaults = {name: p.default for name, p in inspect.signature(posewire.Session.send_audio).parameters.items()}
    assert (defaults["stream"], defaults["timestamp"], defaults["priority"]) == ("audio", None, 8)
