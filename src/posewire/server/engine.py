"""python-socketio's server as we need it.

The one file on the server's side that reaches names the libraries keep to themselves:
`AsyncServer._engineio_server_class`, `AsyncServer._handle_eio_message`, `engineio.AsyncServer._async` and
`WebSocket._sock` of the aiohttp driver. `tests/unit/server/test_engine.py` fails when they change.

Packets take a short way both ways: they are recognised by their first bytes and handed over before Socket.IO decodes
them, and written to every recipient's transport as one ready WebSocket frame, past engine.io's queue and writer, unless
something waits there already.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

import engineio
import socketio
from aiohttp import WSCloseCode, WSMsgType, web
from engineio import packet as eio_packet
from engineio.async_drivers import aiohttp as aiohttp_driver
from socketio import packet as sio_packet

from posewire.config import Config
from posewire.errors import ProtocolError
from posewire.lifetime import cancel_and_wait, failure_of
from posewire.limits import MAX_PACKET_BYTES
from posewire.protocol import SocketIOPacket, unwrap_frame, wrap_frame

logger = logging.getLogger(__name__)
# The libraries log every packet at INFO; whoever wants that sets this logger's level.
_library_logger = logging.getLogger("posewire.socketio.server")
_library_logger.setLevel(logging.ERROR)

ENDED = "posewire.ended"
"""Key of a connection's environ: an event that is set when all is over."""
_FRAMING_BYTES = 1024
_TEXT_PACKETS = ("1", "2", "3", "5", "6")
"""engine.io's close, ping, pong, upgrade and noop: all that a client sends as text."""
_LONGEST_TEXT = 16
_MOST_STRANGERS = 256
"""Connections that may be in mid-handshake at once."""
_WS_CLOSE_SECONDS = 1.0


class _WebSocket(aiohttp_driver.WebSocket):  # type: ignore[misc]  # untyped library
    """The driver's WebSocket without permessage-deflate, which costs more than it saves on bodies this small."""

    async def __call__(self, environ: dict[str, Any]) -> web.StreamResponse:
        self._sock = web.WebSocketResponse(
            max_msg_size=self.server.max_http_buffer_size, compress=False, timeout=_WS_CLOSE_SECONDS
        )
        self.environ = environ
        environ[ENDED] = ended = asyncio.Event()
        eio_socket = self.handler.__self__
        request = environ["aiohttp.request"]
        deadline = asyncio.get_running_loop().call_later(self.server.handshake_seconds, self._end_stranger, request)
        try:
            if len(self.server.sockets) - len(self.server.frame_handlers) > _MOST_STRANGERS:
                raise ConnectionRefusedError("too many connections that are not let in yet")
            await self._sock.prepare(request)
            await self.handler(self)
        except OSError as exc:
            logger.debug("a client was not let in: %s", exc)
            await eio_socket.close(wait=False, abort=True)
            return web.Response(status=503)
        finally:
            deadline.cancel()
            ended.set()
            self.server.release(eio_socket)
        return self._sock

    def _end_stranger(self, request: web.BaseRequest) -> None:
        """Cut a connection that has not been let in by now."""
        if self.handler.__self__.sid not in self.server.frame_handlers:
            self.server.drops["handshake_timeout"] += 1
            cut(request)

    async def wait(self) -> str | bytes:
        # Packets are handled here: engine.io makes two tasks for every message this returns.
        while True:
            message = await self._sock.receive()
            handler = self.server.frame_handlers.get(self.handler.__self__.sid)
            if handler is None or message.type is not WSMsgType.BINARY:
                break
            if (packet := unwrap_frame(message.data)) is None:
                break
            handler(packet)
        if message.type is WSMsgType.ERROR:
            oversized = getattr(message.data, "code", None) == WSCloseCode.MESSAGE_TOO_BIG
            self.server.drops["oversized" if oversized else "damaged"] += 1
        data = message.data
        if isinstance(data, str) and (len(data) > _LONGEST_TEXT or data[:1] not in _TEXT_PACKETS):
            # engine.io would raise past its own clean-up. Socket.IO's packets are binary here; see docs/wire.md.
            self.server.drops["damaged"] += 1
            raise OSError("a text frame that is no packet of engine.io")
        if not isinstance(data, bytes | str):
            raise OSError("the connection was closed")
        return data


class _EngineIO(engineio.AsyncServer):  # type: ignore[misc]  # untyped library
    """engine.io's server with named, owned tasks: its ping tasks would sleep on after their connection is gone."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # Its own copy: the original is shared by every engine.io server of the process.
        self._async: dict[str, Any] = {**self._async, "websocket": _WebSocket}
        self.tasks: dict[asyncio.Task[Any], Any] = {}
        self.frame_handlers: dict[str, Callable[[bytes], object]] = {}
        """Called with the packets of a connection, by its id; a connection that was let in has one."""
        self.handshake_seconds = 10.0
        self.drops: Counter[str] = Counter()

    def start_background_task(
        self, target: Callable[..., Coroutine[Any, Any, Any]], *args: Any, **kwargs: Any
    ) -> asyncio.Task[Any]:
        name = f"posewire.server.{target.__name__.strip('_')}"
        task = asyncio.get_running_loop().create_task(target(*args, **kwargs), name=name)
        self.tasks[task] = getattr(target, "__self__", None)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self.tasks.pop(task, None)
        if (error := failure_of(task)) is not None:
            logger.error("%s failed", task.get_name(), exc_info=error)

    def release(self, eio_socket: Any) -> None:
        """Cancel what a closed connection left running."""
        current = asyncio.current_task()
        for task, owner in list(self.tasks.items()):
            if owner is eio_socket and task is not current:
                task.cancel()

    async def cancel_tasks(self) -> None:
        """Cancel all tasks and wait for them."""
        for task in list(self.tasks):
            await cancel_and_wait(task)


class Engine(socketio.AsyncServer):  # type: ignore[misc]  # untyped library
    """A Socket.IO server on aiohttp: WebSocket only, msgpack, each client's events handled in order.

    Bytes that are no Socket.IO packet end the connection they came from, counted in `drops`.
    """

    eio: _EngineIO

    def __init__(self, config: Config) -> None:
        super().__init__(
            async_mode="aiohttp",
            serializer=SocketIOPacket,
            async_handlers=False,
            transports=["websocket"],
            ping_interval=config.socket.ping_interval,
            ping_timeout=config.socket.ping_timeout,
            max_http_buffer_size=MAX_PACKET_BYTES + _FRAMING_BYTES,
            http_compression=False,
            logger=_library_logger,
            engineio_logger=_library_logger,
        )
        self.eio.on("message", self._guarded_message)
        self.eio.handshake_seconds = config.socket.connect_timeout / 1000

    @property
    def drops(self) -> Counter[str]:
        """What strangers sent that was no packet, by reason."""
        return self.eio.drops

    def _engineio_server_class(self) -> type[_EngineIO]:
        return _EngineIO

    async def _guarded_message(self, eio_sid: str, data: Any) -> None:
        try:
            await self._handle_eio_message(eio_sid, data)
        except (ProtocolError, ValueError) as exc:
            self.drops["damaged"] += 1
            logger.info("connection cut: %s", exc)
            if (environ := self.environ.get(eio_sid)) is not None:
                cut(environ["aiohttp.request"])

    def eio_socket(self, sid: str) -> Any:
        """Return engine.io's socket of a Socket.IO connection."""
        return self.eio.sockets[self.manager.eio_sid_from_sid(sid, "/")]


def cut(request: web.BaseRequest) -> None:
    """End the connection a request came on at once; whatever waits for it is lost."""
    if request.transport is not None:
        request.transport.abort()


class Outgoing:
    """A message, encoded once for any number of recipients.

    Attributes:
        message: The Socket.IO packet.
        wire: The same as a WebSocket frame.
    """

    __slots__ = ("message", "wire")

    def __init__(self, message: bytes) -> None:
        self.message = message
        self.wire = _websocket_frame(message)


def outgoing_frame(packet: bytes) -> Outgoing:
    """Return a packet, ready to be sent on."""
    return Outgoing(wrap_frame(packet))


def outgoing_event(event: str, data: Any) -> Outgoing:
    """Return an event, ready to be sent."""
    return Outgoing(SocketIOPacket(sio_packet.EVENT, namespace="/", data=[event, data]).encode())


class Outlet:
    """The way to one client: its transport when that is clear, else engine.io's queue; always in order.

    Attributes:
        waiting: Our messages in the queue.
    """

    def __init__(self, eio_socket: Any, request: web.BaseRequest) -> None:
        self.waiting = 0
        self.socket = eio_socket
        self._request = request

    @property
    def closed(self) -> bool:
        """Whether nothing can be sent any more."""
        return self.socket.closed or self.socket.closing or self._request.transport is None

    def put(self, outgoing: Outgoing) -> None:
        """Write or queue a message. Never waits."""
        transport = self._request.transport
        if transport is None or self.closed:
            return
        if not self.waiting and not transport.get_write_buffer_size():
            transport.write(outgoing.wire)
        else:
            self.waiting += 1
            self.socket.queue.put_nowait(_Queued(self, outgoing.message))

    def cut(self) -> None:
        """End the connection at once; whatever waits for it is lost."""
        cut(self._request)


class _Queued(eio_packet.Packet):  # type: ignore[misc]  # untyped library
    """A message in engine.io's queue. Its writer calls `encode` and writes the result before anything else runs."""

    def __init__(self, outlet: Outlet, message: bytes) -> None:
        super().__init__(eio_packet.MESSAGE, message)
        self._outlet = outlet

    def encode(self, b64: bool = False) -> Any:
        self._outlet.waiting -= 1
        return super().encode(b64)


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
