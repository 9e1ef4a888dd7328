"""Runs a command's coroutine, and ends it as a shell expects."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any, Final

TERMINATED: Final = 128 + signal.SIGTERM


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run ``main`` to its end, on uvloop when it is installed.

    Ctrl-C cancels it, lets it clean up, and raises ``KeyboardInterrupt``; SIGTERM does the same and exits with 143.
    """
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_terminable(main))


async def _terminable(main: Coroutine[Any, Any, None]) -> None:
    task = asyncio.current_task()
    assert task is not None
    terminated = False

    def terminate() -> None:
        nonlocal terminated
        terminated = True
        task.cancel()

    # Where signals cannot be handled (Windows) the default, an immediate end, must do.
    with contextlib.suppress(NotImplementedError):
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, terminate)
    try:
        await main
    except asyncio.CancelledError:
        if terminated:
            sys.exit(TERMINATED)
        raise


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
