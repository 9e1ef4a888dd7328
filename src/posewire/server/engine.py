"""python-socketio's server as we need it.

The names the libraries keep to themselves that are reached here: `AsyncServer._engineio_server_class`,
`AsyncServer._handle_eio_message`, `AsyncServer._send_packet` and `engineio.AsyncServer._async`.
`tests/unit/server/test_engine.py` fails when they change. Packets do not come this way: see `fast_path.py`.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

import engineio
import engineio.packet
import socketio

from posewire import clock
from posewire.config import Config
from posewire.errors import ProtocolError
from posewire.lifetime import cancel_and_wait, failure_of
from posewire.limits import MAX_PACKET_BYTES
from posewire.protocol import SocketIOPacket
from posewire.server.fast_path import FastWebSocket, cut, default_messages
from posewire.server.message_gate import MessageGate

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
        self.messages = (math.inf, math.inf)
        """Messages that are no packets: a second, and at once, of one connection. Beyond it is read more slowly."""
        self._gates: dict[str, MessageGate] = {}
        self.drops: Counter[str] = Counter()

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
        """Return the messages, for `FastWebSocket.send`."""
        return self._messages


class Engine(socketio.AsyncServer):  # type: ignore[misc]  # untyped library
    """A Socket.IO server on aiohttp: WebSocket only, each client's events handled in order.

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
            transports=["websocket"],
            ping_interval=config.socket.ping_interval,
            ping_timeout=config.socket.ping_timeout,
            max_http_buffer_size=MAX_PACKET_BYTES + _FRAMING_BYTES,
            http_compression=False,
            cors_allowed_origins=[],  # OriginPolicy checks them, and for the other routes too
            logger=_library_logger,
            engineio_logger=_library_logger,
        )
        self.eio.on("message", self._guarded_message)
        rate = config.admission.member_requests + config.admission.member_frames
        self.eio.messages = (rate, rate * config.admission.burst)

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

    async def _send_packet(self, eio_sid: str, pkt: Any) -> None:
        """Send an answer, in the encoding of the client."""
        if self.eio.speaks_default(eio_sid):
            await self.eio.send_packet(eio_sid, _DefaultPacket(default_messages(pkt.encode())))
        else:
            await super()._send_packet(eio_sid, pkt)

    def eio_socket(self, sid: str) -> Any:
        """Return engine.io's socket of a Socket.IO connection."""
        return self.eio.sockets[self.manager.eio_sid_from_sid(sid, "/")]
