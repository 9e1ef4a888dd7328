"""Runs a command's coroutine, and ends it as a shell expects."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any, Final

from posewire.errors import ConfigurationError

TERMINATED: Final = 128 + signal.SIGTERM
LOOP: Final = "POSEWIRE_LOOP"
"""Variable that names the event loop: ``uvloop`` or ``asyncio``; uvloop by default, when it is installed."""


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run ``main`` to its end, on the event loop that `LOOP` says.

    Ctrl-C cancels it, lets it clean up, and raises ``KeyboardInterrupt``; SIGTERM does the same and exits with 143.

    Raises:
        ConfigurationError: There is no such event loop.
    """
    # Closed when it is never begun, or Python would complain of it beside the error.
    with contextlib.closing(main), asyncio.Runner(loop_factory=_loop_factory()) as runner:
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


def running_loop() -> str:
    """Return the name of the event loop that runs: ``uvloop`` or ``asyncio``."""
    return type(asyncio.get_running_loop()).__module__.partition(".")[0]


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    wanted = os.environ.get(LOOP, "")
    if wanted not in ("", "asyncio", "uvloop"):
        raise ConfigurationError(LOOP, wanted, "expected 'uvloop' or 'asyncio'")
    if wanted == "asyncio":
        return None
    try:
        import uvloop
    except ImportError:
        if wanted:
            raise ConfigurationError(LOOP, wanted, "not installed: pip install 'posewire[speed]'") from None
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
