"""Zenoh: a router in the server's process, clients that know only it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import zenoh

from benchmarks.messages import Setup
from benchmarks.systems.addresses import HOST, free_port
from benchmarks.systems.pose_packets import PosePackets
from benchmarks.systems.system import ROOM, Deliver, Loop, Send
from posewire.protocol.pose_data import Landmarks


class Zenoh:
    """``express``: a message is not held back to be sent with others. Subscribers decode in Zenoh's own thread.

    That is the quickest way a program in Python has; one that lives in asyncio pays a turn of its loop more.
    """

    loop: ClassVar[Loop] = "asyncio"

    def __init__(self, setup: Setup) -> None:
        self._packets = PosePackets()

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        """Run a router."""
        endpoint = f"tcp/{HOST}:{free_port()}"
        with zenoh.open(_config("router", listen={"endpoints": [endpoint]})):
            yield endpoint

    @asynccontextmanager
    async def publish(self, url: str) -> AsyncIterator[Send]:
        """Encode and put."""
        pack = self._packets.pack
        with zenoh.open(_config("client", connect={"endpoints": [url]})) as session:
            publisher = session.declare_publisher(ROOM, express=True)

            async def send(landmarks: Landmarks) -> None:
                publisher.put(pack(landmarks))

            yield send

    @asynccontextmanager
    async def subscribe(self, url: str, index: int, deliver: Deliver) -> AsyncIterator[None]:
        """Decode in the callback."""
        take = self._packets.into(deliver)
        with zenoh.open(_config("client", connect={"endpoints": [url]})) as session:
            session.declare_subscriber(ROOM, lambda sample: take(sample.payload.to_bytes()))
            yield


def _config(mode: str, **sections: Any) -> zenoh.Config:
    settings = {"mode": mode, "scouting": {"multicast": {"enabled": False}, "gossip": {"enabled": False}}}
    return zenoh.Config.from_json5(json.dumps(settings | sections))
