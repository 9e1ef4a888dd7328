"""aiohttp's queue of WebSocket messages, with a short way around it.

The one file that reaches the names aiohttp keeps to itself: `WebSocketDataQueue`, its `feed_data`, `read` and
`_buffer`, `_reader` of a WebSocket, and `ClientSession._ws_connect`, which makes one.
`tests/unit/sockets/test_frame_queue.py` fails when they change.
"""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any

import aiohttp
from aiohttp import WSMsgType
from aiohttp._websocket.reader import WebSocketDataQueue

Take = Callable[[bytes], bool]
"""Handles a binary message and returns True, or leaves it to the reading task."""


class FrameQueue(WebSocketDataQueue):
    """Hands binary messages over in the transport's own callback, so that no task wakes for them.

    Only while the reading task waits for a message, with nothing queued: then all that came before has been handled,
    and order is kept. What ``take`` raises ends the connection: the reading task gets it in a message of type ERROR.

    Attributes:
        take: Gets each binary message; None leaves all to the reading task.
    """

    take: Take | None = None
    _waited_for = False

    def feed_data(self, data: Any, size: int) -> None:
        """Take a message from aiohttp's parser."""
        if self._waited_for and data.type is WSMsgType.BINARY and self.take is not None and self.take(data.data):
            return
        self._waited_for = False
        super().feed_data(data, size)

    async def read(self) -> Any:
        """Wait for a message that `take` left. Cancelling is safe."""
        self._waited_for = not self._buffer
        try:
            return await super().read()
        finally:
            self._waited_for = False


def with_frame_queue(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of aiohttp as it is, but for the class of the queue it makes.

    aiohttp has no argument for that class, and setting it in aiohttp's module would change every WebSocket of the
    process.
    """
    assert isinstance(function, FunctionType)
    names = {**function.__globals__, "WebSocketDataQueue": FrameQueue}
    copy = FunctionType(function.__code__, names, function.__name__, function.__defaults__, function.__closure__)
    copy.__kwdefaults__ = function.__kwdefaults__
    return copy


_ws_connect = with_frame_queue(aiohttp.ClientSession._ws_connect)


def read_from_callback(session: aiohttp.ClientSession) -> None:
    """Give every WebSocket that ``session`` connects from now on a `FrameQueue`."""
    # Past its own `__setattr__`, which warns of foreign attributes in debug mode.
    object.__setattr__(session, "_ws_connect", _ws_connect.__get__(session))


def set_take(websocket: Any, take: Take | None) -> None:
    """Hand the binary messages of an open WebSocket, of either end, to ``take`` from now on.

    Does nothing when it has no `FrameQueue`: its reading task then gets all.
    """
    if isinstance(queue := getattr(websocket, "_reader", None), FrameQueue):
        queue.take = take
