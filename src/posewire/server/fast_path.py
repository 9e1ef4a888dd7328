"""The short way of packets through the server, past engine.io and Socket.IO.

In: they are recognised by their first bytes and handed over in the transport's own callback (see
`sockets/frame_queue.py`), so no task wakes for them and nothing decodes them. Out: they are made into a WebSocket frame
once for all recipients. Everything else goes the way of the libraries, in order relative to the packets. So do the
packets of clients that speak Socket.IO's default parser, as far as the reading task; to them a packet is two WebSocket
frames, made once as well, and only when somebody wants it.

Names the libraries keep to themselves that are reached here: `_sock` and `handler` of engine.io's driver for aiohttp,
and aiohttp's `WebSocketResponse._post_start`. `tests/unit/server/test_fast_path.py` fails when they
change, and has the way of the libraries as its oracle.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Any

from aiohttp import WebSocketError, WSCloseCode, WSMsgType, web
from engineio.async_drivers import aiohttp as aiohttp_driver
from socketio import packet as sio_packet

from posewire import clock
from posewire.errors import ProtocolError
from posewire.protocol import SocketIOPacket, unwrap_frame, wrap_answer, wrap_frame
from posewire.protocol.client_message import check_client_message
from posewire.protocol.default_parser import FRAME_HEAD, to_default
from posewire.server.message_gate import MessageGate
from posewire.sockets.frame_queue import set_take, with_frame_queue

logger = logging.getLogger(__name__)

ENDED = "posewire.ended"
"""Key of a connection's environ: an event that is set when all is over."""
_LONGEST_REASON = 123
"""Bytes, in a WebSocket's goodbye."""
_WS_CLOSE_SECONDS = 1.0
_TEXT, _BINARY = 0x81, 0x82
"""A WebSocket frame's first byte."""
_FRAME_TEXT = f"4{FRAME_HEAD}"


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
        self._welcomed = False
        """Whether the client was told that it is let in: no answer comes before."""
        self._failed = False
        self._over: OSError | None = None
        self._gate: MessageGate = self.server.gate(self._sid)
        try:
            await self._sock.prepare(environ["aiohttp.request"])
            self.server.upgrading(eio_socket, environ["aiohttp.request"])
            if self._gate.parser is None:
                set_take(self._sock, self._take)
            await self.handler(self)
        except OSError as exc:
            logger.debug("a client was not let in: %s", exc)
            await eio_socket.close(wait=False, abort=True)
            return web.Response(status=503)
        finally:
            set_take(self._sock, None)
            ended.set()
            self.server.websocket_ended(eio_socket)
            _untangle(self._over, self._sock.exception())
        return self._sock

    def _take(self, message: bytes) -> bool:
        """Handle a packet or an event of a connection that was let in; any other message is left to engine.io."""
        handler = self.server.frame_handlers.get(self._sid)
        if handler is None:
            return False
        self._failed = True
        try:
            if (packet := unwrap_frame(message)) is not None:
                handler(packet)
                taken = True
            else:
                taken = self._take_event(message)
            self._failed = False
        finally:
            # Logged here: engine.io ends the connection for any error and says nothing.
            if self._failed:
                logger.error("handling a packet failed; its connection ends", exc_info=True)
        return taken

    def _take_event(self, message: bytes) -> bool:
        """Handle an event without a task. What is wrong, or has to wait for its time, is left to engine.io."""
        handler, now = self.server.event_handlers.get(self._sid), clock.monotonic()
        if handler is None or not self._welcomed or not self._gate.ready(now):
            return False
        try:
            check_client_message(message)
            packet = SocketIOPacket(encoded_packet=message)
        except ProtocolError:
            return False
        if packet.packet_type != sio_packet.EVENT or packet.namespace != "/":
            return False
        self._gate.passed()
        handler(packet.id, *packet.data)
        return True

    async def wait(self) -> str | bytes:
        """Wait for a message that is no packet.

        Raises:
            OSError: The connection is gone, or what came is of no use.
        """
        try:
            return await self._next()
        except OSError as exc:
            self._over = exc
            raise

    async def _next(self) -> str | bytes:
        # Packets that came while this task was busy; engine.io makes two tasks for every message this returns.
        while True:
            message = await self._sock.receive()
            data = message.data
            spoke_text = self._gate.parser is not None
            if message.type is WSMsgType.BINARY and not spoke_text and self._take(data):
                continue
            if message.type is WSMsgType.ERROR and not self._failed:
                oversized = isinstance(data, WebSocketError) and data.code == WSCloseCode.MESSAGE_TOO_BIG
                self.server.drops["oversized" if oversized else "damaged"] += 1
            if not isinstance(data, bytes | str):
                raise OSError("the connection was closed")
            try:
                whole: str | bytes | None = self._gate.take(data)
                if self._gate.parser is not None:
                    if not spoke_text:
                        set_take(self._sock, None)  # bytes are attachments from now on
                    if whole is None or (isinstance(whole, bytes) and self._take(whole)):
                        continue
                assert whole is not None
                delay = self._gate.check(whole, clock.monotonic(), let_in=self._sid in self.server.frame_handlers)
            except ProtocolError as exc:
                await self._refuse(exc)
                raise OSError(exc.detail) from exc
            # The others' turn: what the queue has comes without one. Past the pace it is read no faster, and TCP slows
            # the sender down.
            await asyncio.sleep(delay)
            return whole

    async def send(self, message: str | bytes | tuple[str | bytes, ...]) -> None:
        """Send a message, or all of a packet that is several: nothing that is written meanwhile may come between."""
        if isinstance(message, tuple):
            *first, message = message
            transport = self.environ["aiohttp.request"].transport
            if first and transport is not None:
                transport.write(_websocket_frames(first))
        await super().send(message)
        self._welcomed = self._welcomed or self._sid in self.server.frame_handlers

    async def _refuse(self, exc: ProtocolError) -> None:
        self.server.drops[exc.reason] += 1
        logger.info("connection closed: %s", exc)
        await self._sock.close(
            code=WSCloseCode.MESSAGE_TOO_BIG if exc.reason == "oversized" else WSCloseCode.POLICY_VIOLATION,
            message=exc.detail.encode()[:_LONGEST_REASON],
        )


def _untangle(*errors: BaseException | None) -> None:
    """Let go of where errors have been: those frames hold what holds the errors.

    The garbage collector would take care of it, when the connections of a whole crowd have come together; everybody
    waits for it then.
    """
    for error in errors:
        if error is not None:
            error.__traceback__ = error.__cause__ = error.__context__ = None


def cut(request: web.BaseRequest) -> None:
    """End the connection a request came on at once; whatever waits for it is lost."""
    if request.transport is not None:
        request.transport.abort()


class Outgoing:
    """A message, encoded once for any number of recipients.

    Attributes:
        wire: The Socket.IO packet as a WebSocket frame.
    """

    __slots__ = ("_default", "_default_wire", "wire")

    def __init__(self, message: bytes) -> None:
        self.wire = _websocket_frame(message)

    @property
    def message(self) -> bytes:
        """The Socket.IO packet, copied."""
        return self.wire[{126: 4, 127: 10}.get(self.wire[1], 2) :]

    # Made when they are asked for. Until then they are not even set, for most packets have no use for them.

    @property
    def default(self) -> tuple[str | bytes, ...]:
        """The packet of the default parser: engine.io's text message, and the attachments behind it."""
        try:
            return self._default
        except AttributeError:
            self._default: tuple[str | bytes, ...] = default_messages(self.message)
            return self._default

    @property
    def default_wire(self) -> bytes:
        """The same as WebSocket frames, one for each message."""
        try:
            return self._default_wire
        except AttributeError:
            self._default_wire: bytes = _websocket_frames(default_messages(self.message))
            return self._default_wire


def outgoing_frame(packet: bytes) -> Outgoing:
    """Return a packet, ready to be sent on."""
    return Outgoing(wrap_frame(packet))


def outgoing_answer(number: int, answer: Any) -> Outgoing:
    """Return the acknowledgement of an event, ready to be sent."""
    return Outgoing(wrap_answer(number, answer))


def outgoing_event(event: str, data: Any) -> Outgoing:
    """Return an event, ready to be sent."""
    return Outgoing(SocketIOPacket(sio_packet.EVENT, namespace="/", data=[event, data]).encode())


def default_messages(message: bytes) -> tuple[str | bytes, ...]:
    """Return engine.io's messages of a packet for the default parser, from that of the msgpack parser."""
    if (packet := unwrap_frame(message)) is not None:
        return (_FRAME_TEXT, packet)
    text, attachments = to_default(message)
    return (f"4{text}", *attachments)


def _websocket_frames(messages: Iterable[str | bytes]) -> bytes:
    return b"".join(
        _websocket_frame(message.encode(), _TEXT) if isinstance(message, str) else _websocket_frame(message)
        for message in messages
    )


def _websocket_frame(payload: bytes, first: int = _BINARY) -> bytes:
    """Return an unmasked frame with FIN set (RFC 6455, section 5.2)."""
    size = len(payload)
    if size < 126:
        head = bytes((first, size))
    elif size < 1 << 16:
        head = bytes((first, 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((first, 127)) + size.to_bytes(8, "big")
    return head + payload
