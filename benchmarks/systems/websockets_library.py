"""The library ``websockets``: a server that broadcasts, as its documentation advises."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar

from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, broadcast, serve

from benchmarks.messages import Setup
from benchmarks.systems.addresses import HOST, address
from benchmarks.systems.pose_packets import PosePackets
from benchmarks.systems.system import Deliver, Loop, Send
from posewire.lifetime import cancel_and_wait
from posewire.protocol.pose_data import Landmarks


class Websockets:
    """`websockets.asyncio` on both sides, ``broadcast`` to the others, compression off (it is on by default)."""

    loop: ClassVar[Loop] = "asyncio"

    def __init__(self, setup: Setup) -> None:
        self._packets = PosePackets()

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        """Broadcast every message to the others."""
        connections: set[ServerConnection] = set()

        async def handle(connection: ServerConnection) -> None:
            connections.add(connection)
            try:
                await connection.send(b"")  # from now on every frame will come
                async for message in connection:
                    broadcast([other for other in connections if other is not connection], message)
            finally:
                connections.discard(connection)

        async with serve(handle, HOST, 0, compression=None) as server:
            yield address(next(iter(server.sockets)).getsockname()[1], "ws")

    @asynccontextmanager
    async def publish(self, url: str) -> AsyncIterator[Send]:
        """Encode and send."""
        pack = self._packets.pack
        async with connect(url, compression=None) as connection:
            await connection.recv()

            async def send(landmarks: Landmarks) -> None:
                await connection.send(pack(landmarks))

            yield send

    @asynccontextmanager
    async def subscribe(self, url: str, index: int, deliver: Deliver) -> AsyncIterator[None]:
        """Read messages in a loop."""
        take = self._packets.into(deliver)
        async with connect(url, compression=None) as connection:
            await connection.recv()

            async def read() -> None:
                async for message in connection:
                    assert isinstance(message, bytes)
                    take(message)

            reading = asyncio.create_task(read(), name=f"benchmark.sub{index}")
            try:
                yield
            finally:
                await cancel_and_wait(reading)
