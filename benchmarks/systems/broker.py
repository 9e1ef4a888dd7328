"""Brokers in programs of their own: found, started as a child of the server's process, ended with it."""

from __future__ import annotations

import asyncio
import ctypes
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from benchmarks.systems.addresses import HOST

HOW_TO_INSTALL: Final = "scripts/install_peers.sh installs it"
_START_SECONDS: Final = 15.0
_END_SECONDS: Final = 3.0
_RETRY_SECONDS: Final = 0.02
_PR_SET_PDEATHSIG: Final = 1


def find_program(name: str) -> str | None:
    """Return the path of a program, None when it is not installed. Debian keeps servers out of a user's PATH."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin"])
    return shutil.which(name, path=path)


@asynccontextmanager
async def broker(name: str, arguments: Sequence[str], port: int) -> AsyncIterator[None]:
    """Run a program until the end of the block; yields once it accepts connections on ``port``.

    Raises:
        FileNotFoundError: It is not installed.
        TimeoutError: It does not listen in time.
        RuntimeError: It ended at once.
    """
    program = find_program(name)
    if program is None:
        raise FileNotFoundError(f"{name} is not installed; {HOW_TO_INSTALL}")
    # Whatever it says goes to our stderr, which is shown when something fails.
    process = await asyncio.create_subprocess_exec(
        program, *arguments, stdin=asyncio.subprocess.DEVNULL, stdout=2, preexec_fn=_die_with_parent
    )
    try:
        async with asyncio.timeout(_START_SECONDS):
            await _listening(process, name, port)
        yield
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(_END_SECONDS):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()


async def _listening(process: asyncio.subprocess.Process, name: str, port: int) -> None:
    while process.returncode is None:
        try:
            _, writer = await asyncio.open_connection(HOST, port)
        except OSError:
            await asyncio.sleep(_RETRY_SECONDS)
            continue
        writer.close()
        return
    raise RuntimeError(f"{name} ended with {process.returncode}")


def _die_with_parent() -> None:
    # A worker that is killed cannot end its broker.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
