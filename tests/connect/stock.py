"""An unmodified python-socketio client, and what docs/wire.md says that it has to do."""

from __future__ import annotations

import asyncio
from typing import Any

import socketio

import posewire


class Plain:
    """A client with a parser of python-socketio's own.

    Args:
        serializer: ``msgpack``, or ``default``: JSON text with attachments.
        transports: How it connects.
    """

    def __init__(self, serializer: str = "msgpack", *, transports: tuple[str, ...] = ("websocket",)) -> None:
        self.sio = socketio.AsyncClient(serializer=serializer, reconnection=False, handle_sigint=False)
        self.transports = list(transports)
        self.packets: list[bytes] = []
        self.rooms: list[Any] = []
        self.byes: list[Any] = []
        self.refusals: list[Any] = []
        self.acks: list[Any] = []
        self.gone = asyncio.Event()
        self.sio.on("frame", self.packets.append)
        self.sio.on("room", self.rooms.append)
        self.sio.on("ack", self.acks.append)
        self.sio.on("bye", self.byes.append)
        self.sio.on("connect_error", self.refusals.append)
        self.sio.on("disconnect", lambda reason: self.gone.set())

    async def __aenter__(self) -> Plain:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.sio.disconnect()
        for task in (self.sio.eio.read_loop_task, self.sio.eio.write_loop_task):
            if task is not None:
                if self.gone.is_set():
                    task.cancel()  # told to close, it may wait a minute for something to write
                await asyncio.wait([task])

    async def connect(self, server: posewire.Server, **auth: Any) -> None:
        await self.sio.connect(server.url, auth=auth, transports=self.transports)

    async def enter(self, server: posewire.Server, name: str, room: str = "studio") -> Any:
        await self.connect(server, token=server.issue_token(name))
        return await self.ask("room.join", {"room": room, "create": True})

    async def ask(self, event: str, data: Any = None) -> Any:
        """Return the result of a request that is not refused."""
        ok, result = await self.sio.call(event, data)
        assert ok, result
        return result

    @property
    def changes(self) -> list[Any]:
        """What it was told of its room, but for its version."""
        return [update["change"] for update in self.rooms]
