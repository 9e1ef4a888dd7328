"""The fast path against the way of the libraries, and the private names it needs."""

from __future__ import annotations

import asyncio
import base64
import functools
import inspect
import json
import logging
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import WSMsgType, web
from aiohttp.http_websocket import WebSocketWriter
from engineio.async_drivers import aiohttp as driver
from socketio import packet as stock_packet

from posewire.config import Config
from posewire.limits import MAX_PACKET_BYTES
from posewire.protocol import SocketIOPacket, unwrap_frame, wrap_answer, wrap_frame
from posewire.server import message_gate
from posewire.server.engine import Engine
from posewire.server.fast_path import FastWebSocket, outgoing_answer, outgoing_event, outgoing_frame
from tests.connect.conftest import eventually


def test_names_of_engineio_and_aiohttp() -> None:
    assert set(inspect.signature(driver.WebSocket.__init__).parameters) == {"self", "handler", "server"}
    source = inspect.getsource(driver.WebSocket)
    assert "self._sock" in source
    assert "self.server.max_http_buffer_size" in source
    assert "WebSocketDataQueue" in web.WebSocketResponse._post_start.__code__.co_names


@pytest.mark.parametrize("size", [0, 1, 77, 78, 125, 126, 200, 255, 256, 65_500, 65_535, 65_536, 1 << 20])
def test_the_short_way_makes_the_bytes_of_the_libraries(size: int) -> None:
    """The stock path is the oracle: Socket.IO's packet, and aiohttp's WebSocket frame."""
    packet = bytes(range(256)) * (size // 256) + bytes(size % 256)
    stock = SocketIOPacket(2, namespace="/", data=["frame", packet]).encode()
    frame = outgoing_frame(packet)
    assert outgoing_event("frame", packet).wire == frame.wire
    assert unwrap_frame(stock) == packet
    assert written_by_aiohttp(stock) == frame.wire


@pytest.mark.parametrize("size", [0, 77, 125, 126, 65_535, 65_536, 1 << 20])
def test_the_default_parser_gets_the_bytes_of_the_libraries(size: int) -> None:
    """python-socketio's packet of its default parser, and aiohttp's WebSocket frames."""
    for outgoing, data in (
        (outgoing_frame(bytes(size)), ["frame", bytes(size)]),
        (outgoing_event("room", {"text": "ü" * size, "no": None}), ["room", {"text": "ü" * size, "no": None}]),
        (outgoing_event("room", {"salt": b"s", "key": b"k"}), ["room", {"salt": b"s", "key": b"k"}]),
    ):
        stock = stock_packet.Packet(2, data=data)
        stock.json = SimpleNamespace(
            dumps=lambda data, separators: json.dumps(data, separators=separators, ensure_ascii=False)
        )
        encoded = stock.encode()
        text, *attachments = encoded if isinstance(encoded, list) else [encoded]
        assert outgoing.default == (f"4{text}", *attachments)
        assert outgoing.default_wire == written_by_aiohttp(*outgoing.default)
        assert outgoing.default_wire is outgoing.default_wire, "made once"
        assert outgoing.default is outgoing.default


def written_by_aiohttp(*messages: str | bytes) -> bytes:
    written: list[bytes] = []
    transport = SimpleNamespace(is_closing=lambda: False, write=written.append)
    protocol = SimpleNamespace(_reading_paused=False, _drain_helper=None)
    writer = WebSocketWriter(protocol, transport, limit=1 << 30)  # type: ignore[arg-type]

    async def write() -> None:
        for message in messages:
            if isinstance(message, str):
                await writer.send_frame(message.encode(), WSMsgType.TEXT)
            else:
                await writer.send_frame(message, WSMsgType.BINARY)

    asyncio.run(write())
    return b"".join(written)


def test_what_is_no_frame_is_left_to_the_library() -> None:
    stock = SocketIOPacket(2, namespace="/", data=["frame", b"abc"]).encode()
    others = (
        b"",
        stock[:-1],
        stock + b"x",
        stock.replace(b"frame", b"fr4me"),
        stock.replace(b"\xc4\x03", b"\xc4\x04"),
        stock.replace(b"\xc4\x03", b"\xa3"),
        SocketIOPacket(2, namespace="/x", data=["frame", b"abc"]).encode(),
        SocketIOPacket(2, namespace="/", data=["frame", b"abc"], id=1).encode(),
        SocketIOPacket(2, namespace="/", data=["frame", "abc"]).encode(),
        SocketIOPacket(2, namespace="/", data=["frame", b"abc", 1]).encode(),
    )
    assert [unwrap_frame(other) for other in others] == [None] * len(others)


# A server that hears, and a client that speaks bytes -----------------------------------------------------------------


class Hearing:
    """An engine that answers every event, and notes what it was told in its order.

    Args:
        fast: Whether a connection's packets take the short way; if not, the libraries handle them like any event.
        events: Whether its events take it too.
    """

    def __init__(self, *, fast: bool, events: bool = False) -> None:
        self.log: list[tuple[str, Any]] = []
        self.engine = Engine(Config())
        self.port = 0
        self._fast = fast
        self._events = events
        self.engine.on("connect", self._connect)
        self.engine.on("frame", self._frame_event)
        self.engine.on("*", self._event)

    async def _connect(self, sid: str, environ: Any, auth: Any = None) -> None:
        if self._fast:
            self.engine.eio.frame_handlers[self.engine.eio_socket(sid).sid] = self.frame
        if self._events:
            transport = environ["aiohttp.request"].transport
            self.engine.eio.event_handlers[self.engine.eio_socket(sid).sid] = functools.partial(self._told, transport)

    def _told(self, transport: asyncio.Transport, number: int | None, event: str, data: Any = None) -> None:
        self.log.append((event, data))
        if number is not None and not transport.is_closing():
            transport.write(outgoing_answer(number, [True, len(data) if event == "frame" else data]).wire)

    def frame(self, packet: bytes) -> None:
        if packet == b"a bug":
            raise ZeroDivisionError(packet)
        self.log.append(("frame", packet))

    async def _frame_event(self, sid: str, packet: Any = None) -> Any:
        self.frame(packet)
        return [True, len(packet)]

    async def _event(self, event: str, sid: str, data: Any = None) -> Any:
        self.log.append((event, data))
        return [True, data]

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[None]:
        app = web.Application()
        self.engine.attach(app)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.port = runner.addresses[0][1]
        yield
        await self.engine.shutdown()
        await runner.cleanup()
        await self.engine.eio.cancel_tasks()


DONE = 9999


def ws_frame(payload: bytes, first: int = 0x82) -> bytes:
    """Return a client's WebSocket frame; its masking key is zero."""
    size = len(payload)
    if size < 126:
        head = bytes((first, 0x80 | size))
    elif size < 1 << 16:
        head = bytes((first, 0xFE)) + size.to_bytes(2, "big")
    else:
        head = bytes((first, 0xFF)) + size.to_bytes(8, "big")
    return head + bytes(4) + payload


def request(event: str, data: Any, number: int | None = None) -> bytes:
    return ws_frame(SocketIOPacket(2, namespace="/", data=[event, data], id=number).encode())


def answer(number: int, data: Any) -> bytes:
    return SocketIOPacket(3, namespace="/", data=[[True, data]], id=number).encode()


class Client:
    """A client that writes its WebSocket frames itself, so that a test says where TCP cuts them."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def __aenter__(self) -> Client:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        key = base64.b64encode(bytes(16)).decode()
        self._writer.write(
            b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
            b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + key.encode() + b"\r\n\r\n"
        )
        await self._reader.readuntil(b"\r\n\r\n")
        assert (await self.receive()).startswith(b"0{")
        self.write(ws_frame(SocketIOPacket(0, namespace="/").encode()))
        assert (await self.receive()).startswith(b"\x83\xa4type\x00")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.transport.abort()

    def write(self, data: bytes) -> None:
        self._writer.write(data)

    async def receive(self) -> bytes:
        """Return the next message of the server; empty when the connection is gone."""
        try:
            head = await self._reader.readexactly(2)
            size = head[1]
            if size > 125:
                size = int.from_bytes(await self._reader.readexactly(2 if size == 126 else 8), "big")
            return await self._reader.readexactly(size) if head[0] != 0x88 else b""
        except (asyncio.IncompleteReadError, OSError):
            return b""

    async def answers(self) -> list[bytes]:
        """Return the server's messages up to the answer to ``done``, or until the connection is gone."""
        messages = []
        while message := await self.receive():
            messages.append(message)
            if message == answer(DONE, "done"):
                break
        return messages

    async def write_in_pieces(self, data: bytes, rng: random.Random) -> None:
        """Write ``data`` cut anywhere, the server's loop turning a few times between."""
        cuts = sorted(rng.choices(range(len(data)), k=rng.randrange(12)))
        for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
            self.write(data[start:end])
            for _ in range(rng.randrange(4)):
                await asyncio.sleep(0)


def benign(rng: random.Random, number: int) -> bytes:
    """Return one message that is no offence."""
    packet = rng.randbytes(rng.choice((0, 1, 30, 120, 600, 70_000, MAX_PACKET_BYTES)))
    message = wrap_frame(packet)
    cut = rng.randrange(len(message))
    fragments = ws_frame(message[:cut], 0x02) + ws_frame(b"between", 0x89) + ws_frame(message[cut:], 0x80)
    return rng.choice(
        (
            ws_frame(message),
            ws_frame(wrap_frame(packet[:500])) * 3,
            fragments,
            request("frame", packet, number),
            request("ask", number, number),
            request("note", number),
            request("frame", "no bytes", number),
            ws_frame(b"ping", 0x89),
            ws_frame(b"3", 0x81),
            ws_frame(b"6", 0x81),
        )
    )


LAST = {
    "request": request("done", "done", DONE),
    "no Socket.IO packet": ws_frame(b"\xc1"),
    "empty": ws_frame(b""),
    "oversized": ws_frame(bytes(MAX_PACKET_BYTES + 5000)),
    "long text": ws_frame(b"4" * 100, 0x81),
    "reserved bits": ws_frame(b"x", 0xF2),
    "goodbye": ws_frame(b"", 0x88),
    "engine.io's goodbye": ws_frame(b"1", 0x81) + ws_frame(b"", 0x88),
}


Told = tuple[list[tuple[str, Any]], dict[str, int], list[bytes], list[bytes]]


async def told(script: bytes, seed: int, *, fast: bool, events: bool = False) -> Told:
    """Return what a server was told by ``script``, what it counted, and its answers: to requests, and to pings.

    Pings are answered by the reading task and requests by the writing task, so one may overtake the other.
    """
    hearing = Hearing(fast=fast, events=events)
    async with hearing.serve(), asyncio.timeout(20):
        async with Client(hearing.port) as client:
            _, answers = await asyncio.gather(client.write_in_pieces(script, random.Random(seed)), client.answers())
        await eventually(lambda: not hearing.engine.eio.sockets)
    pongs = [message for message in answers if message in (b"ping", b"between")]
    return hearing.log, dict(hearing.engine.drops), [message for message in answers if message not in pongs], pongs


@pytest.mark.parametrize("last", LAST)
@pytest.mark.parametrize("events", [False, True])
@pytest.mark.parametrize("seed", range(4))
async def test_the_same_is_told_in_the_same_order_as_by_the_libraries(
    seed: int, events: bool, last: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(f"{seed} {last}")
    script = b"".join(benign(rng, number) for number in range(rng.randrange(5, 40))) + LAST[last]
    # By the way of the libraries nobody is let in.
    monkeypatch.setattr(message_gate, "_EARLY_MESSAGES", 1000)
    stock = await told(script, seed, fast=False)
    handed_over = 0
    take = FastWebSocket._take

    def counted(self: FastWebSocket, message: bytes) -> bool:
        nonlocal handed_over
        handed_over += asyncio.current_task() is None  # not the reading task: the transport's callback
        return take(self, message)

    monkeypatch.setattr(FastWebSocket, "_take", counted)
    fast = await told(script, seed, fast=True, events=events)
    # A connection that is cut may take answers with it that were not written yet.
    assert fast == stock if last == "request" else fast[:2] == stock[:2]
    assert stock[0], "the script says something"
    assert handed_over, "the short way was used"
    assert (stock[0][-1] == ("done", "done")) == (last == "request")
    counts = {"oversized": "oversized", "request": None, "goodbye": None, "engine.io's goodbye": None}
    reason = counts.get(last, "damaged")
    assert stock[1] == ({reason: 1} if reason else {})


async def test_events_past_the_pace_wait_for_their_time() -> None:
    hearing = Hearing(fast=True, events=True)
    hearing.engine.eio.messages = (4.0, 2.0)  # one of the two is the word who it is
    async with hearing.serve(), asyncio.timeout(20), Client(hearing.port) as client:
        client.write(request("one", 1, 1))
        assert await client.receive() == answer(1, 1)
        client.write(request("two", 2, 2))
        gate = next(iter(hearing.engine.eio._gates.values()))
        await eventually(lambda: gate._pace.left < 0)
        assert await client.receive() == answer(2, 2)
    assert hearing.log == [("one", 1), ("two", 2)]


@pytest.mark.parametrize(
    "packet", [SocketIOPacket(2, namespace="/x", data=["one", 1]), SocketIOPacket(3, data=[1], id=1)]
)
async def test_what_is_no_event_of_ours_is_left_to_the_libraries(packet: SocketIOPacket) -> None:
    hearing = Hearing(fast=True, events=True)
    async with hearing.serve(), asyncio.timeout(20), Client(hearing.port) as client:
        client.write(ws_frame(packet.encode()) + request("done", "done", DONE))
        assert await client.answers() == [answer(DONE, "done")]
    assert hearing.log == [("done", "done")]


def test_the_answer_is_that_of_the_library() -> None:
    for given in ([True, 5], [False, {"type": "RoomError"}], None):
        data = [] if given is None else [given]
        assert wrap_answer(7, given) == SocketIOPacket(3, namespace="/", data=data, id=7).encode()


async def test_what_comes_before_the_connection_is_let_in_is_left_to_the_libraries() -> None:
    hearing = Hearing(fast=True)
    async with hearing.serve(), asyncio.timeout(20), Client(hearing.port) as client:
        hearing.engine.eio.frame_handlers.clear()
        client.write(ws_frame(wrap_frame(b"early")) + request("done", "done", DONE))
        await client.answers()
    assert hearing.log == [("frame", b"early"), ("done", "done")]


@pytest.mark.parametrize("queued", [False, True])
async def test_a_handler_that_fails_ends_its_connection_and_says_so(
    queued: bool, caplog: pytest.LogCaptureFixture
) -> None:
    hearing = Hearing(fast=True)
    before = request("note", 1) if queued else b""
    async with hearing.serve(), asyncio.timeout(20), Client(hearing.port) as client, Client(hearing.port) as other:
        with caplog.at_level(logging.ERROR):
            client.write(before + ws_frame(wrap_frame(b"fine")) + ws_frame(wrap_frame(b"a bug")))
            await client.answers()
        other.write(request("done", "done", DONE))
        assert await other.answers() == [answer(DONE, "done")], "other connections go on"
        await eventually(lambda: len(hearing.engine.eio.sockets) == 1)
    assert [record.message for record in caplog.records] == ["handling a packet failed; its connection ends"]
    assert "ZeroDivisionError: b'a bug'" in caplog.text
    assert ("frame", b"fine") in hearing.log
    assert hearing.engine.drops == {}


async def test_a_client_that_floods_is_not_read_faster_than_its_requests_are_handled() -> None:
    """Backpressure is aiohttp's: what the short way does not take counts against its limit."""
    hearing = Hearing(fast=True)
    held = asyncio.Event()

    async def hold(sid: str, data: Any) -> None:
        await held.wait()

    hearing.engine.on("hold", hold)
    async with hearing.serve(), asyncio.timeout(20), Client(hearing.port) as client:
        client.write(request("hold", None) + ws_frame(wrap_frame(bytes(60_000))) * 200)
        protocols = [found["aiohttp.request"].protocol for found in hearing.engine.environ.values()]
        await eventually(lambda: all(protocol._reading_paused for protocol in protocols))
        assert hearing.log == []
        held.set()
        client.write(request("done", "done", DONE))
        await client.answers()
    assert [name for name, _ in hearing.log] == ["frame"] * 200 + ["done"]
