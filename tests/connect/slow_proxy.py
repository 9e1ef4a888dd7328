"""A fault proxy that is slow on the way up."""

from __future__ import annotations

import asyncio
import socket
from typing import Self

from tests.connect.fault_proxy import FaultProxy

_SEGMENT = 1448
_HEADERS = 52
"""Bytes of IP and TCP that a segment would have had."""
_BUFFER = 4096
"""Bytes asked of the kernel, which takes more; its default would hide how slow the link is."""


class SlowProxy(FaultProxy):
    """A link to the server of `rate` bits a second, all connections together; None for no limit."""

    def __init__(self, target_port: int, rate: float | None) -> None:
        super().__init__(target_port)
        self.rate = rate
        self._free_at = 0.0

    async def __aenter__(self) -> Self:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        listener.bind(("127.0.0.1", 0))
        self._server = await asyncio.start_server(self._accept, sock=listener, limit=_SEGMENT)
        return self

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *gates: asyncio.Event) -> None:
        if writer.get_extra_info("peername", (None, None))[1] != self._target:
            await super()._pump(reader, writer, *gates)
            return
        loop = asyncio.get_running_loop()
        try:
            while data := await reader.read(_SEGMENT):
                for gate in gates:
                    await gate.wait()
                if self.rate is not None:
                    self._free_at = max(loop.time(), self._free_at) + 8 * (len(data) + _HEADERS) / self.rate
                    await asyncio.sleep(self._free_at - loop.time())
                writer.write(data)
                await writer.drain()
        except (OSError, RuntimeError):
            pass  # cut
        finally:
            writer.transport.abort()
