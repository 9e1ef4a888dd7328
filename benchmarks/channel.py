"""A worker's end of the line to its parent."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from typing import TypeVar

import msgspec

from benchmarks.messages import Setup
from benchmarks.systems.system import Loop

_T = TypeVar("_T", bound=msgspec.Struct)


class Channel:
    """Lines of JSON: requests on stdin, answers on stdout. stdin ends when the parent does, and so does the worker."""

    def __init__(self) -> None:
        # Whatever a library prints must not get between our answers.
        self._out = os.fdopen(os.dup(1), "wb")
        os.dup2(2, 1)
        self._in = open(0, "rb", buffering=0, closefd=False)  # noqa: SIM115  # as long as the process
        self._reader: asyncio.StreamReader | None = None

    def read(self, kind: type[_T]) -> _T | None:
        """Wait for a request, with no event loop; None when there are no more."""
        line = self._in.readline()
        return msgspec.json.decode(line, type=kind) if line else None

    def read_setup(self) -> Setup:
        """Return the first request: it says which event loop the process is to have."""
        setup = self.read(Setup)
        if setup is None:
            sys.exit()  # the parent gave up
        return setup

    async def next(self, kind: type[_T]) -> _T | None:
        """Return the next request; None when there are no more."""
        if self._reader is None:
            self._reader = reader = asyncio.StreamReader()
            await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        line = await self._reader.readline()
        return msgspec.json.decode(line, type=kind) if line else None

    def answer(self, message: msgspec.Struct) -> None:
        """Write one answer."""
        self._out.write(msgspec.json.encode(message) + b"\n")
        self._out.flush()


def loop_factory(loop: Loop) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what `asyncio.Runner` makes its event loop with."""
    if loop == "asyncio":
        return None
    import uvloop

    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
