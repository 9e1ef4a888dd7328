"""One member's way to the server: a TCP proxy that goes wrong when it is told to."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from typing import Final, Self

from posewire.lifetime import cancel_and_wait

_CHUNK: Final = 65_536
_BUFFER: Final = 8192
"""Bytes asked of the kernel for what comes from the server: a slow reader is to be felt there at once."""
_BACKLOG: Final = 512
_FILLERS: Final = 4
_TICK: Final = 0.01
"""Seconds between two pieces of what a slow reader reads."""
_RST: Final = struct.pack("ii", 1, 0)
"""SO_LINGER of 0 seconds: closing sends RST."""


class FaultLink:
    """Forwards connections to a port of this machine. Used with ``async with``; `url` is where the member connects to.

    Every fault is a method or an attribute, and in effect at once. Nothing is left open at the end.
    """

    def __init__(self, target_port: int) -> None:
        self.refusing = False
        """New connections are taken and reset: a gateway with nothing behind it."""
        self.swallowing = False
        """New connections are taken, and everything on them is swallowed."""
        self.rate: float | None = None
        """Bytes a second that the member reads; None for no limit."""
        self.latency = 0.0
        """Seconds that each piece is late."""
        self.accepted = 0
        """Connections that got through to the server."""
        self._target = target_port
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._pairs: set[_Pair] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._listener = socket.socket()
        self._accepting = False
        self._listening = False
        self._fillers: list[socket.socket] = []

    @property
    def url(self) -> str:
        """Where the member connects to."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    @property
    def adverse(self) -> bool:
        """Whether what comes through now may be older than it seems, or does not come through at all."""
        late = self.rate is not None or self.latency > 0 or not self._flowing.is_set()
        return late or any(pair.dead for pair in self._pairs)

    async def __aenter__(self) -> Self:
        # Only a port that was asked for stays ours while we do not listen.
        with socket.socket() as finder:
            finder.bind(("127.0.0.1", 0))
            address = finder.getsockname()
        self._listener.setblocking(False)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(address)
        self._listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop_accepting()
        for task in list(self._tasks):
            await cancel_and_wait(task)
        for sock in (self._listener, *self._fillers):
            sock.close()

    def shut(self) -> None:
        """Let nobody connect any more: refused, as where nobody listens (Linux), until `restore`.

        What is open stays open.
        """
        self._stop_accepting()
        # Twice would shut what is accepted later, too.
        if self._listening:
            self._listening = False
            self._listener.shutdown(socket.SHUT_RDWR)

    def blackhole(self) -> None:
        """Let nobody connect any more, without a word: SYNs are not answered (Linux), until `restore`.

        What is open stays open.
        """
        self._stop_accepting()
        self._listener.listen(0)
        self._listening = True
        # A queue of connections not accepted that is full: the kernel drops whatever else comes.
        for _ in range(_FILLERS):
            sock = socket.socket()
            sock.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                sock.connect(self._listener.getsockname())
            self._fillers.append(sock)

    def restore(self) -> None:
        """Undo `shut` and `blackhole`."""
        for sock in self._fillers:
            sock.close()
        self._fillers.clear()
        if not self._accepting:
            self._listen()

    def cut(self) -> None:
        """Close the open connections, in order: FIN."""
        for pair in list(self._pairs):
            pair.end(reset=False)

    def reset(self) -> None:
        """Reset the open connections: RST."""
        for pair in list(self._pairs):
            pair.end(reset=True)

    def half_open(self) -> None:
        """Let the open connections swallow whatever is written to them, for good; neither end is told."""
        for pair in self._pairs:
            pair.dead = True

    def freeze(self) -> None:
        """Let nothing pass until `thaw`; then all of it."""
        self._flowing.clear()

    def thaw(self) -> None:
        """Let things pass again."""
        self._flowing.set()

    def _listen(self) -> None:
        self._listener.listen(_BACKLOG)
        self._accepting = self._listening = True
        asyncio.get_running_loop().add_reader(self._listener, self._accept)

    def _stop_accepting(self) -> None:
        self._accepting = False
        asyncio.get_running_loop().remove_reader(self._listener)

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError:
            return  # gone again
        sock.setblocking(False)
        task = asyncio.get_running_loop().create_task(self._connection(sock), name="chaos.link")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connection(self, sock: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=sock)
        if self.refusing:
            _reset(writer)
            return
        there = socket.socket()
        there.setblocking(False)
        there.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        try:
            await asyncio.get_running_loop().sock_connect(there, ("127.0.0.1", self._target))
            there_reader, there_writer = await asyncio.open_connection(sock=there, limit=_BUFFER)
        except OSError:
            there.close()
            _reset(writer)
            return
        self.accepted += 1
        pair = _Pair(writer, there_writer, dead=self.swallowing)
        self._pairs.add(pair)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, there_writer, pair, down=False), name="chaos.link.up")
                group.create_task(self._pump(there_reader, writer, pair, down=True), name="chaos.link.down")
        finally:
            self._pairs.discard(pair)
            pair.end(reset=True)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pair: _Pair, *, down: bool
    ) -> None:
        try:
            while True:
                rate = self.rate if down else None
                if rate is not None:
                    await asyncio.sleep(_TICK)
                data = await reader.read(_CHUNK if rate is None else max(1, int(rate * _TICK)))
                if not data:
                    break
                await self._flowing.wait()
                if self.latency:
                    await asyncio.sleep(self.latency)
                if not pair.dead:
                    writer.write(data)
                    await writer.drain()
        except (OSError, RuntimeError):
            pass  # reset; uvloop raises the latter when we were first
        if not pair.dead:
            # Of a dead connection neither end ever learns what became of the other.
            pair.end(reset=False)


class _Pair:
    """A connection: its two halves."""

    def __init__(self, here: asyncio.StreamWriter, there: asyncio.StreamWriter, *, dead: bool) -> None:
        self.dead = dead
        self._ends = (here, there)

    def end(self, *, reset: bool) -> None:
        """Close both halves."""
        for writer in self._ends:
            if reset:
                _reset(writer)
            elif not writer.transport.is_closing():
                writer.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    if sock is not None and not writer.transport.is_closing():
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST)
    writer.transport.abort()
