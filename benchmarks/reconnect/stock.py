"""Stock python-socketio in `resume`: its own reconnection, as it comes; the application joins its room again."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar, Final

import socketio
from aiohttp import web
from socketio import exceptions as sio_exceptions

from benchmarks.messages import Setup
from benchmarks.motion import load_motion
from benchmarks.reconnect.seen import FPS, ROOM_SIZE, Seen, room_of
from benchmarks.systems.addresses import HOST, address
from benchmarks.systems.pose_packets import PosePackets
from benchmarks.systems.system import Loop
from benchmarks.usage import sleep_until
from posewire.lifetime import cancel_and_wait

_SERIALIZER: Final = "msgpack"


class Stock:
    """`AsyncServer` on aiohttp and `AsyncClient`, msgpack parser, WebSocket from the start, all else by default."""

    loop: ClassVar[Loop] = "asyncio"

    def __init__(self, setup: Setup) -> None:
        self._setup = setup

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        """Pass frames on to the others in the room that a client named."""
        sio = socketio.AsyncServer(async_mode="aiohttp", serializer=_SERIALIZER)
        rooms: dict[str, str] = {}

        @sio.event  # type: ignore[untyped-decorator]  # untyped library
        async def join(sid: str, room: str) -> bool:
            await sio.enter_room(sid, room)
            rooms[sid] = room
            return True

        @sio.event  # type: ignore[untyped-decorator]
        async def disconnect(sid: str, reason: str) -> None:
            rooms.pop(sid, None)

        @sio.event  # type: ignore[untyped-decorator]
        async def frame(sid: str, user: str, packet: bytes) -> None:
            if (room := rooms.get(sid)) is not None:
                await sio.emit("frame", (user, packet), room=room, skip_sid=sid)

        app = web.Application()
        sio.attach(app)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, HOST, 0, backlog=512).start()
            yield address(runner.addresses[0][1], "http")
        finally:
            await sio.shutdown()
            await runner.cleanup()

    @asynccontextmanager
    async def session(self, index: int) -> AsyncIterator[Seen]:
        """Be a publisher and subscriber in a room."""
        members = min(ROOM_SIZE, self._setup.members - index // ROOM_SIZE * ROOM_SIZE)
        seen = Seen(members - 1)
        sio = socketio.AsyncClient(serializer=_SERIALIZER)
        packets = PosePackets()
        take = packets.into(lambda _: None)
        joined = asyncio.Event()

        @sio.event  # type: ignore[untyped-decorator]
        async def connect() -> None:
            seen.note("connected_ns")
            # Lost again meanwhile: the next connection joins.
            with contextlib.suppress(sio_exceptions.SocketIOError):
                if await sio.call("join", room_of(index), timeout=5):
                    seen.note("room_ns")
                    joined.set()

        @sio.event  # type: ignore[untyped-decorator]
        async def frame(user: str, packet: bytes) -> None:
            take(packet)
            seen.heard(user)

        await sio.connect(self._setup.url, transports=["websocket"])
        await joined.wait()
        publishing = asyncio.create_task(
            _publish(sio, f"user{index}", packets, self._setup.seed + index), name=f"benchmark.pub{index}"
        )
        try:
            yield seen
        finally:
            await cancel_and_wait(publishing)
            await sio.disconnect()


async def _publish(sio: Any, user: str, packets: PosePackets, phase: int) -> None:
    motion = load_motion(phase)
    start, number = time.monotonic_ns() + int(phase * 0.618e9 % 1e9 / FPS), 0
    while True:
        await sleep_until(start + int(number * 1e9 / FPS))
        if sio.connected:
            with contextlib.suppress(sio_exceptions.SocketIOError):
                await sio.emit("frame", (user, packets.pack(motion.frame(0, number))))
        number += 1
