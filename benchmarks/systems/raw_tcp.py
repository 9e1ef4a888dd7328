"""The least a program in Python can do: packets with their length in front, over TCP, through an asyncio relay."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import ClassVar, Final, cast

from benchmarks.messages import Setup
from benchmarks.systems.addresses import HOST, address, port, port_of
from benchmarks.systems.pose_packets import PosePackets
from benchmarks.systems.system import Deliver, Loop, Pack, Send, Write
from posewire.protocol.pose_data import Landmarks

_LENGTH_BYTES: Final = 4
_GREETING: Final = bytes(_LENGTH_BYTES)
"""An empty packet: from now on every frame will come."""

Take = Callable[[bytes], None]


class _Connection(asyncio.Protocol):
    """One end. Calls ``take`` with each message, its length still in front. asyncio sets TCP_NODELAY."""

    def __init__(self, take: Callable[[_Connection, bytes], None], others: set[_Connection] | None = None) -> None:
        self.transport: asyncio.Transport | None = None
        self._take = take
        self._others = others
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's are none by inheritance
        if self._others is not None:
            self._others.add(self)
            self.transport.write(_GREETING)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._others is not None:
            self._others.discard(self)

    def data_received(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
        start = 0
        while len(data) >= start + _LENGTH_BYTES:
            end = start + _LENGTH_BYTES + int.from_bytes(data[start : start + _LENGTH_BYTES], "big")
            if len(data) < end:
                break
            self._take(self, data[start:end])
            start = end
        self._rest = data[start:]

    def write(self, message: bytes) -> None:
        assert self.transport is not None
        self.transport.write(message)


class RawTcp:
    """An asyncio relay that copies each message to all the other connections. No handshake, no rooms, no tokens."""

    loop: ClassVar[Loop] = "asyncio"

    def __init__(self, setup: Setup) -> None:
        self._packets = PosePackets()

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        """Pass every message on to the others."""
        connections: set[_Connection] = set()

        def relay(sender: _Connection, message: bytes) -> None:
            for other in connections:
                if other is not sender:
                    other.write(message)

        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Connection(relay, connections), HOST, 0)
        try:
            yield address(port_of(server))
        finally:
            server.close()
            for connection in list(connections):
                if connection.transport is not None:
                    connection.transport.abort()

    @asynccontextmanager
    async def publish(self, url: str) -> AsyncIterator[Send]:
        """Encode and write."""
        pack = self._packets.pack
        async with _connected(url, lambda _packet: None) as connection:

            async def send(landmarks: Landmarks) -> None:
                connection.write(_message(pack(landmarks)))

            yield send

    @asynccontextmanager
    async def subscribe(self, url: str, index: int, deliver: Deliver) -> AsyncIterator[None]:
        """Decode as the bytes come."""
        async with _connected(url, self._packets.into(deliver)):
            yield

    @asynccontextmanager
    async def flood(self, url: str) -> AsyncIterator[tuple[Pack, Write]]:
        """Write finished messages."""
        wrap = self._packets.wrap
        async with _connected(url, lambda _packet: None) as connection:

            async def write(message: bytes) -> None:
                connection.write(message)

            yield lambda body, at: _message(wrap(body, at)), write


class RawTcpUvloop(RawTcp):
    """The same on uvloop."""

    loop: ClassVar[Loop] = "uvloop"


@asynccontextmanager
async def _connected(url: str, take: Take) -> AsyncIterator[_Connection]:
    greeted = asyncio.Event()

    def unwrap(_: _Connection, message: bytes) -> None:
        if len(message) > _LENGTH_BYTES:
            take(message[_LENGTH_BYTES:])
        else:
            greeted.set()

    loop = asyncio.get_running_loop()
    transport, connection = await loop.create_connection(lambda: _Connection(unwrap), HOST, port(url))
    try:
        await greeted.wait()
        yield connection
    finally:
        transport.close()


def _message(packet: bytes) -> bytes:
    return len(packet).to_bytes(_LENGTH_BYTES, "big") + packet
