"""WebRTC data channels by ``aiortc``: the server is a relay in the middle (an SFU), connected to each member."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar

import aiohttp
from aiohttp import web
from aiortc import RTCConfiguration, RTCDataChannel, RTCPeerConnection, RTCSessionDescription

from benchmarks.messages import Setup
from benchmarks.systems.addresses import HOST, address
from benchmarks.systems.pose_packets import PosePackets
from benchmarks.systems.system import Deliver, Loop, Send
from posewire.protocol.pose_data import Landmarks

_NO_SERVERS = RTCConfiguration(iceServers=[])
"""No STUN: both ends are on this machine. Encrypted all the same: a data channel always is."""


class Aiortc:
    """Channels are unordered and never retransmit, as a game would have them; offers go over HTTP."""

    loop: ClassVar[Loop] = "asyncio"

    def __init__(self, setup: Setup) -> None:
        self._packets = PosePackets()

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        """Pass every message on to the others."""
        channels: set[RTCDataChannel] = set()
        peers: set[RTCPeerConnection] = set()

        def opened(channel: RTCDataChannel) -> None:
            channels.add(channel)
            channel.on("close", lambda: channels.discard(channel))

            def relay(message: bytes) -> None:
                for other in channels:
                    if other is not channel:
                        other.send(message)

            channel.on("message", relay)
            channel.send(b"")  # from now on every frame will come

        async def offered(request: web.Request) -> web.Response:
            peer = RTCPeerConnection(_NO_SERVERS)
            peers.add(peer)
            peer.on("datachannel", opened)
            await peer.setRemoteDescription(RTCSessionDescription(**await request.json()))
            await peer.setLocalDescription(await peer.createAnswer())
            return web.json_response({"sdp": peer.localDescription.sdp, "type": peer.localDescription.type})

        app = web.Application()
        app.router.add_post("/", offered)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, HOST, 0).start()
            yield address(runner.addresses[0][1], "http")
        finally:
            await runner.cleanup()
            await asyncio.gather(*(peer.close() for peer in peers))

    @asynccontextmanager
    async def publish(self, url: str) -> AsyncIterator[Send]:
        """Encode and send."""
        pack = self._packets.pack
        async with _connected(url, lambda _pose: None, self._packets) as channel:

            async def send(landmarks: Landmarks) -> None:
                channel.send(pack(landmarks))

            yield send

    @asynccontextmanager
    async def subscribe(self, url: str, index: int, deliver: Deliver) -> AsyncIterator[None]:
        """Decode in the callback."""
        async with _connected(url, deliver, self._packets):
            yield


@asynccontextmanager
async def _connected(url: str, deliver: Deliver, packets: PosePackets) -> AsyncIterator[RTCDataChannel]:
    peer = RTCPeerConnection(_NO_SERVERS)
    try:
        channel = peer.createDataChannel("pose", ordered=False, maxRetransmits=0)
        greeted = asyncio.Event()
        take = packets.into(deliver)

        def come(message: bytes) -> None:
            if message:
                take(message)
            else:
                greeted.set()

        channel.on("message", come)
        await peer.setLocalDescription(await peer.createOffer())
        offer = {"sdp": peer.localDescription.sdp, "type": peer.localDescription.type}
        async with aiohttp.ClientSession() as http, http.post(url, json=offer) as answer:
            await peer.setRemoteDescription(RTCSessionDescription(**await answer.json()))
        await greeted.wait()
        yield channel
    finally:
        await peer.close()
