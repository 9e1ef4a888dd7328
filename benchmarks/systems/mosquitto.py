"""MQTT: Mosquitto and ``aiomqtt``, QoS 0."""

from __future__ import annotations

import asyncio
import socket
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ClassVar

from aiomqtt import Client

from benchmarks.messages import Setup
from benchmarks.systems import addresses
from benchmarks.systems.broker import broker
from benchmarks.systems.pose_packets import PosePackets
from benchmarks.systems.system import ROOM, Deliver, Loop, Send
from posewire.lifetime import cancel_and_wait
from posewire.protocol.pose_data import Landmarks


class Mosquitto:
    """TCP_NODELAY on both ends (neither sets it by itself), nothing kept on disk."""

    loop: ClassVar[Loop] = "asyncio"

    def __init__(self, setup: Setup) -> None:
        self._packets = PosePackets()

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        """Run mosquitto."""
        port = addresses.free_port()
        lines = [f"listener {port} {addresses.HOST}", "allow_anonymous true", "set_tcp_nodelay true"]
        lines += ["persistence false", "log_type error"]
        with tempfile.TemporaryDirectory() as folder:
            settings = Path(folder) / "mosquitto.conf"
            settings.write_text("\n".join(lines) + "\n")
            async with broker("mosquitto", ["-c", str(settings)], port):
                yield addresses.address(port, "mqtt")

    @asynccontextmanager
    async def publish(self, url: str) -> AsyncIterator[Send]:
        """Encode and publish."""
        pack = self._packets.pack
        async with _client(url) as client:

            async def send(landmarks: Landmarks) -> None:
                await client.publish(ROOM, pack(landmarks), qos=0)

            yield send

    @asynccontextmanager
    async def subscribe(self, url: str, index: int, deliver: Deliver) -> AsyncIterator[None]:
        """Read messages in a loop."""
        take = self._packets.into(deliver)
        async with _client(url) as client:
            await client.subscribe(ROOM, qos=0)

            async def read() -> None:
                async for message in client.messages:
                    assert isinstance(message.payload, bytes)
                    take(message.payload)

            reading = asyncio.create_task(read(), name=f"benchmark.sub{index}")
            try:
                yield
            finally:
                await cancel_and_wait(reading)


def _client(url: str) -> Client:
    options = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
    return Client(addresses.HOST, addresses.port(url), socket_options=options)
