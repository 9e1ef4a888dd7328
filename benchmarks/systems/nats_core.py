"""NATS: the server of its project and ``nats-py``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar

import nats
from nats.aio.msg import Msg

from benchmarks.messages import Setup
from benchmarks.systems.addresses import HOST, address, free_port
from benchmarks.systems.broker import broker
from benchmarks.systems.pose_packets import PosePackets
from benchmarks.systems.system import ROOM, Deliver, Loop, Send
from posewire.protocol.pose_data import Landmarks


class Nats:
    """Core NATS, no JetStream: published without waiting, taken in the subscription's callback."""

    loop: ClassVar[Loop] = "asyncio"

    def __init__(self, setup: Setup) -> None:
        self._packets = PosePackets()

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        """Run nats-server."""
        port = free_port()
        async with broker("nats-server", ["--addr", HOST, "--port", str(port)], port):
            yield address(port, "nats")

    @asynccontextmanager
    async def publish(self, url: str) -> AsyncIterator[Send]:
        """Encode and publish."""
        pack = self._packets.pack
        client = await nats.connect(url)

        async def send(landmarks: Landmarks) -> None:
            await client.publish(ROOM, pack(landmarks))

        try:
            yield send
        finally:
            await client.close()

    @asynccontextmanager
    async def subscribe(self, url: str, index: int, deliver: Deliver) -> AsyncIterator[None]:
        """Decode in the callback."""
        take = self._packets.into(deliver)
        client = await nats.connect(url)

        async def come(message: Msg) -> None:
            take(message.data)

        try:
            await client.subscribe(ROOM, cb=come)
            await client.flush()  # the server has it
            yield
        finally:
            await client.close()
