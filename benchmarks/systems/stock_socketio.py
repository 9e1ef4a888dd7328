"""python-socketio as its documentation shows it: stock server on aiohttp, stock client, WebSocket from the start."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import socketio
from aiohttp import web

from benchmarks.messages import Setup
from benchmarks.systems.system import ROOM, Deliver, Send
from posewire.protocol import Delivery, Kind, PacketWriter, PoseProtocol, to_pose_data, unpack_header
from posewire.protocol.pose_data import Landmarks

_STREAM = 1


class SocketIOMsgpack:
    """The stock library with its msgpack parser. The argument of its event is the packet Posewire would send.

    The pose is checked and encoded, and decoded again, with `posewire.protocol`, as a session does.
    """

    serializer: ClassVar = "msgpack"

    def __init__(self, setup: Setup) -> None:
        self._protocol = PoseProtocol(version="v2")

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
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await sio.shutdown()
            await runner.cleanup()

    @asynccontextmanager
    async def publish(self, url: str) -> AsyncIterator[Send]:
        """Encode and emit."""
        sio = socketio.AsyncClient(serializer=self.serializer)
        writer = PacketWriter()
        protocol = self._protocol

        async def send(landmarks: Landmarks) -> None:
            now = time.time()
            body = protocol.encode_pose(to_pose_data(landmarks), now=now).body
            packet = writer.write(
                Kind.POSE, Delivery.LATEST, _STREAM, version=2, captured_us=round(now * 1e6), body=body
            )
            await sio.emit("frame", packet)

        await sio.connect(url, transports=["websocket"])
        try:
            yield send
        finally:
            await sio.disconnect()

    @asynccontextmanager
    async def subscribe(self, url: str, index: int, deliver: Deliver) -> AsyncIterator[None]:
        """Decode in the event's handler."""
        sio = socketio.AsyncClient(serializer=self.serializer)
        protocol = self._protocol

        @sio.event  # type: ignore[untyped-decorator]  # untyped library
        async def frame(packet: bytes) -> None:
            header = unpack_header(packet)
            pose = protocol.decode_pose(header, packet, timestamp=header.captured_us / 1e6)
            if pose.pose_landmarks is not None:
                deliver(pose.pose_landmarks)

        # Returns once the server's connect handler has entered the room.
        await sio.connect(url, transports=["websocket"])
        try:
            yield
        finally:
            await sio.disconnect()


class SocketIODefault(SocketIOMsgpack):
    """The same with the default parser: bytes travel as an attachment, a WebSocket message of their own."""

    serializer: ClassVar = "default"
