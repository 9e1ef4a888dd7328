"""A loop whose clock jumps to the next timer: hours pass at once, and nothing depends on how fast the machine is."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

_T = TypeVar("_T")


class VirtualLoop(asyncio.SelectorEventLoop):
    """Begins at 0 s. Waiting for nothing that will ever come is an error."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        selector: Any = self._selector  # type: ignore[attr-defined]
        look = selector.select

        def select(timeout: float | None = None) -> Any:
            events = look(0)
            if not events and timeout is None:
                raise AssertionError("everybody waits, and no timer is set")
            if not events and timeout:
                self._now += timeout
            return events

        selector.select = select

    def time(self) -> float:
        """Return the seconds since the loop was made."""
        return self._now


def run(main: Coroutine[Any, Any, _T]) -> _T:
    """Run ``main`` by virtual time; a task that it leaves running fails the test."""
    loop = VirtualLoop()
    try:
        result = loop.run_until_complete(main)
        left = asyncio.all_tasks(loop)
        assert not left, f"tasks left running: {sorted(task.get_name() for task in left)}"
        return result
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
