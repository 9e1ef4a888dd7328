"""A server and members whose clocks stand still, and links between them that lose frames."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import pytest

import posewire
from posewire import clock
from tests.connect.conftest import CONFIG
from tests.connect.loss.lossy_link import Join, Link, Linked, Time, knows


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    stopped = Time()
    monkeypatch.setattr(clock, "monotonic", stopped.monotonic)
    monkeypatch.setattr(clock, "now", stopped.now)
    return stopped


@pytest.fixture
async def server(time: Time) -> AsyncIterator[posewire.Server]:
    """Like that of all tests here, but its clock stands still with ours."""
    async with posewire.serve(config=CONFIG) as server:
        yield server


@pytest.fixture
def join(server: posewire.Server) -> Join:
    """Return a function that makes a session: ``async with join("alice") as alice``."""

    def make(
        name: str,
        room: str = "studio",
        *,
        key: bytes | None = None,
        url: str | None = None,
        config: posewire.Config = CONFIG,
    ) -> posewire.Session:
        token = server.issue_token(name)
        return posewire.connect(url or server.url, token=token, room=room, room_key=key, config=config)

    return make


@pytest.fixture
def linked(time: Time, join: Join) -> Linked:
    """Return a function that makes a link: ``async with linked() as link``."""

    @contextlib.asynccontextmanager
    async def make(*, key: bytes | None = None, config: posewire.Config = CONFIG) -> AsyncIterator[Link]:
        async with join("alice", key=key, config=config) as alice, join("bob", key=key) as bob:
            await knows(alice, bob)
            link = Link(time, alice, bob)
            link.watch()
            yield link

    return make
