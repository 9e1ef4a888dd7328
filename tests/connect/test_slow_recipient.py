"""Members that read slowly, or not at all: they get the newest or a reason, and nobody else notices."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import numpy as np
import pytest

import posewire
from posewire import clock
from posewire.protocol import Delivery, FrameType, Header, Kind, SocketIOPacket, control, unpack_header
from posewire.server import connection as connection_module
from posewire.server.connection import Connection
from tests.connect.conftest import CONFIG, changed, eventually, landmarks, next_frame, points
from tests.connect.fault_proxy import FaultProxy
from tests.connect.loss.lossy_link import KEYS, Time, knows

Join = Callable[..., contextlib.AbstractAsyncContextManager[posewire.Session]]
FRAME = 1 / 8


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    stopped = Time()
    monkeypatch.setattr(clock, "monotonic", stopped.monotonic)
    monkeypatch.setattr(clock, "now", stopped.now)
    return stopped


@pytest.fixture
async def server(time: Time) -> AsyncIterator[posewire.Server]:
    async with posewire.serve(config=CONFIG) as server:
        yield server


@pytest.fixture
def join(server: posewire.Server) -> Join:
    def make(
        name: str, *, url: str | None = None, key: bytes | None = None, config: posewire.Config = CONFIG
    ) -> posewire.Session:
        token = server.issue_token(name)
        return posewire.connect(url or server.url, token=token, room="studio", room_key=key, config=config)

    return make


def of(server: posewire.Server, user_id: str) -> Connection:
    (connection,) = [each for each in server._reception.connections.values() if each.user_id == user_id]
    return connection


async def send(time: Time, alice: posewire.Session, frames: posewire.Subscription, seed: int) -> None:
    """Send a pose a moment later and wait until it was seen by somebody who keeps up."""
    time.passed += FRAME
    assert await alice.send_pose(landmarks(seed))
    seen = asyncio.ensure_future(next_frame(frames))
    while not (await asyncio.wait({seen}, timeout=0.5))[0]:
        # On a busy machine a confirmation may be a frame late by this clock; the sender takes that for the link, and
        # would have to wait for a clock that stands still.
        time.passed += FRAME
    assert (points(seen.result()) == landmarks(seed)).all()


async def test_who_reads_nothing_gets_no_more_poses_and_then_a_reason(
    server: posewire.Server, time: Time, join: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kernels on the way take everything; that nobody reads is seen from the reports that stop."""
    monkeypatch.setattr(connection_module, "_LAST_WORD_SECONDS", 0.01)
    async with FaultProxy(server.port) as proxy, join("alice") as alice, join("bob") as bob:
        async with join("slow", url=proxy.url) as slow:
            await knows(alice, bob)
            await knows(alice, slow)
            byes: list[posewire.Event] = []
            slow.on("bye", byes.append)
            frames, theirs = bob.frames(), slow.frames()
            for seed in range(4):
                await send(time, alice, frames, seed)
                await next_frame(theirs)
            connection = of(server, "slow")
            await eventually(lambda: connection.outlet._reports)
            proxy.freeze()
            frozen, before = time.passed, connection.outlet.frames
            for seed in range(4, 1000):
                await send(time, alice, frames, seed)
                if connection.outlet.waiting:
                    break
            # The last report may have been a second before.
            assert 2.0 - FRAME <= time.passed - frozen <= 3.0 + 2 * FRAME
            sent = connection.outlet.frames
            assert sent - before <= 3.0 / FRAME + 1
            for later in range(2000, 3000):
                await send(time, alice, frames, later)
                assert connection.waiting <= 9, "a path of eight at most, and a leaf"
                if server.stats().drops.get("cut_too_slow"):
                    break
            assert 14.0 - FRAME <= time.passed - frozen <= 15.0 + 2 * FRAME
            assert connection.outlet.frames == sent
            await asyncio.wait_for(connection.ended.wait(), 10)
            proxy.thaw()
            await eventually(lambda: bool(byes))
            assert byes[0].data["reason"] == "too slow: read nothing for 15 s"
            seats = server._reception.rooms.rooms["studio"].connections
            await eventually(lambda: seats.get("slow", connection) is not connection)
            await knows(alice, slow)
            again = slow.frames()  # what was under way before the goodbye has come before it
            for later in range(5000, 5100):
                await send(time, alice, frames, later)
                if again._waiting:
                    break
            assert points(await next_frame(again)).shape == (33, 4)
        assert server.stats().drops["cut_too_slow"] == 1
        await eventually(lambda: server._reception._flusher._timer is None)


async def test_who_is_merely_idle_is_never_closed(server: posewire.Server, time: Time, join: Join) -> None:
    async with join("alice") as alice, join("bob") as bob:
        await knows(alice, bob)
        frames = bob.frames()
        for seed in range(0, 9, 3):
            await send(time, alice, frames, seed)
            time.passed += 0.5
            await send(time, alice, frames, seed + 1)
            time.passed += 60.0
            await send(time, alice, frames, seed + 2)
        assert "cut_too_slow" not in server.stats().drops
        assert of(server, "bob").waiting == 0


@KEYS
@pytest.mark.parametrize("version", ["v1", "v2", "v3"])
async def test_who_joins_late_gets_the_picture_from_the_server(
    server: posewire.Server, time: Time, join: Join, version: str, key: bytes | None
) -> None:
    config = changed(sender={"protocol_version": version})
    async with join("alice", key=key, config=config) as alice, join("bob", key=key) as bob:
        await knows(alice, bob)
        frames = bob.frames()
        for seed in range(7):
            time.passed += FRAME
            assert await alice.send_pose(landmarks(seed))
            await next_frame(frames)
        asked: list[posewire.Event] = []
        alice.on("keyframe", asked.append)
        async with join("carol", key=key) as carol:
            theirs = carol.frames()
            (stream,) = server._reception.rooms.rooms["studio"].state.streams
            question = control.FetchPicture(member=stream[0], stream=stream[1])
            packets = await carol.socket.request(question, list[bytes])
            assert [unpack_header(packet).seq for packet in packets] == ([0, 4, 6] if version == "v3" else [6])
            seq = 6
            if version == "v1":  # signed for seconds only: an old one is not shown
                seq = 7
                assert await alice.send_pose(landmarks(7))
            frame = await next_frame(theirs)
            assert frame.seq == seq
            assert np.allclose(points(frame), landmarks(seq), atol=1e-6)
            assert carol.receiver.drops == {}
        assert asked == []


async def frozen_with_mail(
    server: posewire.Server, time: Time, alice: posewire.Session, bob: posewire.Session, proxy: FaultProxy
) -> Connection:
    frames = bob.frames()
    connection = of(server, "slow")
    connection.outlet.reported()
    proxy.freeze()
    for seed in range(100):
        await send(time, alice, frames, seed)
        if connection.waiting:
            break
    assert connection.waiting
    return connection


async def test_a_server_that_stops_while_mail_waits(time: Time) -> None:
    config = changed(server={"drain_timeout": 50}, socket={"reconnect_attempts": 0})
    async with (
        posewire.serve(config=config) as server,
        FaultProxy(server.port) as proxy,
        contextlib.AsyncExitStack() as stack,
    ):
        sessions = []
        for name, url in (("alice", server.url), ("bob", server.url), ("slow", proxy.url)):
            session = posewire.connect(url, token=server.issue_token(name), room="studio", config=config)
            stack.enter_context(contextlib.suppress(posewire.ConnectionError))
            sessions.append(await stack.enter_async_context(session))
        alice, bob, slow = sessions
        await knows(alice, bob)
        await knows(alice, slow)
        connection = await frozen_with_mail(server, time, alice, bob, proxy)
        async with asyncio.timeout(10):
            await server.aclose()
        assert connection.ended.is_set()
        await eventually(lambda: server._reception._flusher._timer is None)
        assert not server._reception._flusher._waiting
        proxy.thaw()


async def test_a_member_that_goes_while_its_mail_waits(server: posewire.Server, time: Time, join: Join) -> None:
    once = changed(socket={"reconnect_attempts": 0})
    async with FaultProxy(server.port) as proxy, join("alice") as alice, join("bob") as bob:
        with contextlib.suppress(posewire.ConnectionError):
            async with join("slow", url=proxy.url, config=once) as slow:
                await knows(alice, slow)
                connection = await frozen_with_mail(server, time, alice, bob, proxy)
                proxy.cut()
                await eventually(connection.ended.is_set)
                await eventually(lambda: server._reception._flusher._timer is None)
                assert connection.waiting == 0
                seat = server._reception.rooms.rooms["studio"].connections["slow"]
                assert (seat, seat.lost) == (connection, True), "its seat is held, and nothing waits for it"


# A client that means no good -----------------------------------------------------------------------------------------


def event(name: str, data: Any, number: int | None = None) -> bytes:
    return SocketIOPacket(2, namespace="/", data=[name, data], id=number).encode()


async def test_who_asks_and_does_not_read_the_answers_is_closed(
    server: posewire.Server, join: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pictures are the largest answers; they wait as control messages do. And the closing takes bounded time."""
    monkeypatch.setattr(connection_module, "_LAST_WORD_SECONDS", 0.05)
    big = {"pose_landmarks": landmarks(0, 33), "face_landmarks": landmarks(1, 478)}
    async with join("alice", config=changed(sender={"protocol_version": "v2", "compression_enabled": False})) as alice:
        assert await alice.send_pose(big)
        await eventually(lambda: bool(server._reception.rooms.rooms["studio"].pictures))
        (key,) = server._reception.rooms.rooms["studio"].pictures
        async with aiohttp.ClientSession() as http:
            url = f"{server.url}/socket.io/?EIO=4&transport=websocket"
            async with http.ws_connect(url) as websocket:
                await websocket.receive()
                hello = {"token": server.issue_token("mallory")}
                await websocket.send_bytes(SocketIOPacket(0, namespace="/", data=hello).encode())
                await websocket.receive()
                await websocket.send_bytes(event("room.join", {"room": "studio"}))
                question = event("stream.picture", {"member": key >> 8, "stream": key & 0xFF}, 1)
                connection = of(server, "mallory")
                most = 0
                for _ in range(5000):
                    with contextlib.suppress(ConnectionError, aiohttp.ClientError):
                        await websocket.send_bytes(question)
                    await asyncio.sleep(0)
                    box = connection.outlet._mailbox
                    most = max(most, 0 if box is None else box.control_bytes)
                    if server.stats().drops.get("cut_too_slow"):
                        break
                assert server.stats().drops["cut_too_slow"] == 1
                assert 0 < most <= CONFIG.server.recipient_limit
                await eventually(connection.ended.is_set)
        assert await alice.send_pose(landmarks(2))


async def test_what_cannot_be_opened_counts_as_read(server: posewire.Server, time: Time, join: Join) -> None:
    """Or anybody who sends garbage could have the others closed for reading nothing."""
    async with join("alice") as alice, join("bob") as bob:
        frames = bob.frames()
        await send(time, alice, frames, 0)
        bob.receiver._reporter._stop()
        assert alice.socket.lane is not None
        header = Header(3, Kind.POSE, Delivery.LATEST, FrameType.KEY, 1, alice.socket.writer.member, 9, 0, 0)
        alice.socket.lane.write(header.pack() + b"garbage")
        await eventually(lambda: bob.receiver.drops["unsealed"] == 1)
        assert bob.receiver._reporter._timer is not None
