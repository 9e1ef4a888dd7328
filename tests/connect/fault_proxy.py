"""A TCP proxy that can go wrong on demand."""

from __future__ import annotations

import asyncio
from typing import Self


class FaultProxy:
    """Forwards connections to a port; `cut`, `refusing`, `freeze` and `mute` are the faults.

    Used as ``async with FaultProxy(port) as proxy``; `proxy.url` is where clients connect to.
    """

    def __init__(self, target_port: int) -> None:
        self._target = target_port
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._answering = asyncio.Event()
        self._answering.set()
        self.refusing = False
        self.accepted = 0
        self.gates: list[asyncio.Event] = []
        """Of each connection that was forwarded, in their order: cleared, nothing comes through it, without a word."""

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self.thaw()
        self.unmute()
        for gate in self.gates:
            gate.set()
        self._server.close()
        self.cut()
        await self._server.wait_closed()
        while self._writers:
            await asyncio.sleep(0)

    def cut(self) -> None:
        """Reset every open connection."""
        for writer in list(self._writers):
            writer.transport.abort()

    def freeze(self) -> None:
        """Let nothing through any more, without a word."""
        self._flowing.clear()

    def thaw(self) -> None:
        self._flowing.set()

    def mute(self) -> None:
        """Let nothing come back from the server any more; what clients say still gets there."""
        self._answering.clear()

    def unmute(self) -> None:
        self._answering.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        if self.refusing:
            writer.transport.abort()
            return
        try:
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        ends = {writer, there_writer}
        self._writers |= ends
        self.gates.append(gate := asyncio.Event())
        gate.set()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, there_writer, self._flowing, gate), name="proxy.up")
                down = self._pump(there_reader, writer, self._flowing, self._answering, gate)
                group.create_task(down, name="proxy.down")
        finally:
            self._writers -= ends

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *gates: asyncio.Event) -> None:
        try:
            while data := await reader.read(65536):
                for gate in gates:
                    await gate.wait()
                writer.write(data)
                await writer.drain()
        except (OSError, RuntimeError):
            pass  # uvloop raises the latter when `cut` was before us
        finally:
            writer.transport.abort()
