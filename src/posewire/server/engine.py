"""python-socketio's server as we need it.

The names the libraries keep to themselves that are reached here: `AsyncServer._engineio_server_class`,
`AsyncServer._handle_eio_message` and `engineio.AsyncServer._async`. `tests/unit/server/test_engine.py` fails when they
change. Packets do not come this way: see `fast_path.py`.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

import engineio
import socketio

from posewire.config import Config
from posewire.errors import ProtocolError
from posewire.lifetime import cancel_and_wait, failure_of
from posewire.limits import MAX_PACKET_BYTES
from posewire.protocol import SocketIOPacket
from posewire.server.fast_path import FastWebSocket, cut

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
        self.drops: Counter[str] = Counter()

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
        """Cancel what a closed connection left running."""
        current = asyncio.current_task()
        for task in self._of.get(eio_socket, ()):
            if task is not current:
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

    def eio_socket(self, sid: str) -> Any:
        """Return engine.io's socket of a Socket.IO connection."""
        return self.eio.sockets[self.manager.eio_sid_from_sid(sid, "/")]
