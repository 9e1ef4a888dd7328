"""python-socketio's client as a lane needs it.

The one file on the client's side that reaches names the libraries keep to themselves: `_engineio_client_class`,
`_trigger_event`, `_read_loop_websocket`, `_receive_packet`, `_reset`. The test of this file fails when they change.

Packets take a short way in: they are handed over in the transport's own callback (see `frame_queue.py`), before
engine.io and Socket.IO unpack them. All else goes the way of the libraries, in order.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import aiohttp
import engineio
import socketio
from engineio import base_client
from engineio import packet as eio_packet

from posewire.errors import ProtocolError
from posewire.lifetime import failure_of
from posewire.protocol import unwrap_ack, unwrap_frame
from posewire.protocol.control import Ack
from posewire.sockets.frame_queue import read_from_callback, set_take

logger = logging.getLogger(__name__)
# The libraries log every packet at INFO and every goodbye as a warning; whoever wants that sets this logger's level.
_library_logger = logging.getLogger("posewire.socketio")
_library_logger.setLevel(logging.ERROR)


class Engine(engineio.AsyncClient):  # type: ignore[misc]  # untyped library
    """engine.io's client with named, owned tasks, and without a task for each message."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.tasks: set[asyncio.Task[Any]] = set()
        self.damaged = 0
        self.on_frame: Callable[[bytes], None] | None = None
        self.on_ack: Callable[[Ack], None] | None = None

    def start_background_task(
        self, target: Callable[..., Coroutine[Any, Any, Any]], *args: Any, **kwargs: Any
    ) -> asyncio.Task[Any]:
        """Start the library's reading or writing as a task with a name, kept until it ends."""
        task = asyncio.get_running_loop().create_task(
            target(*args, **kwargs), name=f"posewire.lane{target.__name__.replace('_websocket', '')}"
        )
        self.tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self.tasks.discard(task)
        if (error := failure_of(task)) is not None:
            logger.error("%s failed", task.get_name(), exc_info=error)

    def forget(self) -> None:
        """Leave the library's list of the connected, which would keep a client alive that was cut, with its session."""
        if self in base_client.connected_clients:
            base_client.connected_clients.remove(self)

    async def _trigger_event(self, event: str, *args: Any, **kwargs: Any) -> Any:
        if event != "message":
            return await super()._trigger_event(event, *args, **kwargs)
        # In the reading task itself, so that messages are handled in their order and nothing is spawned for them.
        try:
            await self.handlers["message"](*args)
        except ProtocolError as exc:
            self.damaged += 1
            logger.warning("dropped a damaged message from the server: %s", exc)
        return None

    async def _read_loop_websocket(self) -> None:
        cancelled = False
        try:
            await self._read()
        except asyncio.CancelledError:
            cancelled = True
            raise
        finally:
            # Even after a bug of ours: a connection that nobody reads must not look alive.
            if not cancelled:
                await self._end_reading()

    async def _end_reading(self) -> None:
        # As the library does it.
        await self.queue.put(None)
        if self.write_loop_task:
            await self.write_loop_task
        if self.state == "connected":
            await self._trigger_event("disconnect", self.reason.TRANSPORT_ERROR, run_async=False)
            self.forget()
            await self._reset()

    async def _read(self) -> None:
        # The library's loop makes a task for every message (`wait_for`) to notice a silent server; our heartbeat does.
        set_take(self.ws, self._take)
        try:
            while self.state == "connected" and self.write_loop_task:
                try:
                    message = await self.ws.receive()
                except (aiohttp.ClientError, OSError, RuntimeError) as exc:
                    logger.info("reading ended: %s", exc)
                    break
                data = message.data
                if isinstance(data, Exception) and not isinstance(data, aiohttp.WebSocketError):
                    raise data  # a bug of ours, in the transport's callback
                if not isinstance(data, str | bytes):
                    break  # a close frame, or damage
                if isinstance(data, str) or not self._take(data):
                    await self._receive(data)
        finally:
            set_take(self.ws, None)

    def _take(self, message: bytes) -> bool:
        """Hand a packet or an acknowledgement over; any other message is left to the libraries."""
        if self.on_frame is not None and (packet := unwrap_frame(message)) is not None:
            self.on_frame(packet)
        elif self.on_ack is not None and (ack := unwrap_ack(message)) is not None:
            self.on_ack(ack)
        else:
            return False
        return True

    async def _receive(self, data: str | bytes) -> None:
        try:
            await self._receive_packet(eio_packet.Packet(encoded_packet=data))
        except (ValueError, IndexError) as exc:
            logger.warning("dropped a damaged message from the server: %s", exc)
            self.damaged += 1


class SocketIOClient(socketio.AsyncClient):  # type: ignore[misc]  # untyped library
    """A Socket.IO client that leaves reconnecting, signals and logging to us."""

    eio: Engine

    def __init__(self, **options: Any) -> None:
        super().__init__(
            reconnection=False, handle_sigint=False, logger=_library_logger, engineio_logger=_library_logger, **options
        )
        if (session := options.get("http_session")) is not None:
            read_from_callback(session)

    def _engineio_client_class(self) -> type[Engine]:
        return Engine
