"""A real server on loopback, members on demand."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import numpy as np
import pytest

import posewire
from posewire.protocol.pose_data import Landmarks
from posewire.protocol.room_view import RoomMember
from posewire.rooms import Presence

# Quick to come back, so that no test waits for the network; and no files of the machine it runs on.
CONFIG = posewire.Config(
    socket=posewire.ConnectionConfig(
        reconnect_delay=20,
        reconnect_delay_max=50,
        reconnect_attempts=400,
        connect_timeout=3000,
        request_timeout=3000,
        clock_exchanges=2,
        clock_interval=3_600_000,  # where time stands still, an answer that comes by itself would be late
        max_connections=100,
    ),
    server=posewire.ServerConfig(drain_timeout=2000),
)


def changed(**sections: dict[str, Any]) -> posewire.Config:
    """Return CONFIG with some settings changed: ``changed(socket={"reconnect_attempts": 1})``."""
    return msgspec.structs.replace(
        CONFIG,
        **{name: msgspec.structs.replace(getattr(CONFIG, name), **values) for name, values in sections.items()},
    )


@pytest.fixture
async def server() -> AsyncIterator[posewire.Server]:
    async with posewire.serve(config=CONFIG) as server:
        yield server


Member = Callable[..., contextlib.AbstractAsyncContextManager[posewire.Session]]


@pytest.fixture
def member(server: posewire.Server) -> Member:
    """Return a function that makes a session: ``async with member("alice") as alice``."""

    def make(
        name: str,
        room: str | None = "studio",
        *,
        url: str | None = None,
        config: posewire.Config = CONFIG,
        publish: bool = True,
        subscribe: bool = True,
    ) -> posewire.Session:
        token = server.issue_token(name, publish=publish, subscribe=subscribe)
        return posewire.connect(url or server.url, token=token, room=room, config=config)

    return make


def landmarks(seed: int = 0, count: int = 33) -> Landmarks:
    """Return numbers that lie on the default steps, so that every body version brings them unchanged."""
    steps = np.array((512, 512, 512, 32))
    array: Landmarks = (np.rint(np.random.default_rng(seed).random((count, 4)) * steps) / steps).astype(np.float32)
    return array


def points(frame: posewire.Frame) -> Landmarks:
    """Return the body of a frame that has one."""
    assert frame.pose is not None
    assert frame.pose.pose_landmarks is not None
    return frame.pose.pose_landmarks


async def eventually(condition: Callable[[], bool], *, seconds: float = 10.0) -> None:
    """Wait until ``condition`` holds; the deadline is for a broken test, not a measure of speed."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.002)


async def next_frame(frames: posewire.Subscription) -> posewire.Frame:
    async with asyncio.timeout(10):
        return await anext(frames)


def seen(session: posewire.Session) -> list[Presence]:
    """Return a list that fills with what the session is told of its room from now on."""
    presences: list[Presence] = []
    session.on("presence", lambda event: presences.append(event.data))
    return presences


def kinds(presences: list[Presence]) -> list[tuple[str, str]]:
    return [(presence.kind, presence.user_id) for presence in presences]


def heard(session: posewire.Session, name: str) -> list[posewire.Event]:
    """Return a list that fills with the events of that name."""
    events: list[posewire.Event] = []
    session.on(name, events.append)
    return events


def me(session: posewire.Session) -> RoomMember:
    """Return what the session sees itself as."""
    assert session.rooms.state is not None
    return session.rooms.state.members[session.user_id]


def knows(session: posewire.Session, *user_ids: str) -> bool:
    """Whether exactly these are in the session's room, as it sees it."""
    return session.rooms.state is not None and set(session.rooms.state.members) == set(user_ids)
