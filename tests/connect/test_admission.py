"""Strangers and greedy members at a real server, while an honest member goes on as if nothing were."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gc
import socket
import weakref
import zlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest

import posewire
from posewire import ResourceLimitError
from posewire.lifetime import cancel_and_wait
from posewire.protocol import Delivery, FrameType, Kind, SocketIOPacket, control
from posewire.protocol.client_message import MAX_MESSAGE_BYTES
from posewire.server.fast_path import FastWebSocket
from posewire.server.relay import NOTICE
from tests.connect.conftest import CONFIG, Member, changed, eventually, landmarks, next_frame

CROWD = 500
"""Strangers in a flood. With 10,000 of them: see docs/security.md."""


def door(server: posewire.Server) -> Any:
    assert server._door is not None
    return server._door


def drops(server: posewire.Server, reason: str) -> int:
    return server.stats().drops.get(reason, 0)


async def gone(reader: asyncio.StreamReader) -> bytes:
    """Wait until the server has closed a connection; return what it said."""
    said = b""
    async with asyncio.timeout(15):
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                said += data
    return said


class Raw:
    """A TCP connection, and what a client writes on it byte by byte."""

    def __init__(self, server: posewire.Server) -> None:
        self._port = server.port

    async def __aenter__(self) -> Raw:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()

    async def upgrade(self, *headers: str) -> bytes:
        """Ask for a WebSocket; returns the head of the answer."""
        head = (
            "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {base64.b64encode(bytes(16)).decode()}",
            *headers,
        )
        self.writer.write("\r\n".join((*head, "", "")).encode())
        return await self.reader.readuntil(b"\r\n\r\n")

    async def enter(self, token: str, **auth: str) -> None:
        """Be let in."""
        head = await self.upgrade("Host: 127.0.0.1")
        assert b" 101 " in head
        await self.message()
        self.write(SocketIOPacket(0, namespace="/", data={"token": token, **auth}).encode())
        assert (await self.message()).startswith(b"\x83\xa4type\x00")

    def write(self, payload: bytes, first: int = 0x82, *, says: int | None = None) -> None:
        """Write a frame whose masking key is zero, and whose head may say that it is longer than it is."""
        size = len(payload) if says is None else says
        if size < 126:
            head = bytes((first, 0x80 | size))
        elif size < 1 << 16:
            head = bytes((first, 0xFE)) + size.to_bytes(2, "big")
        else:
            head = bytes((first, 0xFF)) + size.to_bytes(8, "big")
        self.writer.write(head + bytes(4) + payload)

    async def message(self) -> bytes:
        """Return the next message; with its code in front when it is the WebSocket's goodbye."""
        async with asyncio.timeout(15):
            head = await self.reader.readexactly(2)
            size = head[1]
            if size > 125:
                size = int.from_bytes(await self.reader.readexactly(2 if size == 126 else 8), "big")
            return await self.reader.readexactly(size)

    async def goodbye(self) -> int:
        """Return the code that the server closes the WebSocket with, past all else it says."""
        while True:
            async with asyncio.timeout(15):
                head = await self.reader.readexactly(2)
                size = head[1]
                if size > 125:
                    size = int.from_bytes(await self.reader.readexactly(2 if size == 126 else 8), "big")
                data = await self.reader.readexactly(size)
            if head[0] == 0x88:
                return int.from_bytes(data[:2], "big")


@contextlib.asynccontextmanager
async def honest(member: Member) -> AsyncIterator[Callable[[], Any]]:
    """Two members in a room of their own; call what this gives to see that they still hear each other."""
    async with member("honest", "quiet") as one, member("friend", "quiet") as two:
        frames = two.frames()
        seeds = iter(range(1 << 30))

        async def check() -> None:
            assert await one.send_pose(landmarks(next(seeds)))
            await next_frame(frames)

        await check()
        yield check
        await check()


# Strangers -----------------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def impatient(**admission: Any) -> AsyncIterator[tuple[posewire.Server, Member]]:
    """A server that gives strangers a tenth of a second."""
    config = changed(socket={"connect_timeout": 100}, admission=admission)
    async with posewire.serve(config=config) as server:

        def make(name: str, room: str | None = "studio", **_: Any) -> posewire.Session:
            return posewire.connect(server.url, token=server.issue_token(name), room=room, config=CONFIG)

        yield server, make


HEAD = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n"
BODY = b"POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"


@pytest.mark.parametrize("beginning", [b"", b"G", HEAD, HEAD + b"X-More: ", BODY, b"\x16\x03\x01"])
async def test_who_says_it_slowly_is_cut_in_time(beginning: bytes) -> None:
    async with impatient() as (server, member), honest(member), Raw(server) as raw:
        raw.writer.write(beginning)
        loop = asyncio.get_running_loop()
        start = loop.time()

        async def drip() -> None:
            with contextlib.suppress(ConnectionError):
                while True:
                    raw.writer.write(b"x")
                    await raw.writer.drain()
                    await asyncio.sleep(0.01)

        dripping = asyncio.create_task(drip(), name="drip")
        await gone(raw.reader)
        assert loop.time() - start < 5
        dripping.cancel()
        await asyncio.wait([dripping])
        await eventually(lambda: door(server).strangers == 0)


async def test_an_answered_request_ends_its_connection(server: posewire.Server) -> None:
    for request, status in (
        (HEAD + b"\r\n", b"200 "),
        (HEAD.replace(b"healthz", b"nothing") + b"\r\n", b"404 "),
        (b"nonsense\r\n\r\n", b"400 "),
        (HEAD + b"\r\n" + HEAD + b"\r\n", b"200 "),
    ):
        async with Raw(server) as raw:
            raw.writer.write(request)
            answer = await gone(raw.reader)
            assert answer[9:].startswith(status)
            assert answer.count(b"HTTP/1.") == 1
    await eventually(lambda: door(server).strangers == 0)


async def test_a_crowd_that_says_nothing(member: Member, server: posewire.Server) -> None:
    async with honest(member) as check:
        crowd = []
        for number in range(CROWD):
            crowd.append(await asyncio.open_connection("127.0.0.1", server.port))
            if not number % 100:
                await check()
        limit = CONFIG.admission.strangers
        await eventually(lambda: drops(server, "too_many_strangers") >= CROWD - limit)
        assert door(server).strangers <= limit
        await check()
        async with member("late", "quiet") as late:
            assert await late.rooms.list_rooms(), "who comes last is not kept out"
        for _, writer in crowd:
            writer.transport.abort()
    await eventually(lambda: door(server).strangers == 0)


@pytest.mark.parametrize("lane", [False, True])
async def test_who_takes_leave_does_not_keep_the_connection(
    member: Member, server: posewire.Server, lane: bool
) -> None:
    """It is counted as nobody's connection any more, has no deadline, and needs no token that is still good."""
    async with Raw(server) as raw, member("bob") as bob:
        auth: dict[str, Any] = {"token": server.issue_token("bob" if lane else "mallory")}
        if lane:
            ticket = await bob.socket.request(control.OpenLane(), control.LaneTicket)
            auth |= {"session": bob.socket._pool._session_id, "lane": ticket.ticket}
        await raw.enter(**auth)
        assert server.stats().connections + len(server._reception.lanes) == 2
        raw.write(SocketIOPacket(1, namespace="/").encode())
        await gone(raw.reader)
        await eventually(lambda: server.stats().connections + len(server._reception.lanes) == 1)


async def test_a_crowd_of_websockets_that_do_not_say_who_they_are(member: Member, server: posewire.Server) -> None:
    async with honest(member) as check, contextlib.AsyncExitStack() as crowd:
        for number in range(CROWD):
            raw = await crowd.enter_async_context(Raw(server))
            assert b" 101 " in await raw.upgrade("Host: 127.0.0.1")
            if not number % 100:
                await check()
        assert door(server).strangers <= CONFIG.admission.strangers
        assert server._engine is not None
        engine = server._engine
        await eventually(lambda: len(engine.eio.sockets) <= CONFIG.admission.strangers + 10)
        await check()
        async with member("late", "quiet") as late:
            assert await late.rooms.list_rooms()
    await eventually(lambda: len(engine.eio.sockets) == 0)


async def test_who_leaves_leaves_nothing_for_the_garbage_collector(
    server: posewire.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When a crowd has left, everybody would wait for it: 100 ms for a thousand of them."""
    left: list[weakref.ref[FastWebSocket]] = []
    serve = FastWebSocket.__call__

    async def noted(websocket: FastWebSocket, environ: Any) -> Any:
        left.append(weakref.ref(websocket))
        return await serve(websocket, environ)

    monkeypatch.setattr(FastWebSocket, "__call__", noted)
    gc.collect()
    gc.disable()
    try:
        async with Raw(server) as raw, Raw(server) as other:
            assert b" 101 " in await raw.upgrade("Host: 127.0.0.1")
            assert b" 101 " in await other.upgrade("Host: 127.0.0.1")
            other.write(b"no packet", 0x81)
            await gone(other.reader)
        await eventually(lambda: len(left) == 2 and all(each() is None for each in left))
    finally:
        gc.enable()


async def test_connections_of_one_address_are_limited_and_told(server: posewire.Server) -> None:
    config = changed(admission={"address_connections": 1, "loopback_factor": 2})
    async with posewire.serve(config=config) as few, Raw(few), Raw(few) as second:
        async with Raw(few) as third:
            assert (await gone(third.reader)).startswith(b"HTTP/1.1 429 ")
        with pytest.raises(posewire.ConnectionError, match="429"):
            async with posewire.connect(
                few.url, token=few.issue_token("alice"), room="studio", config=changed(socket={"reconnect_attempts": 0})
            ):
                pass
        assert drops(few, "over_limit_address") >= 2
        second.writer.transport.abort()
        await eventually(lambda: door(few).strangers == 1)
        async with posewire.connect(few.url, token=few.issue_token("alice"), room="studio", config=CONFIG) as alice:
            assert await alice.rooms.list_rooms()


async def test_connections_that_come_too_fast_are_refused() -> None:
    config = changed(admission={"address_connects": 1, "loopback_factor": 1, "burst": 5})
    async with posewire.serve(config=config) as server:
        refused = 0
        for _ in range(30):
            async with Raw(server) as raw:
                raw.writer.write(HEAD + b"\r\n")
                refused += b"429" in (await gone(raw.reader))[:15]
        assert refused >= 20


async def test_a_stranger_is_read_no_further_than_it_needs(server: posewire.Server) -> None:
    """64 KiB, and what the transport reads at once; the rest stays with it and its kernel."""
    async with impatient() as (server, _), Raw(server) as raw:
        assert b" 101 " in await raw.upgrade("Host: 127.0.0.1")
        visitor = next(iter(next(iter(door(server)._strangers.values()))))
        raw.write(bytes(70_000), says=1_000_000)
        await eventually(lambda: visitor._early is None or visitor._early < 0)
        raw.writer.write(bytes(900_000))
        await gone(raw.reader)
        assert drops(server, "handshake_timeout") == 1
        assert visitor._early is None or visitor._early > -(1 << 19)


async def test_a_stranger_that_talks_too_much(server: posewire.Server) -> None:
    async with Raw(server) as raw:
        assert b" 101 " in await raw.upgrade("Host: 127.0.0.1")
        for _ in range(40):
            raw.write(b"6", 0x81)
        await gone(raw.reader)
        await eventually(lambda: drops(server, "stranger_too_long") == 1)


async def test_what_comes_before_one_is_let_in_and_after_it_stays_in_order(server: posewire.Server) -> None:
    """Bytes of strangers wait for their turn; those that come once they are let in may not overtake them."""
    async with Raw(server) as raw:
        assert b" 101 " in await raw.upgrade("Host: 127.0.0.1")
        await raw.message()
        sent: list[bytes] = []
        writer, raw.writer = raw.writer, Collecting(sent)  # type: ignore[assignment]
        raw.write(SocketIOPacket(0, namespace="/", data={"token": server.issue_token("quick")}).encode())
        for number in range(60):
            raw.write(SocketIOPacket(2, namespace="/", data=["heartbeat", {}], id=number).encode())
        raw.writer = writer
        data = b"".join(sent)
        for start in range(0, len(data), 37):
            writer.write(data[start : start + 37])
            await asyncio.sleep(0)
        assert (await raw.message()).startswith(b"\x83\xa4type\x00")
        # Answers of the short way may overtake others; each says when it was given: one after the other.
        answers = [SocketIOPacket(encoded_packet=await raw.message()) for _ in range(60)]
        answers.sort(key=lambda one: one.id or 0)
        assert [one.id for one in answers] == list(range(60))
        times = [one.data[0][1] for one in answers]
        assert times == sorted(times)


class Collecting:
    """A writer that keeps what it is given."""

    def __init__(self, kept: list[bytes]) -> None:
        self.write = kept.append


# Messages ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("let_in", [False, True])
@pytest.mark.parametrize("fragments", [False, True])
async def test_100_megabytes_are_refused_by_what_is_said_of_them(
    server: posewire.Server, member: Member, let_in: bool, fragments: bool
) -> None:
    """The head of the frame is enough: not one byte of the message is sent."""
    async with honest(member), Raw(server) as raw:
        if let_in:
            await raw.enter(server.issue_token("greedy"))
        else:
            await raw.upgrade("Host: 127.0.0.1")
        if fragments:
            raw.write(bytes(1000), 0x02)
            raw.write(b"", 0x00, says=100_000_000)
        else:
            raw.write(b"", says=100_000_000)
        assert await raw.goodbye() == 1009
        await eventually(lambda: drops(server, "oversized") == 1)


async def test_fragments_are_refused_when_they_are_too_much_together(server: posewire.Server) -> None:
    async with Raw(server) as raw:
        await raw.enter(server.issue_token("greedy"))
        raw.write(bytes(200_000), 0x02)
        for _ in range(5):
            raw.write(bytes(200_000), 0x00)
        assert await raw.goodbye() == 1009


PIECE = SocketIOPacket(2, namespace="/", data=["x", "y"]).encode()
NESTED = b"\x83\xa4type\x02\xa4data" + b"\x91" * 65_000
MANY = b"\x83\xa4type\x02\xa4data\x92\xa1x\xdc" + (65_000).to_bytes(2, "big") + b"\x90" * 65_000 + b"\xa3nsp\xa1/"


@pytest.mark.parametrize(
    ("payload", "first", "code", "reason"),
    [
        (NESTED, 0x82, 1008, "damaged"),
        (MANY, 0x82, 1008, "damaged"),
        (SocketIOPacket(2, namespace="/", data=["x", bytes(MAX_MESSAGE_BYTES)]).encode(), 0x82, 1009, "oversized"),
        (zlib.compress(bytes(1 << 20))[2:], 0xC2, 1002, "damaged"),  # RSV1: compressed, which was not agreed on
        (PIECE, 0xA2, 1002, "damaged"),  # RSV2
        (b"x" * 100, 0x81, None, "damaged"),  # text
        (b'4["hello"]', 0x81, None, "damaged"),
        (b"\xff\xfe", 0x81, 1007, "damaged"),  # no UTF-8
        (PIECE, 0x80, 1002, "damaged"),  # goes on with what never began
        (bytes(200), 0x89, 1002, "damaged"),  # a ping longer than pings may be
        (PIECE, 0x83, 1002, "damaged"),  # an opcode without a meaning
    ],
)
async def test_messages_that_end_their_connection(
    server: posewire.Server, member: Member, payload: bytes, first: int, code: int | None, reason: str
) -> None:
    async with honest(member), Raw(server) as raw:
        await raw.enter(server.issue_token("greedy"))
        raw.write(payload, first)
        if code is not None:
            assert await raw.goodbye() == code
            raw.write(b"", 0x88)
        await gone(raw.reader)
        await eventually(lambda: server.stats().connections == 2)
        assert server.stats().drops == {reason: 1}


async def test_compression_is_never_agreed_on(server: posewire.Server) -> None:
    async with Raw(server) as raw:
        head = await raw.upgrade("Host: 127.0.0.1", "Sec-WebSocket-Extensions: permessage-deflate")
        assert b" 101 " in head
        assert b"deflate" not in head.lower()


# Pages ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/healthz", "/login", "/socket.io/?EIO=4&transport=websocket", "/nothing"])
async def test_pages_of_others_are_refused_everywhere(server: posewire.Server, path: str) -> None:
    async with aiohttp.ClientSession() as http:
        for headers in (
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Host": "evil.example", "Origin": "http://evil.example"},
            {"Host": "evil.example"},
        ):
            for method in ("GET", "POST", "OPTIONS"):
                async with http.request(method, server.url + path, headers=headers) as response:
                    assert response.status == 403
                    assert (await response.json())["error"]["type"] == "SecurityError"
                    assert "Access-Control-Allow-Origin" not in response.headers


async def test_pages_of_this_machine_may_read_the_answer(server: posewire.Server) -> None:
    origin = {"Origin": "http://localhost:3000"}
    async with aiohttp.ClientSession() as http:
        async with http.get(server.url + "/healthz", headers=origin) as response:
            assert response.status == 200
            assert response.headers["Access-Control-Allow-Origin"] == "http://localhost:3000"
        async with http.options(server.url + "/login", headers=origin) as response:
            assert response.status == 204
            assert "content-type" in response.headers["Access-Control-Allow-Headers"]
        async with http.get(server.url + "/healthz") as response:
            assert "Access-Control-Allow-Origin" not in response.headers
        ws = await http.ws_connect(server.url + "/socket.io/?EIO=4&transport=websocket", headers=origin)
        assert (await ws.receive()).data.startswith("0{")
        await ws.close()


# Members -------------------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def strict(**admission: Any) -> AsyncIterator[tuple[posewire.Server, Member]]:
    """A server with other limits."""
    async with posewire.serve(config=changed(admission=admission)) as server:

        def make(name: str, room: str | None = "studio", **_: Any) -> posewire.Session:
            config = changed(socket={"reconnect_attempts": 0})
            return posewire.connect(server.url, token=server.issue_token(name), room=room, config=config)

        yield server, make


def write(session: posewire.Session, stream: int, count: int) -> None:
    """Write leaves past the session's own pipeline, which would hold them back."""
    writer = session.socket.writer
    for _ in range(count):
        packet = writer.write(
            Kind.POSE,
            Delivery.LATEST,
            stream,
            version=2,
            captured_us=1,
            body=bytes(50),
            frame_type=FrameType.LEAF,
            ref=1,
        )
        assert session.socket.lane is not None
        session.socket.lane.write(packet)


async def test_a_flood_of_frames_is_thinned_then_told_then_closed() -> None:
    # A hundred at once and two a second: told after 10 too many, closed after 100, however slow this machine is.
    async with strict(member_frames=2, burst=50, patience=50) as (server, member), honest(member) as check:
        notices: list[Any] = []
        byes: list[Any] = []
        with pytest.raises(posewire.ConnectionError):
            async with member("greedy") as greedy:
                greedy.on(NOTICE, notices.append)
                greedy.on("bye", byes.append)
                stream = await greedy.rooms.open_stream("pose", "flood")
                write(greedy, stream, 108)
                await eventually(lambda: drops(server, "over_limit") > 0)
                assert not notices
                assert await greedy.rooms.list_rooms(), "thinned, and nothing else"
                write(greedy, stream, 50)
                await eventually(lambda: bool(notices))
                await check()
                async with asyncio.timeout(15):
                    while True:
                        write(greedy, stream, 50)
                        await greedy.rooms.list_rooms()
        assert notices[0].data["code"] == "over_limit"
        assert "over the limit of 2 frames" in notices[0].data["message"]
        assert "over the limit of 2 frames" in byes[0].data["reason"]
        assert byes[0].data["retry"]
        await check()
        await eventually(lambda: server.stats().connections == 2)


async def test_a_flood_takes_turns_with_everybody_else() -> None:
    """However much of it came at once; before, all of that was handled in one turn, and members waited for seconds."""
    async with strict() as (server, member), honest(member) as check, Raw(server) as raw:
        await raw.enter(server.issue_token("greedy"))
        loop, turns, most = asyncio.get_running_loop(), [0], 0
        relay = server._reception.relay
        (eio_sid,) = (each.eio_sid for each in server._reception.connections.values() if each.user_id == "greedy")

        def take(packet: bytes) -> None:
            nonlocal most
            turns[-1] += 1
            most = max(most, turns[-1])
            relay.drops["counted"] += 1

        async def tick() -> None:
            while True:
                turns.append(0)
                await asyncio.sleep(0)

        assert server._engine is not None
        server._engine.eio.frame_handlers[eio_sid] = take
        ticking = loop.create_task(tick(), name="test.ticking")
        try:
            sent: list[bytes] = []
            writer, raw.writer = raw.writer, Collecting(sent)  # type: ignore[assignment]
            for _ in range(20_000):
                raw.write(SocketIOPacket(2, namespace="/", data=["frame", bytes(40)]).encode())
            raw.writer = writer
            writer.write(b"".join(sent))
            await check()
            await eventually(lambda: drops(server, "counted") == 20_000)
        finally:
            await cancel_and_wait(ticking)
        assert most <= (16 << 10) // len(sent[0]) + 1


async def test_who_is_closed_for_a_flood_is_heard_no_more() -> None:
    async with strict(member_frames=2, burst=1, patience=1) as (server, member), honest(member), Raw(server) as raw:
        await raw.enter(server.issue_token("greedy"))
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(15):
                while drops(server, "over_limit") < 3:
                    raw.write(SocketIOPacket(2, namespace="/", data=["frame", bytes(40)]).encode())
                    await asyncio.sleep(0)
        over = drops(server, "over_limit")
        for _ in range(1000):
            raw.write(SocketIOPacket(2, namespace="/", data=["frame", bytes(40)]).encode())
        said = await gone(raw.reader)
        assert b"over the limit of 2 frames" in said
        assert drops(server, "over_limit") <= over + 5


async def test_reliable_events_over_the_limit_are_refused_and_not_lost_in_silence() -> None:
    async with strict(member_frames=10, burst=1, patience=1000) as (_, member):
        async with member("alice") as alice, member("bob") as bob:
            heard: list[int] = []
            bob.on("count", lambda event: heard.append(event.data))
            sent = []
            with contextlib.suppress(ResourceLimitError):
                for number in range(100):
                    await alice.send_event("count", number)
                    sent.append(number)
            assert 10 <= len(sent) < 60, "the burst, and as much in debt"
            await eventually(lambda: heard == sent)


async def test_a_flood_of_requests_is_told_when_to_come_again() -> None:
    async with strict(member_requests=20, burst=1, patience=1000) as (server, member), honest(member) as check:
        async with member("greedy") as greedy:
            with pytest.raises(ResourceLimitError, match=r"requests a second; come again in 0\.0\d+ s"):
                for _ in range(100):
                    await greedy.rooms.list_rooms()
            assert drops(server, "over_limit") == 1
            await check()


async def test_rooms_that_one_member_makes_are_limited() -> None:
    async with strict(member_rooms=3) as (_, member), member("greedy", None) as greedy:
        for number in range(3):
            assert await greedy.rooms.create_room(f"room-{number}")
        with pytest.raises(ResourceLimitError, match=r"too many new rooms; come again in \d+\.\d s"):
            await greedy.rooms.create_room("room-3")
        assert not await greedy.rooms.create_room("room-0"), "it is there already"
        async with member("other", None) as other:
            assert await other.rooms.create_room("room-4")


async def test_a_member_that_connects_too_often_is_refused() -> None:
    async with strict(member_connects=0.01, burst=300) as (server, member):
        for _ in range(3):
            async with member("alice"):
                pass
        with pytest.raises(ResourceLimitError, match="alice connects too often; come again in"):
            async with member("alice"):
                pass
        async with member("bob"):
            assert server.stats().connections == 1


async def test_messages_past_the_pace_are_read_slowly_and_all_of_them() -> None:
    """What is no request and no frame has no answer that could refuse it: TCP slows its sender down."""
    async with strict(member_requests=50, member_frames=50, burst=0.1) as (server, _), Raw(server) as raw:
        await raw.enter(server.issue_token("chatty"))
        loop = asyncio.get_running_loop()
        start = loop.time()
        for _ in range(40):
            raw.write(b"6", 0x81)
        raw.write(SocketIOPacket(2, namespace="/", data=["heartbeat", {}], id=7).encode())
        while not (await raw.message()).startswith(b"\x84\xa4type\x03"):
            pass
        assert loop.time() - start > 0.2  # 30 of them over the burst, at a hundred a second


async def test_half_open_connections_do_not_stay(server: posewire.Server) -> None:
    """The client's machine is gone without a word: it never answers, nor says that it is closed."""
    async with impatient() as (impatient_server, _):
        sock = socket.create_connection(("127.0.0.1", impatient_server.port))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        await eventually(lambda: door(impatient_server).strangers == 1)
        await eventually(lambda: door(impatient_server).strangers == 0)
        assert drops(impatient_server, "handshake_timeout") == 1
        sock.close()
