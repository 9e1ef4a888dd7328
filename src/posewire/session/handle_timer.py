"""Times what asyncio's event loops run, and names what took long.

asyncio itself does so only in debug mode, which also notes the stack of every callback: many times the cost. This is
its measurement alone, in the same place: around ``asyncio.Handle._run``, which every callback and every step of a task
goes through. It is in the place of the real one only while somebody listens. The one reach into asyncio's private
parts; `tests/unit/session/test_handle_timer.py` fails when they change, and nothing is named then. uvloop has handles
of its own, which cannot be timed.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from typing import Any, Final

from posewire import clock

NOTICE: Final = 0.005
"""Seconds; what is quicker is not slow."""

Listener = Callable[[asyncio.AbstractEventLoop, Any, float], None]
"""Gets the loop, the callback and the seconds it took."""

_listeners: list[Listener] = []
_run = asyncio.Handle._run
_monotonic = clock.monotonic


def _timed_run(handle: asyncio.Handle) -> None:
    callback = handle._callback  # type: ignore[attr-defined]  # gone afterwards, when it cancelled itself
    began = _monotonic()
    _run(handle)
    took = _monotonic() - began
    if took >= NOTICE:
        for listener in tuple(_listeners):
            listener(handle._loop, callback, took)  # type: ignore[attr-defined]


def can_time(loop: asyncio.AbstractEventLoop) -> bool:
    """Return whether the loop runs handles that can be timed: asyncio's own do."""
    return isinstance(loop, asyncio.BaseEventLoop)


def listen(listener: Listener) -> None:
    """Call ``listener`` for everything slow that any of asyncio's loops runs, right after it ran."""
    if not _listeners and asyncio.Handle._run is _run:
        asyncio.Handle._run = _timed_run  # type: ignore[method-assign, assignment]
    _listeners.append(listener)


def listen_no_more(listener: Listener) -> None:
    """Undo `listen`; with the last one asyncio is as it was, unless somebody else has put theirs there since."""
    _listeners.remove(listener)
    if not _listeners and asyncio.Handle._run is _timed_run:
        asyncio.Handle._run = _run  # type: ignore[method-assign]


def name_of(callback: Any) -> str:
    """Return what people call a callback: a task by its name and its coroutine, else a function by its module."""
    owner = getattr(callback, "__self__", None)
    if isinstance(owner, asyncio.Task):
        coroutine = owner.get_coro()
        return f"task {owner.get_name()} ({getattr(coroutine, '__qualname__', type(coroutine).__qualname__)})"
    while isinstance(callback, functools.partial):
        callback = callback.func
    name = getattr(callback, "__qualname__", None) or type(callback).__qualname__
    module = getattr(callback, "__module__", None)
    return f"{module}.{name}" if module else str(name)
