"""Runs the application's event handlers, in order and away from the reading task."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import Counter, deque
from collections.abc import Callable
from typing import Any, TypeVar, overload

import msgspec

from posewire.errors import DataValidationError
from posewire.lifetime import cancel_and_wait, failure_of
from posewire.values import shown

logger = logging.getLogger(__name__)

_BACKLOG = 1000
_BACKLOG_OF_OTHERS = 16_384
"""More than a server remembers for a session that is away; they come all at once when it is back."""
PRESENCE = "presence"
"""Our own, though it has the user it is about."""


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """What a handler gets.

    Attributes:
        name: ``gesture``, or one of ours: ``connect``, ``disconnect``, ``reconnect``, ``bye``, ``room``,
            ``presence``, ``quality``, ``drop``, ``clock``, ``alert``,
            ``synchronization``.
        data: What came with it.
        user_id: Who sent it; None for ours.
        timestamp: When it was sent, seconds on this machine's clock.
    """

    name: str
    data: Any = None
    user_id: str | None = None
    timestamp: float = 0.0


Handler = Callable[[Event], Any]
_H = TypeVar("_H", bound=Handler)


class EventDispatcher:
    """Handlers by event name, sync or async; one after the other.

    An exception in a handler is logged with the event's name and ends nothing. At most 16,384 events of others wait,
    and 1,000 of our own, which come in any number when a link is bad; then the oldest of its kind goes, counted in
    ``drops`` as ``unhandled`` or ``unhandled_own``.

    Args:
        drops: Counts.
    """

    def __init__(self, drops: Counter[str]) -> None:
        self._handlers: dict[str, list[Handler]] = {}
        self._waiting: dict[bool, deque[tuple[int, Event]]] = {
            theirs: deque(maxlen=_BACKLOG_OF_OTHERS if theirs else _BACKLOG) for theirs in (True, False)
        }
        """Events of others, and ours, with their numbers in the order of coming."""
        self._count = 0
        self._filled = asyncio.Event()
        self._drops = drops

    @overload
    def on(self, event: str, handler: _H) -> _H: ...
    @overload
    def on(self, event: str, handler: None = None) -> Callable[[_H], _H]: ...
    def on(self, event: str, handler: Handler | None = None) -> Any:
        """Call ``handler`` on every ``event``; without one, return a decorator that does."""
        if not isinstance(event, str):
            raise DataValidationError("event", shown(event), "expected a name")
        if handler is None:
            return lambda handler: self.on(event, handler)
        if not callable(handler):
            raise DataValidationError("handler", repr(handler), "expected a function of one argument, the Event")
        self._handlers.setdefault(event, []).append(handler)
        return handler

    def dispatch(self, event: Event) -> None:
        """Queue ``event`` for its handlers. Never waits."""
        if event.name not in self._handlers:
            return
        theirs = event.user_id is not None and event.name != PRESENCE
        waiting = self._waiting[theirs]
        if len(waiting) == waiting.maxlen:
            self._drops["unhandled" if theirs else "unhandled_own"] += 1
        waiting.append((self._count, event))
        self._count += 1
        self._filled.set()

    async def run(self) -> None:
        """Call handlers for ever; cancelling ends it, and the handler that runs."""
        while True:
            while not (waiting := [each for each in self._waiting.values() if each]):
                self._filled.clear()
                await self._filled.wait()
            _, event = min(waiting, key=lambda each: each[0][0]).popleft()
            for handler in self._handlers[event.name]:
                await self._call(handler, event)

    async def _call(self, handler: Handler, event: Event) -> None:
        # A task of its own, so that whatever the handler raises can be looked at without catching everything here.
        task = asyncio.get_running_loop().create_task(_run(handler, event), name=f"posewire.handler.{event.name}")
        try:
            await asyncio.wait([task])
        finally:
            if not task.done():
                await cancel_and_wait(task)
        if (error := failure_of(task)) is not None:
            logger.error("a handler of event %r failed", event.name, exc_info=error)


async def _run(handler: Handler, event: Event) -> None:
    result = handler(event)
    if inspect.isawaitable(result):
        await result
