"""Clocks that can be stepped, each member's for itself: a step is in effect in the tasks of one member only."""

from __future__ import annotations

import contextlib
import contextvars
import time
from collections.abc import Iterator

from posewire import clock


class Clocks:
    """How far a member's clocks are off, seconds."""

    def __init__(self) -> None:
        self.wall = 0.0
        """``time.time()``: somebody set the time."""
        self.capture = 0.0
        """``posewire.clock.now()``: the machine was paused, and the clock that never goes back has leapt."""

    def use(self) -> None:
        """Let the current task, and all it starts, live by these clocks."""
        _clocks.set(self)


_clocks: contextvars.ContextVar[Clocks] = contextvars.ContextVar("chaos.clocks", default=Clocks())  # noqa: B039


@contextlib.contextmanager
def steppable_clocks() -> Iterator[None]:
    """Put clocks that can be stepped in the place of this process's."""
    wall, capture = time.time, clock.now
    time.time = lambda: wall() + _clocks.get().wall
    clock.now = lambda: capture() + _clocks.get().capture
    try:
        yield
    finally:
        time.time, clock.now = wall, capture
