"""python-socketio's server as we need it.

The names the libraries keep to themselves that are reached here: `AsyncServer._engineio_server_class`,
`AsyncServer._handle_eio_connect`, `_handle_eio_message`, `_handle_eio_disconnect`, `_send_packet` and
`engineio.AsyncServer._async`. `tests/unit/server/test_engine.py` fails when they change. Packets do not come this way:
see `fast_path.py`.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import math
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

import engineio
import engineio.packet
import socketio
from aiohttp import web

from posewire import clock
from posewire.config import Config
from posewire.errors import ProtocolError
from posewire.lifetime import cancel_and_wait, failure_of
from posewire.limits import MAX_PACKET_BYTES
from posewire.protocol import SocketIOPacket
from posewire.server.fast_path import ENDED, FastWebSocket, cut, default_messages
from posewire.server.message_gate import MessageGate
from posewire.server.poll_desk import PollDesk, refusal
from posewire.server.poll_session import PollSession

logger = logging.getLogger(__name__)
# The libraries log every packet at INFO; whoever wants that sets this logger's level.
_library_logger = logging.getLogger("posewire.socketio.server")
_library_logger.setLevel(logging.ERROR)

_FRAMING_BYTES = 1024


class _EngineIO(engineio.AsyncServer):  # type: ignore[misc]  # untyped library
    """engine.io's server with named, owned tasks: its ping tasks would sleep on after their connection is gone."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # Its own copy: the original is shared by every engine.io server of the process.
        self._async: dict[str, Any] = {**self._async, "websocket": FastWebSocket}
        self.tasks: dict[asyncio.Task[Any], Any] = {}
        self._of: dict[Any, set[asyncio.Task[Any]]] = {}
        self.frame_handlers: dict[str, Callable[[bytes], object]] = {}
        """Called with the packets of a connection, by its id; a connection that was let in has one."""
        self.event_handlers: dict[str, Callable[..., object]] = {}
        """Called with the events of a connection that was let in: what asks for an answer, or None; name; arguments."""
        self.messages = (math.inf, math.inf)
        """Messages that are no packets: a second, and at once, of one connection. Beyond it is read more slowly."""
        self.polls: PollDesk | None = None
        """Serves long polling; without it there is none."""
        self._gates: dict[str, MessageGate] = {}
        self.drops: Counter[str] = Counter()

    def serve_polling(self, *, most_strangers: int, seconds: float) -> None:
        """Take clients that have no WebSocket; see `PollDesk`."""
        self.polls = PollDesk(self, super().handle_request, most_strangers=most_strangers, seconds=seconds)

    async def handle_request(self, request: web.Request) -> web.StreamResponse:
        """Answer a request, or be the WebSocket that it asks for."""
        if not _polls(request):
            if request.method != "GET" or not _asks_for_websocket(request):
                # The library would answer it by long polling, and bound nothing of that.
                return refusal("not a request for a WebSocket")
            response: web.StreamResponse = await super().handle_request(request)
            return response
        if self.polls is None:
            return refusal(
                "no long polling here (see server.long_polling): connect with transports ['websocket']", code=0
            )
        return await self.polls.answer(request)

    def poll_session(self, eio_sid: str) -> PollSession | None:
        """Return the session of a connection that began with long polling."""
        return None if self.polls is None else self.polls.sessions.get(eio_sid)

    def upgrading(self, eio_socket: Any, request: web.BaseRequest) -> None:
        """A WebSocket is there that a session of long polling may go on by."""
        session = self.poll_session(eio_socket.sid)
        if session is not None and self.polls is not None:
            self.polls.upgrading(session, request)

    def websocket_ended(self, eio_socket: Any) -> None:
        """A WebSocket is gone, and what it was the connection of."""
        session = self.poll_session(eio_socket.sid)
        if session is None or self.polls is None:
            self.release(eio_socket)
        elif eio_socket.upgraded:
            self.polls.end(session)
        else:
            session.upgrade = None
            eio_socket.upgrading = False  # or its polls would bring nothing any more

    def gate(self, eio_sid: str) -> MessageGate:
        """Return what the messages of a connection go through; `release` lets it go."""
        gate = self._gates.get(eio_sid)
        if gate is None:
            gate = self._gates[eio_sid] = MessageGate(*self.messages, clock.monotonic())
        return gate

    def speaks_default(self, eio_sid: str) -> bool:
        """Whether the client of a connection has Socket.IO's default parser."""
        gate = self._gates.get(eio_sid)
        return gate is not None and gate.parser is not None

    def start_background_task(
        self, target: Callable[..., Coroutine[Any, Any, Any]], *args: Any, **kwargs: Any
    ) -> asyncio.Task[Any]:
        name = f"posewire.server.{target.__name__.strip('_')}"
        task = asyncio.get_running_loop().create_task(target(*args, **kwargs), name=name)
        self.tasks[task] = owner = getattr(target, "__self__", None)
        self._of.setdefault(owner, set()).add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        owner = self.tasks.pop(task, None)
        others = self._of[owner]
        others.discard(task)
        if not others:
            del self._of[owner]
        if (error := failure_of(task)) is not None:
            logger.error("%s failed", task.get_name(), exc_info=error)

    def release(self, eio_socket: Any) -> None:
        """Cancel what a closed connection left running, and forget it."""
        self._gates.pop(eio_socket.sid, None)
        current = asyncio.current_task()
        for task in self._of.get(eio_socket, ()):
            if task is not current:
                task.cancel()

    async def cancel_tasks(self) -> None:
        """Cancel all tasks and wait for them."""
        for task in list(self.tasks):
            await cancel_and_wait(task)


class _DefaultPacket(engineio.packet.Packet):  # type: ignore[misc]  # untyped library
    """A packet for a client of the default parser: several messages of engine.io that belong together."""

    def __init__(self, messages: tuple[str | bytes, ...]) -> None:
        super().__init__(engineio.packet.MESSAGE, None)
        self._messages = messages

    def encode(self, b64: bool = False) -> str | tuple[str | bytes, ...]:
        """Return the messages: for `FastWebSocket.send`, or as one text for long polling."""
        if not b64:
            return self._messages
        return "\x1e".join(
            message if isinstance(message, str) else f"b{base64.b64encode(message).decode()}"
            for message in self._messages
        )


class Engine(socketio.AsyncServer):  # type: ignore[misc]  # untyped library
    """A Socket.IO server on aiohttp: WebSocket, and long polling if set; each client's events handled in order.

    Inside all packets are those of the msgpack parser. A client that has the default one gets its own: what it sends is
    made msgpack at its gate, what it is sent is made text here or, past the libraries, by `Outgoing`.

    Bytes that are no Socket.IO packet end the connection they came from, counted in `drops`.
    """

    eio: _EngineIO

    def __init__(self, config: Config) -> None:
        super().__init__(
            async_mode="aiohttp",
            serializer=SocketIOPacket,
            async_handlers=False,
            transports=["websocket", "polling"] if config.server.long_polling else ["websocket"],
            ping_interval=config.socket.ping_interval,
            ping_timeout=config.socket.ping_timeout,
            max_http_buffer_size=MAX_PACKET_BYTES + _FRAMING_BYTES,
            http_compression=False,
            cors_allowed_origins=[],  # OriginPolicy checks them, and for the other routes too
            logger=_library_logger,
            engineio_logger=_library_logger,
        )
        self.eio.on("connect", self._opened)
        self.eio.on("message", self._guarded_message)
        self.eio.on("disconnect", self._closed)
        if config.server.long_polling:
            self.eio.serve_polling(
                most_strangers=config.admission.strangers, seconds=config.socket.connect_timeout / 1000
            )
        rate = config.admission.member_requests + config.admission.member_frames
        self.eio.messages = (rate, rate * config.admission.burst)

    @property
    def drops(self) -> Counter[str]:
        """What strangers sent that was no packet, by reason."""
        return self.eio.drops

    def _engineio_server_class(self) -> type[_EngineIO]:
        return _EngineIO

    async def _opened(self, eio_sid: str, environ: dict[str, Any]) -> None:
        if self.eio.polls is not None and _polls(environ["aiohttp.request"]):
            session = self.eio.polls.opened(self.eio.sockets[eio_sid])
            environ[ENDED] = session.ended
        await self._handle_eio_connect(eio_sid, environ)

    async def _closed(self, eio_sid: str, reason: str) -> None:
        await self._handle_eio_disconnect(eio_sid, reason)
        if self.eio.polls is not None:
            self.eio.polls.closed(eio_sid)

    async def _guarded_message(self, eio_sid: str, data: Any) -> None:
        try:
            await self._handle_eio_message(eio_sid, data)
        except (ProtocolError, ValueError) as exc:
            self.drops["damaged"] += 1
            logger.info("connection cut: %s", exc)
            if (session := self.eio.poll_session(eio_sid)) is not None:
                session.abort()
            elif (environ := self.environ.get(eio_sid)) is not None:
                cut(environ["aiohttp.request"])

    async def _send_packet(self, eio_sid: str, pkt: Any) -> None:
        """Send an answer, in the encoding of the client."""
        if self.eio.speaks_default(eio_sid):
            await self.eio.send_packet(eio_sid, _DefaultPacket(default_messages(pkt.encode())))
        else:
            await super()._send_packet(eio_sid, pkt)

    async def shutdown(self) -> None:
        """Stop what runs for no connection, and end the sessions of long polling."""
        await super().shutdown()
        if self.eio.polls is not None:
            self.eio.polls.close()

    def eio_socket(self, sid: str) -> Any:
        """Return engine.io's socket of a Socket.IO connection."""
        return self.eio.sockets[self.manager.eio_sid_from_sid(sid, "/")]


def _polls(request: web.BaseRequest) -> bool:
    return request.query.get("transport", "polling") == "polling"


def _asks_for_websocket(request: web.BaseRequest) -> bool:
    words = [word.strip() for word in request.headers.get("Connection", "").lower().split(",")]
    return "upgrade" in words and request.headers.get("Upgrade", "").lower() == "websocket"
