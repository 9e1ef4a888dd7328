"""The short way of packets through the server, past engine.io and Socket.IO.

In: they are recognised by their first bytes and handed over in the transport's own callback (see
`sockets/frame_queue.py`), so no task wakes for them and nothing decodes them. Out: they are made into a WebSocket frame
once for all recipients. Everything else goes the way of the libraries, in order relative to the packets.

Names the libraries keep to themselves that are reached here: `_sock` and `handler` of engine.io's driver for aiohttp,
and aiohttp's `WebSocketResponse._post_start`. `tests/unit/server/test_fast_path.py` fails when they
change, and has the way of the libraries as its oracle.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from aiohttp import WebSocketError, WSCloseCode, WSMsgType, web
from engineio.async_drivers import aiohttp as aiohttp_driver
from socketio import packet as sio_packet

from posewire import clock
from posewire.errors import ProtocolError
from posewire.protocol import SocketIOPacket, unwrap_frame, wrap_frame
from posewire.protocol.client_message import check_client_message
from posewire.server.admission import Bucket
from posewire.sockets.frame_queue import set_take, with_frame_queue

logger = logging.getLogger(__name__)

ENDED = "posewire.ended"
"""Key of a connection's environ: an event that is set when all is over."""
_TEXT_PACKETS = ("1", "2", "3", "5", "6")
"""engine.io's close, ping, pong, upgrade and noop: all that a client sends as text."""
_LONGEST_TEXT = 16
_LONGEST_REASON = 123
"""Bytes, in a WebSocket's goodbye."""
_EARLY_MESSAGES = 8
"""Messages of a connection that is not let in: one says who it is."""
_WS_CLOSE_SECONDS = 1.0


class _WebSocketResponse(web.WebSocketResponse):
    _post_start = with_frame_queue(web.WebSocketResponse._post_start)


class FastWebSocket(aiohttp_driver.WebSocket):  # type: ignore[misc]  # untyped library
    """The driver's WebSocket with the short way in.

    Without permessage-deflate, which costs more than it saves on bodies this small.
    """

    async def __call__(self, environ: dict[str, Any]) -> web.StreamResponse:
        """Serve one connection to its end."""
        self._sock = _WebSocketResponse(
            max_msg_size=self.server.max_http_buffer_size, compress=False, timeout=_WS_CLOSE_SECONDS
        )
        self.environ = environ
        environ[ENDED] = ended = asyncio.Event()
        eio_socket = self.handler.__self__
        self._sid = eio_socket.sid
        self._failed = False
        self._early = 0
        rate, burst = self.server.messages
        self._pace = Bucket(rate, burst, clock.monotonic())
        try:
            await self._sock.prepare(environ["aiohttp.request"])
            set_take(self._sock, self._take)
            await self.handler(self)
        except OSError as exc:
            logger.debug("a client was not let in: %s", exc)
            await eio_socket.close(wait=False, abort=True)
            return web.Response(status=503)
        finally:
            set_take(self._sock, None)
            ended.set()
            self.server.release(eio_socket)
        return self._sock

    def _take(self, message: bytes) -> bool:
        """Handle a packet of a connection that was let in; any other message is left to engine.io."""
        handler = self.server.frame_handlers.get(self._sid)
        if handler is None or (packet := unwrap_frame(message)) is None:
            return False
        self._failed = True
        try:
            handler(packet)
            self._failed = False
        finally:
            # Logged here: engine.io ends the connection for any error and says nothing.
            if self._failed:
                logger.error("handling a packet failed; its connection ends", exc_info=True)
        return True

    async def wait(self) -> str | bytes:
        """Wait for a message that is no packet.

        Raises:
            OSError: The connection is gone, or what came is of no use.
        """
        # Packets that came while this task was busy; engine.io makes two tasks for every message this returns.
        while True:
            message = await self._sock.receive()
            if message.type is not WSMsgType.BINARY or not self._take(message.data):
                break
        data = message.data
        if message.type is WSMsgType.ERROR and not self._failed:
            oversized = isinstance(data, WebSocketError) and data.code == WSCloseCode.MESSAGE_TOO_BIG
            self.server.drops["oversized" if oversized else "damaged"] += 1
        if isinstance(data, str) and (len(data) > _LONGEST_TEXT or data[:1] not in _TEXT_PACKETS):
            # engine.io would raise past its own clean-up. Socket.IO's packets are binary here; see docs/wire.md.
            self.server.drops["damaged"] += 1
            raise OSError("a text frame that is no packet of engine.io")
        if not isinstance(data, bytes | str):
            raise OSError("the connection was closed")
        await self._check(data)
        return data

    async def _check(self, data: str | bytes) -> None:
        if isinstance(data, bytes):
            try:
                check_client_message(data)
            except ProtocolError as exc:
                self.server.drops[exc.reason] += 1
                logger.info("connection closed: %s", exc)
                oversized = exc.reason == "oversized"
                await self._sock.close(
                    code=WSCloseCode.MESSAGE_TOO_BIG if oversized else WSCloseCode.POLICY_VIOLATION,
                    message=exc.detail.encode()[:_LONGEST_REASON],
                )
                raise OSError(exc.detail) from exc
        if self._sid not in self.server.frame_handlers:
            self._early += 1
            if self._early > _EARLY_MESSAGES:
                self.server.drops["stranger_too_long"] += 1
                raise OSError("too many messages before the one that says who it is")
        delay = self._pace.take(clock.monotonic())
        if delay:
            self._pace.left -= 1.0
        # The others' turn: what the queue has comes without one. Past the pace it is read no faster, and TCP slows the
        # sender down.
        await asyncio.sleep(delay)


def cut(request: web.BaseRequest) -> None:
    """End the connection a request came on at once; whatever waits for it is lost."""
    if request.transport is not None:
        request.transport.abort()


class Outgoing:
    """A message, encoded once for any number of recipients.

    Attributes:
        wire: The Socket.IO packet as a WebSocket frame.
    """

    __slots__ = ("wire",)

    def __init__(self, message: bytes) -> None:
        self.wire = _websocket_frame(message)


def outgoing_frame(packet: bytes) -> Outgoing:
    """Return a packet, ready to be sent on."""
    return Outgoing(wrap_frame(packet))


def outgoing_event(event: str, data: Any) -> Outgoing:
    """Return an event, ready to be sent."""
    return Outgoing(SocketIOPacket(sio_packet.EVENT, namespace="/", data=[event, data]).encode())


def _websocket_frame(payload: bytes) -> bytes:
    """Return an unmasked binary frame with FIN set (RFC 6455, section 5.2)."""
    size = len(payload)
    if size < 126:
        head = bytes((0x82, size))
    elif size < 1 << 16:
        head = b"\x82\x7e" + size.to_bytes(2, "big")
    else:
        head = b"\x82\x7f" + size.to_bytes(8, "big")
    return head + payload
