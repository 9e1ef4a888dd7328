"""A server in a process of its own, which can be killed and started again on its port."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from typing import Final, Self

import msgspec

from benchmarks.chaos.server_messages import Ask, Look, Spec, Started
from benchmarks.motion import ROOT

_ANSWER_SECONDS: Final = 20.0
_MAX_LINE: Final = 1 << 24


class ServerNursery:
    """The program that servers are forked from. Used with ``with``; servers end with it."""

    def __init__(self) -> None:
        self._orders, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.chaos.server_program", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},  # a program with threads is not to be forked
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._orders.close()
        try:
            self._process.wait(_ANSWER_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def order(self, spec: Spec) -> socket.socket:
        """Have a server started; returns what it is told on. Does not wait for it."""
        ours, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(self._orders, [msgspec.json.encode(spec)], [theirs.fileno()])
        ours.setblocking(False)
        return ours


class ServerProcess:
    """One server at a time, always on the same port. Used with ``async with``.

    Args:
        nursery: Where it is forked from.
        config: Sections of the settings.
    """

    def __init__(self, nursery: ServerNursery, config: dict[str, dict[str, object]]) -> None:
        self.port = 0
        self.generation = 0
        """How often it was started."""
        self._nursery = nursery
        self._config = config
        self._pid = 0
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()

    async def start(self) -> None:
        """Start it and wait until it listens.

        Raises:
            TimeoutError: It does not.
        """
        sock = self._nursery.order(Spec(port=self.port, config=self._config))
        self._reader, self._writer = await asyncio.open_connection(sock=sock, limit=_MAX_LINE)
        started = msgspec.json.decode(await self._line(), type=Started)
        self._pid, self.port = started.pid, started.port
        self.generation += 1

    async def kill(self) -> None:
        """Kill it, as a crash or the kernel would, and wait until it is gone."""
        if self._writer is None or self._reader is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)
        async with asyncio.timeout(_ANSWER_SECONDS):
            with contextlib.suppress(ConnectionError):
                await self._reader.read()  # its end is the end of its sockets
        self._writer.close()
        self._reader = self._writer = None

    async def look(self) -> Look:
        """Return the server as it is now.

        Raises:
            TimeoutError: It does not answer.
        """
        assert self._writer is not None
        self._writer.write(msgspec.json.encode(Ask()) + b"\n")
        return msgspec.json.decode(await self._line(), type=Look)

    async def _line(self) -> bytes:
        assert self._reader is not None
        async with asyncio.timeout(_ANSWER_SECONDS):
            line = await self._reader.readline()
        if not line:
            raise TimeoutError("the server's process ended; see its stderr")
        return line
