"""The library ``picows`` on uvloop: WebSockets in Cython, frames handed over in a callback."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import ClassVar

from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect, ws_create_server

from benchmarks.messages import Setup
from benchmarks.systems.addresses import HOST, address, port_of
from benchmarks.systems.pose_packets import PosePackets
from benchmarks.systems.system import Deliver, Loop, Send
from posewire.protocol.pose_data import Landmarks


class _Member(WSListener):
    """The server's end of a connection."""

    def __init__(self, members: set[WSTransport]) -> None:
        super().__init__()
        self._members = members

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._members.add(transport)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.BINARY:
            payload = frame.get_payload_as_bytes()
            for other in self._members:
                if other is not transport:
                    other.send(WSMsgType.BINARY, payload)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._members.discard(transport)


class _Client(WSListener):
    """The client's end."""

    def __init__(self, take: Callable[[bytes], None]) -> None:
        super().__init__()
        self._take = take

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.BINARY:
            self._take(frame.get_payload_as_bytes())


class Picows:
    """A relay in picows' callbacks, on uvloop as its documentation advises; it offers no compression."""

    loop: ClassVar[Loop] = "uvloop"

    def __init__(self, setup: Setup) -> None:
        self._packets = PosePackets()

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        """Pass every frame on to the others."""
        members: set[WSTransport] = set()
        server = await ws_create_server(lambda _request: _Member(members), HOST, 0)
        try:
            yield address(port_of(server), "ws")
        finally:
            server.close()
            for member in list(members):
                member.disconnect(graceful=False)

    @asynccontextmanager
    async def publish(self, url: str) -> AsyncIterator[Send]:
        """Encode and send."""
        pack = self._packets.pack
        async with _connected(url, lambda _packet: None) as transport:

            async def send(landmarks: Landmarks) -> None:
                transport.send(WSMsgType.BINARY, pack(landmarks))

            yield send

    @asynccontextmanager
    async def subscribe(self, url: str, index: int, deliver: Deliver) -> AsyncIterator[None]:
        """Decode in the callback."""
        async with _connected(url, self._packets.into(deliver)):
            yield


@asynccontextmanager
async def _connected(url: str, take: Callable[[bytes], None]) -> AsyncIterator[WSTransport]:
    transport, _ = await ws_connect(lambda: _Client(take), url)
    try:
        yield transport
    finally:
        transport.disconnect()
        await transport.wait_disconnected()
