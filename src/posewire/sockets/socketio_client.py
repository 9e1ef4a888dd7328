"""python-socketio's client as a lane needs it.

The one file on the client's side that reaches names the libraries keep to themselves: `_engineio_client_class` and
`_trigger_event`. `tests/unit/sockets/test_socketio_client.py` fails when they change.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import engineio
import socketio

from posewire.errors import ProtocolError
from posewire.lifetime import failure_of

logger = logging.getLogger(__name__)
# The libraries log every packet at INFO and every goodbye as a warning; whoever wants that sets this logger's level.
_library_logger = logging.getLogger("posewire.socketio")
_library_logger.setLevel(logging.ERROR)


class _Engine(engineio.AsyncClient):  # type: ignore[misc]  # untyped library
    """engine.io's client with named, owned tasks, and without a task for each message."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.tasks: set[asyncio.Task[Any]] = set()
        self.damaged = 0

    def start_background_task(
        self, target: Callable[..., Coroutine[Any, Any, Any]], *args: Any, **kwargs: Any
    ) -> asyncio.Task[Any]:
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


class SocketIOClient(socketio.AsyncClient):  # type: ignore[misc]  # untyped library
    """A Socket.IO client that leaves reconnecting, signals and logging to us."""

    eio: _Engine

    def __init__(self, **options: Any) -> None:
        super().__init__(
            reconnection=False, handle_sigint=False, logger=_library_logger, engineio_logger=_library_logger, **options
        )

    def _engineio_client_class(self) -> type[_Engine]:
        return _Engine
