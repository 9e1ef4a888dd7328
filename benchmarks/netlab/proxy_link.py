"""A link without root: a TCP proxy that slows down what goes through it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Coroutine, Sequence
from typing import Any, Final, Literal, Self

from benchmarks.netlab.control import LinkStats
from benchmarks.netlab.errors import LinkError
from benchmarks.netlab.line import Line
from benchmarks.netlab.path import Path, parse_path
from benchmarks.netlab.schedule import Side, Step
from benchmarks.netlab.timetable import Timetable

_HEADERS: Final = 52
"""Bytes of IP and TCP (with timestamps) that a segment would have had."""
_SEGMENT: Final = 1500 - _HEADERS
_SOCKET_BUFFER: Final = 4096
"""Bytes asked of the kernel, which takes more; its default would hide megabytes."""


class _End:
    """One end of a connection, as its peer's bytes see it."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self.ended = asyncio.Event()
        """Set when the end of the stream was written."""

    def deliver(self, data: bytes) -> None:
        """Write what has arrived; no bytes is the end of the stream."""
        closing = self.writer.transport.is_closing()
        if not data:
            self.ended.set()
            if not closing and self.writer.can_write_eof():
                with contextlib.suppress(OSError):  # it was reset meanwhile
                    self.writer.write_eof()
        elif not closing:
            self.writer.write(data)


_Piece = tuple[_End, bytes]


class ProxyLink:
    """Carries TCP connections over two `Line`s in this process. Used with ``async with``; see `Link`.

    All connections share the lines. A piece of at most a segment's size goes through a line as a packet would; a full
    buffer stops reading, so nothing is dropped.
    """

    kind: Final[Literal["proxy"]] = "proxy"
    host: Final = "127.0.0.1"

    def __init__(self, up: Path, down: Path, seed: int) -> None:
        self._lines: dict[Side, Line[_Piece]] = {
            "up": Line(up, seed=f"{seed}/up", stream=True),
            "down": Line(down, seed=f"{seed}/down", stream=True),
        }
        self._timetable = Timetable()
        self._moved = asyncio.Event()
        self._room = asyncio.Condition()
        self._servers: dict[int, asyncio.Server] = {}
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.command: list[str] = []

    async def __aenter__(self) -> Self:
        self._start(self._carry(), "netlab.carry")
        return self

    async def __aexit__(self, exc_type: type[BaseException] | None, *_: object) -> None:
        for server in self._servers.values():
            server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        for writer in self._writers:
            writer.transport.abort()
        if tasks:
            await asyncio.wait(tasks)
        for server in self._servers.values():
            await server.wait_closed()
        failures = [task.exception() for task in tasks if not task.cancelled()]
        for failure in failures:
            if failure is not None and exc_type is None:
                raise failure

    async def port(self, port: int) -> int:
        """Return the proxy's port for ``port`` of this machine; opens it the first time."""
        if port not in self._servers:
            listener = _small_socket()
            try:
                listener.bind((self.host, 0))
                # A plain function: asyncio would make a task without a name of a coroutine.
                self._servers[port] = await asyncio.start_server(
                    lambda reader, writer: self._start(self._connect(port, reader, writer), f"netlab.{port}"),
                    sock=listener,
                    limit=_SEGMENT,
                )
            except OSError as exc:
                listener.close()
                raise LinkError(f"no port for the proxy: {exc}") from exc
        name: tuple[str, int] = self._servers[port].sockets[0].getsockname()
        return name[1]

    async def url(self, port: int) -> str:
        """Return ``http://host:port`` of the proxy."""
        return f"http://{self.host}:{await self.port(port)}"

    async def change(self, *, up: Path | str | None = None, down: Path | str | None = None) -> None:
        """Be different from now on; see `Link.change`."""
        values: dict[Side, Path | str | None] = {"up": up, "down": down}
        paths = {
            side: value if isinstance(value, Path) else parse_path(value, self._lines[side].path)
            for side, value in values.items()
            if value is not None
        }
        for side, path in paths.items():
            self._lines[side].change(time.monotonic(), path)
        self._moved.set()

    async def play(self, steps: Sequence[Step], start: float | None = None) -> None:
        """Follow a schedule; see `Link.play`."""
        self._timetable.load(steps, time.monotonic() if start is None else start)
        self._moved.set()

    async def stats(self) -> LinkStats:
        """Return the totals."""
        return LinkStats(up=self._lines["up"].stats, down=self._lines["down"].stats)

    def _start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        if name != "netlab.carry":
            task.add_done_callback(self._tasks.discard)

    async def _carry(self) -> None:
        """Write out what has arrived, all connections, both directions, each at its time."""
        while True:
            self._moved.clear()
            now = time.monotonic()
            for step in self._timetable.due(now):
                self._lines[step.side].change(now, step.apply(self._lines[step.side].path))
            for line in self._lines.values():
                for end, data in line.take(now):
                    end.deliver(data)
            async with self._room:
                self._room.notify_all()
            times = [self._timetable.next_time(), *(line.next_time() for line in self._lines.values())]
            known = [moment for moment in times if moment is not None]
            patience = max(0.0, min(known) - time.monotonic()) if known else None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await self._moved.wait()

    async def _connect(self, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers = [writer]
        self._writers.add(writer)
        try:
            there_reader, there = await self._dial(port)
            writers.append(there)
            self._writers.add(there)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump("up", reader, _End(there)), name=f"netlab.{port}.up")
                group.create_task(self._pump("down", there_reader, _End(writer)), name=f"netlab.{port}.down")
            for each in writers:
                each.close()
                await each.wait_closed()
        except* OSError:
            pass  # refused or reset: the other end learns it by the abort below
        finally:
            for each in writers:
                each.transport.abort()
                self._writers.discard(each)

    async def _dial(self, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        sock = _small_socket()
        try:
            sock.setblocking(False)
            await asyncio.get_running_loop().sock_connect(sock, (self.host, port))
            return await asyncio.open_connection(sock=sock, limit=_SEGMENT)
        except BaseException:
            sock.close()
            raise

    async def _pump(self, side: Side, reader: asyncio.StreamReader, end: _End) -> None:
        end.writer.transport.set_write_buffer_limits(high=_SEGMENT)
        line = self._lines[side]
        while True:
            data = await reader.read(_SEGMENT)
            size = len(data) + _HEADERS
            # Who does not read stops what is read for it, not the line.
            await end.writer.drain()
            async with self._room:
                while not line.has_room(time.monotonic(), size):
                    await self._room.wait()
            line.offer(time.monotonic(), size, (end, data))
            self._moved.set()
            if not data:
                break
        await end.ended.wait()


def _small_socket() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SOCKET_BUFFER)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BUFFER)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock
