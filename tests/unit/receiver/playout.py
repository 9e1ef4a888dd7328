"""Frames for the tests of playout: made by hand, with times of any clock."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from posewire.monitor import StreamStats
from posewire.protocol import AudioChunk, PoseData
from posewire.protocol.pose_data import Landmarks
from posewire.receiver.frame import FrameKind
from posewire.receiver.playout_buffer import PlayoutBuffer, Release
from posewire.receiver.received import Received

START = 1_800_000_000.0
"""A time as it is today: floats have a coarse grain there."""


@functools.cache
def stats(user_id: str = "alice", stream: str = "pose") -> StreamStats:
    return StreamStats(user_id, stream)


def body(value: float, *, missing: Iterable[int] = ()) -> Landmarks:
    """Return 33 joints, all at ``value`` in x, y and z; NaN at ``missing``."""
    joints = np.full((33, 4), value, np.float32)
    joints[:, 3] = 0.5
    joints[list(missing)] = np.nan
    return joints


def pose_at(value: float, *, missing: Iterable[int] = ()) -> PoseData:
    return PoseData(body(value, missing=missing))


def frame(
    seq: int,
    timestamp: float,
    *,
    arrived: float = 0.0,
    kind: FrameKind = "pose",
    value: float = 0.0,
    user_id: str = "alice",
    stream: str | None = None,
) -> Received:
    """Return a frame of ``timestamp``; all joints of a pose at ``value``."""
    name = kind if stream is None else stream
    pose = pose_at(value) if kind == "pose" else None
    audio = AudioChunk(np.zeros(8, np.int16), 16_000) if kind == "audio" else None
    return Received(user_id, kind, name, seq, timestamp, 10, arrived, StreamStats(user_id, name), pose, audio)


def play(
    buffer: PlayoutBuffer, coming: Sequence[Received], *, until: float | None = None, lag: Callable[[], float] = float
) -> list[tuple[float, Release]]:
    """Hand frames to a buffer as they arrive and take what is due, ``lag`` late; returns when what was released."""
    released: list[tuple[float, Release]] = []
    waiting = sorted(coming, key=lambda received: received.arrived)
    end = waiting[-1].arrived + 1.0 if until is None else until
    now = waiting[0].arrived
    while True:
        due = buffer.next_time()
        if waiting and (due is None or waiting[0].arrived <= due):
            received = waiting.pop(0)
            now = max(now, received.arrived)
            buffer.put(received, now)
        elif due is None or due > end:
            return released
        else:
            now = max(now, due) + lag()
            if (release := buffer.take(now)) is not None:
                released.append((now, release))


def stream(count: int, *, every: float, transit: Callable[[int], float], kind: FrameKind = "pose") -> list[Received]:
    """Return frames captured evenly; joints move with speed 1 from 0; ``transit`` of each by its number from 0."""
    return [
        frame(
            index + 1,
            START + index * every,
            arrived=START + index * every + transit(index),
            kind=kind,
            value=index * every,
        )
        for index in range(count)
    ]


def value_of(pose: Any) -> float:
    """Return where the first joint of a pose is."""
    assert isinstance(pose, PoseData)
    assert pose.pose_landmarks is not None
    return float(pose.pose_landmarks[0, 0])
