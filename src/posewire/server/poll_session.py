"""A client that has no WebSocket, or not yet: it asks for what there is, again and again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any, Final

import engineio.packet
from aiohttp import web

_BATCH_BYTES: Final = 256 << 10
"""What one answer may bring, of what waited."""
_MOST_QUEUED: Final = 64
"""Packets that may wait to be asked for: engine.io's own and answers, which have no other bound."""
_TEXT_FRAME: Final = 0x81


class PollSession:
    """Is to an `Outlet` what a transport is: takes WebSocket frames, and gives them to the client when it asks.

    What was given counts as under way until the client asks again: then it has come. When the client goes on by a
    WebSocket, what is written goes there.

    Args:
        eio_socket: engine.io's socket.
        abort: Ends it at once.

    Attributes:
        ended: Set when it is over.
        requests: Those that are being answered, by method: one of each.
        upgrade: What the WebSocket came on that it goes on by.
    """

    def __init__(self, eio_socket: Any, abort: Callable[[PollSession], None]) -> None:
        self.socket = eio_socket
        self.ended = asyncio.Event()
        self.requests: dict[str, web.BaseRequest] = {}
        self.upgrade: web.BaseRequest | None = None
        self.goodbye: engineio.packet.Packet | None = None
        """What is left to say."""
        self.on_poll: Callable[[], object] = lambda: None
        """Writes what waits, when the client asks."""
        self.on_upgrade: Callable[[asyncio.Transport], object] = lambda transport: None
        self._abort = abort
        self._under_way = 0
        self._batch = 0
        self._upgraded = False

    @property
    def sid(self) -> str:
        """engine.io's id of it."""
        return str(self.socket.sid)

    @property
    def transport(self) -> Any:
        """Itself: it takes the place of a request."""
        return self

    @property
    def websocket(self) -> asyncio.Transport | None:
        """Of the WebSocket it goes on by."""
        return None if self.upgrade is None else self.upgrade.transport

    def polled(self) -> None:
        """The client asks, so it has what it was given: let what waits be written."""
        self._under_way, self._batch = 0, _BATCH_BYTES
        try:
            self.on_poll()
        finally:
            self._batch = 0

    # What an outlet asks of a transport ------------------------------------------------------------------------------

    def get_extra_info(self, name: str) -> Any:
        """Return None: there is no one socket."""
        return None

    def get_write_buffer_size(self) -> int:
        """Return the bytes that the client has not got yet; 0 while more may be written."""
        if (websocket := self.websocket) is not None and self.socket.upgraded:
            if not self._upgraded and self.socket.queue.empty():
                # engine.io has written there what was asked for before; from now on nothing is overtaken.
                self._upgraded = True
                self.on_upgrade(websocket)
            return websocket.get_write_buffer_size() if self._upgraded else 1
        if self.socket.queue.qsize() > _MOST_QUEUED:
            return 1 << 30
        if self.socket.upgrading:
            return self._under_way + 1
        return 0 if self._under_way < self._batch else self._under_way

    def is_closing(self) -> bool:
        """Whether it is over."""
        return self.ended.is_set()

    def write(self, wire: bytes) -> None:
        """Take WebSocket frames. Never waits."""
        if self._upgraded:
            if (websocket := self.websocket) is not None:
                websocket.write(wire)
            return
        self._under_way += len(wire)
        for message in _messages(wire):
            packet = engineio.packet.Packet(
                engineio.packet.MESSAGE, message[1:] if isinstance(message, str) else message
            )
            self.socket.queue.put_nowait(packet)

    def abort(self) -> None:
        """End it at once; what waits for it is lost."""
        if (websocket := self.websocket) is not None:
            websocket.abort()
        self._abort(self)


def _messages(wire: bytes) -> Iterator[str | bytes]:
    """Take frames of our own making apart: they are whole, and not masked."""
    at = 0
    while at < len(wire):
        first, size = wire[at], wire[at + 1]
        width = {126: 2, 127: 8}.get(size, 0)
        at += 2 + width
        if width:
            size = int.from_bytes(wire[at - width : at], "big")
        payload = wire[at : at + size]
        at += size
        yield payload.decode() if first == _TEXT_FRAME else payload
