"""Posewire, as its users use it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import posewire
from benchmarks.messages import Setup
from benchmarks.systems.system import ROOM, Deliver, Send
from posewire.server import TokenAuthority

_MORE_THAN_ENOUGH = 1000


class Posewire:
    """`posewire.serve`, `posewire.connect`, `Session.send_pose` and ``async for frame in session.frames()``.

    Everything is at its default but what limits the number of members.
    """

    SENDER = posewire.SenderConfig()

    def __init__(self, setup: Setup) -> None:
        self._config = posewire.Config(
            socket=posewire.ConnectionConfig(max_connections=max(_MORE_THAN_ENOUGH, setup.members)),
            security=posewire.SecurityConfig(secret_key=setup.secret),
            sender=self.SENDER,
            room=posewire.RoomConfig(max_clients=max(_MORE_THAN_ENOUGH, setup.members)),
            server=posewire.ServerConfig(max_connections=max(_MORE_THAN_ENOUGH, setup.members)),
        )
        self._tokens = TokenAuthority(setup.secret.encode(), lifetime=3600)

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        """Run the embedded server."""
        async with posewire.serve(config=self._config) as server:
            yield server.url

    @asynccontextmanager
    async def publish(self, url: str) -> AsyncIterator[Send]:
        """Enter the room; poses go through `Session.send_pose`."""
        async with self._session(url, "publisher") as session:
            yield session.send_pose

    @asynccontextmanager
    async def subscribe(self, url: str, index: int, deliver: Deliver) -> AsyncIterator[None]:
        """Enter the room and read its frames in a loop."""
        async with self._session(url, f"sub{index}") as session:
            # Made before the task runs: it collects from now on.
            frames = session.frames()

            async def read() -> None:
                async for frame in frames:
                    if frame.pose is not None and frame.pose.pose_landmarks is not None:
                        deliver(frame.pose.pose_landmarks)

            reading = asyncio.create_task(read(), name=f"benchmark.sub{index}")
            yield
        await reading  # the end of the session ended the loop

    def _session(self, url: str, user: str) -> posewire.Session:
        token = self._tokens.issue(user, room_id=ROOM)
        return posewire.connect(url, token=token, room=ROOM, config=self._config)


class PosewireV2(Posewire):
    """The same with exact float32 in every packet, as many bytes as the stock systems send."""

    SENDER = posewire.SenderConfig(protocol_version="v2")
