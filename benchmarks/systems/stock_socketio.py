"""python-socketio as its documentation shows it: stock server on aiohttp, stock client, WebSocket from the start."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import socketio
from aiohttp import web

from benchmarks.messages import Setup
from benchmarks.systems.addresses import HOST, address
from benchmarks.systems.pose_packets import PosePackets
from benchmarks.systems.system import ROOM, Deliver, Loop, Pack, Send, Write
from posewire.protocol.pose_data import Landmarks


class SocketIOMsgpack:
    """The stock library with its msgpack parser. The argument of its event is the packet."""

    loop: ClassVar[Loop] = "asyncio"
    serializer: ClassVar = "msgpack"

    def __init__(self, setup: Setup) -> None:
        self._packets = PosePackets()

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        """Pass every ``frame`` on to the others in the room."""
        sio = socketio.AsyncServer(async_mode="aiohttp", serializer=self.serializer)

        @sio.event  # type: ignore[untyped-decorator]  # untyped library
        async def connect(sid: str, environ: dict[str, Any], auth: Any = None) -> None:
            await sio.enter_room(sid, ROOM)

        @sio.event  # type: ignore[untyped-decorator]  # untyped library
        async def frame(sid: str, data: bytes) -> None:
            await sio.emit("frame", data, room=ROOM, skip_sid=sid)

        app = web.Application()
        sio.attach(app)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, HOST, 0).start()
            yield address(runner.addresses[0][1], "http")
        finally:
            await sio.shutdown()
            await runner.cleanup()

    @asynccontextmanager
    async def publish(self, url: str) -> AsyncIterator[Send]:
        """Encode and emit."""
        pack = self._packets.pack
        async with self._connected(url) as sio:

            async def send(landmarks: Landmarks) -> None:
                await sio.emit("frame", pack(landmarks))

            yield send

    @asynccontextmanager
    async def subscribe(self, url: str, index: int, deliver: Deliver) -> AsyncIterator[None]:
        """Decode in the event's handler."""
        take = self._packets.into(deliver)

        async def frame(packet: bytes) -> None:
            take(packet)

        async with self._connected(url, frame):
            yield

    @asynccontextmanager
    async def flood(self, url: str) -> AsyncIterator[tuple[Pack, Write]]:
        """Emit finished packets."""
        async with self._connected(url) as sio:

            async def write(packet: bytes) -> None:
                await sio.emit("frame", packet)

            yield self._packets.wrap, write

    @asynccontextmanager
    async def _connected(self, url: str, handler: Any = None) -> AsyncIterator[socketio.AsyncClient]:
        sio = socketio.AsyncClient(serializer=self.serializer)
        if handler is not None:
            sio.on("frame", handler)
        # Returns once the server's connect handler has entered the room.
        await sio.connect(url, transports=["websocket"])
        try:
            yield sio
        finally:
            await sio.disconnect()


class SocketIODefault(SocketIOMsgpack):
    """The same with the default parser: bytes travel as an attachment, a WebSocket message of their own."""

    serializer: ClassVar = "default"


class SocketIOMsgpackUvloop(SocketIOMsgpack):
    """The msgpack parser on uvloop, which its documentation does not speak of."""

    loop: ClassVar[Loop] = "uvloop"
