"""One connection as it comes in by the door."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Final, Protocol

from aiohttp import web

from posewire import clock

_EARLY_BYTES: Final = 64 << 10
"""What may be sent before one is let in: a request's head and its small body, or a WebSocket's and a token."""
_LINGER_SECONDS: Final = 1.0
"""For what is left of a request after its answer."""
_IDLE_SECONDS: Final = 30.0
"""Between two requests of a member that has no WebSocket: only those may be on one connection."""
_LEAST_SLICE: Final = 256
_LARGEST_SLICE: Final = 16 << 10
_SLICE_SECONDS: Final = 0.00015
"""Of the loop's time, that what one connection sent at once may take before it is the others' turn."""


class Doorkeeper(Protocol):
    """Who is told of a visitor."""

    def wait_in_line(self, visitor: Visitor) -> None:
        """Call `Visitor.go_on` when it is its turn."""

    def left(self, visitor: Visitor) -> None:
        """The connection is closed."""


class Visitor(web.RequestHandler):
    """aiohttp's end of one connection, which has to be let in before its time and its bytes are up.

    Who sends much is handled a slice at a time, in turn with all others who do and with those who are not let in: in a
    turn of the loop there is one slice, of about `_SLICE_SECONDS`. What is sent usually goes straight on.

    Attributes:
        key: What its address counts as.
    """

    __slots__ = (
        "_deaf",
        "_door",
        "_early",
        "_in_line",
        "_lost",
        "_slice",
        "_waiting",
        "gone",
        "key",
        "task",
        "timer",
    )

    def __init__(self, door: Doorkeeper, server: web.Server, key: str, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            server,
            loop=loop,
            access_log=None,  # type: ignore[arg-type]
            lingering_time=_LINGER_SECONDS,
            keepalive_timeout=_IDLE_SECONDS,
        )
        self.key = key
        self.gone = False
        self.timer: asyncio.TimerHandle | None = None
        self.task: asyncio.Task[None] | None = None
        self._door = door
        self._early: int | None = _EARLY_BYTES
        self._slice = _LARGEST_SLICE
        self._waiting: deque[memoryview] = deque()
        self._in_line = False
        self._deaf = False
        self._lost: list[BaseException | None] = []

    @property
    def let_in(self) -> bool:
        """Whether it is known who this is."""
        return self._early is None

    def enter(self) -> None:
        """Be let in: no deadline holds any more."""
        self._early = None
        self._read_on()
        if self.timer is not None:
            self.timer.cancel()

    def cut(self) -> None:
        """End the connection at once, in its TLS handshake too."""
        if self.transport is not None:
            self.transport.abort()
        elif self.task is not None:
            self.task.cancel()

    def ignore(self) -> None:
        """Read nothing more; what is said to the client can still be sent."""
        self._deaf = True
        self._slice = -1  # nothing is so small that it goes straight on
        self._waiting.clear()
        self._pause()

    def data_received(self, data: bytes) -> None:
        """Take bytes from the transport; those of a stranger, and many at once, have to wait for their turn."""
        size = len(data)
        if self._early is None and size <= self._slice and not self._waiting:
            if size < _LEAST_SLICE:
                super().data_received(data)
            else:
                self._handle(data)
            return
        if self._deaf:
            return
        self._waiting.append(memoryview(data))
        if self._early is not None:
            self._early -= size
        if self._early is None or self._early < 0:
            # A stranger may still be let in, or told that its login is too long; no more is read of it till then.
            self._pause()
        self._queue()

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Go on to read; aiohttp's word for that what it was given has been handled."""
        super().resume_reading(resume_parser)
        if self._waiting:
            self._pause()
            self._queue()
        elif self._deaf:
            self._pause()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Be gone."""
        stranger = not self.let_in
        self._door.left(self)
        self._lost.append(exc)
        if stranger:
            self._queue()
        elif not self._in_line:
            self.go_on()

    def go_on(self) -> None:
        """Handle the next slice of what waits."""
        self._in_line = False
        if self._lost:
            self._waiting.clear()
            super().connection_lost(self._lost[0])
            return
        if self._reading_paused:
            return  # until `resume_reading`
        if self._waiting:
            self._handle(self._next_slice())
        if self._waiting:
            self._queue()
        else:
            self._read_on()

    def _next_slice(self) -> bytes:
        left, parts = self._slice, []
        while self._waiting and left > 0:
            first = self._waiting.popleft()
            parts.append(first[:left])
            if len(first) > left:
                self._waiting.appendleft(first[left:])
            left -= len(parts[-1])
        return b"".join(parts)

    def _handle(self, data: bytes) -> None:
        began = clock.monotonic()
        super().data_received(data)
        took = clock.monotonic() - began
        if self._deaf:
            return
        if took > _SLICE_SECONDS:
            self._slice = max(self._slice // 2, _LEAST_SLICE)
        elif took < _SLICE_SECONDS / 4:
            self._slice = min(self._slice * 2, _LARGEST_SLICE)

    def _queue(self) -> None:
        if not self._in_line:
            self._in_line = True
            self._door.wait_in_line(self)

    def _pause(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.pause_reading()

    def _read_on(self) -> None:
        if (
            self.transport is not None
            and not self.transport.is_closing()
            and not (self._waiting or self._deaf or self._reading_paused)
            and (self._early is None or self._early >= 0)
        ):
            self.transport.resume_reading()


def ignore(request: web.BaseRequest) -> None:
    """Read nothing more of the connection a request came on."""
    visitor: Any = request.protocol
    if visitor is not None:  # else that connection is gone; long polling has one for each request
        visitor.ignore()


def visitor_of(request: web.BaseRequest) -> Visitor:
    """Return the connection a request came on."""
    visitor = request.protocol
    assert isinstance(visitor, Visitor), "every connection comes through the door"
    return visitor
