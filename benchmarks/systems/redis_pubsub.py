"""Redis pub/sub: redis-server and ``redis-py`` in asyncio, with hiredis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar

from redis.asyncio import Redis

from benchmarks.messages import Setup
from benchmarks.systems.addresses import HOST, address, free_port
from benchmarks.systems.broker import broker
from benchmarks.systems.pose_packets import PosePackets
from benchmarks.systems.system import ROOM, Deliver, Loop, Send
from posewire.lifetime import cancel_and_wait
from posewire.protocol.pose_data import Landmarks


class RedisPubSub:
    """Nothing kept on disk. ``publish`` waits for the server's answer, as the library has it."""

    loop: ClassVar[Loop] = "asyncio"

    def __init__(self, setup: Setup) -> None:
        self._packets = PosePackets()

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        """Run redis-server."""
        port = free_port()
        options = ["--bind", HOST, "--port", str(port), "--save", "", "--appendonly", "no", "--loglevel", "warning"]
        async with broker("redis-server", options, port):
            yield address(port, "redis")

    @asynccontextmanager
    async def publish(self, url: str) -> AsyncIterator[Send]:
        """Encode and publish."""
        pack = self._packets.pack
        async with Redis.from_url(url) as client:
            await client.ping()

            async def send(landmarks: Landmarks) -> None:
                await client.publish(ROOM, pack(landmarks))

            yield send

    @asynccontextmanager
    async def subscribe(self, url: str, index: int, deliver: Deliver) -> AsyncIterator[None]:
        """Read messages in a loop."""
        take = self._packets.into(deliver)
        async with Redis.from_url(url) as client, client.pubsub() as room:
            await room.subscribe(ROOM)
            subscribed = asyncio.Event()

            async def read() -> None:
                async for message in room.listen():
                    if message["type"] == "message":
                        take(message["data"])
                    else:
                        subscribed.set()

            reading = asyncio.create_task(read(), name=f"benchmark.sub{index}")
            try:
                await subscribed.wait()
                yield
            finally:
                await cancel_and_wait(reading)
