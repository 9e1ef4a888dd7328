"""python-socketio as its documentation shows it, default parser, under the same pressure."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import socketio
from aiohttp import web

from benchmarks.pressure.inbox import Diary, Inbox
from benchmarks.pressure.messages import Setup
from benchmarks.pressure.peer import HOST, Outlet
from posewire.protocol import Delivery, Kind, PacketWriter, PoseData, PoseProtocol, unpack_header

_ROOM: Final = "room"


class SocketIODefault:
    """Stock server and client; poses as header and body v2 (float32), sound as bytes."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[int]:
        """Pass every event on to the others in the room."""
        sio = socketio.AsyncServer(async_mode="aiohttp")

        @sio.event  # type: ignore[untyped-decorator]  # untyped library
        async def connect(sid: str, environ: dict[str, Any], auth: Any = None) -> None:
            await sio.enter_room(sid, _ROOM)

        @sio.event  # type: ignore[untyped-decorator]  # untyped library
        async def frame(sid: str, stream: str, data: bytes) -> None:
            await sio.emit("frame", (stream, data), room=_ROOM, skip_sid=sid)

        @sio.event  # type: ignore[untyped-decorator]  # untyped library
        async def audio(sid: str, data: bytes) -> None:
            await sio.emit("audio", data, room=_ROOM, skip_sid=sid)

        app = web.Application()
        sio.attach(app)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, HOST, 0).start()
            yield runner.addresses[0][1]
        finally:
            await sio.shutdown()
            await runner.cleanup()

    @asynccontextmanager
    async def publish(self, diary: Diary) -> AsyncIterator[Outlet]:
        """Encode and emit."""
        sio = self._client(lambda what: diary.note("publisher", what))
        await sio.connect(self._setup.url, transports=["websocket"])
        try:
            yield _Outlet(sio)
        finally:
            await sio.disconnect()

    @asynccontextmanager
    async def subscribe(self, inbox: Inbox) -> AsyncIterator[None]:
        """Decode in the event's handler."""
        sio = self._client(inbox.tell)
        protocol = PoseProtocol(version="v2")

        @sio.event  # type: ignore[untyped-decorator]  # untyped library
        async def frame(stream: str, packet: bytes) -> None:
            header = unpack_header(packet)
            inbox.pose(stream, protocol.decode_pose(header, packet, timestamp=header.captured_us / 1e6))

        @sio.event  # type: ignore[untyped-decorator]  # untyped library
        async def audio(data: bytes) -> None:
            inbox.audio(data)

        await sio.connect(self._setup.url, transports=["websocket"])
        try:
            yield
        finally:
            await sio.disconnect()

    def _client(self, tell: Any) -> socketio.AsyncClient:
        sio = socketio.AsyncClient()
        sio.on("connect", lambda: tell("connect"))
        sio.on("disconnect", lambda reason=None: tell(f"disconnect: {reason}"))
        return sio


class _Outlet:
    def __init__(self, sio: socketio.AsyncClient) -> None:
        self._sio = sio
        self._writer = PacketWriter()
        self._protocol = PoseProtocol(version="v2")
        self._streams: dict[str, int] = {}

    async def pose(self, stream: str, pose: PoseData) -> str:
        number = self._streams.setdefault(stream, len(self._streams) + 1)
        now = time.time()
        body = self._protocol.encode_pose(pose, now=now).body
        packet = self._writer.write(
            Kind.POSE, Delivery.LATEST, number, version=2, captured_us=round(now * 1e6), body=body
        )
        await self._sio.emit("frame", (stream, packet))
        return "emitted"

    async def audio(self, data: bytes) -> str:
        await self._sio.emit("audio", data)
        return "emitted"

    async def event(self, number: int) -> str:
        raise NotImplementedError("stock python-socketio has no reliable events to compare with")

    def status(self) -> dict[str, Any]:
        return {"engine.io queue": self._sio.eio.queue.qsize()}
