"""A connection to a server that is not ours: python-socketio as it comes, answering as it should not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import socketio
from aiohttp import web

import posewire
from posewire import AuthError, ConnectionError, Event, ResourceLimitError, SocketManager
from posewire.config import ConnectionConfig
from posewire.protocol import Delivery, FrameType, Header, Kind
from posewire.sockets import Lane, login
from posewire.sockets import lane as lane_module
from tests.connect.conftest import changed, eventually
from tests.connect.fault_proxy import FaultProxy

CONFIG = ConnectionConfig(request_timeout=100, connect_timeout=3000)


class Stock:
    """A python-socketio server with the msgpack parser, and what its clients did."""

    def __init__(self) -> None:
        self.sio = socketio.AsyncServer(async_mode="aiohttp", serializer="msgpack", ping_interval=0.02, ping_timeout=60)
        self.answers: dict[str, Any] = {"hello": [True, WELCOME], "heartbeat": [True, 10**15]}
        self.auth: list[Any] = []
        self.acknowledged: list[Any] = []
        self.port = 0
        self.sio.on("connect", self._connect)
        self.sio.on("*", self._answer)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def _connect(self, sid: str, environ: Any, auth: Any) -> None:
        self.auth.append(auth)
        if auth["token"] == "refused":
            raise socketio.exceptions.ConnectionRefusedError("not today")
        if auth["token"] == "full":
            raise socketio.exceptions.ConnectionRefusedError("full", ResourceLimitError("no seat").to_wire())

    def _answer(self, event: str, sid: str, data: Any = None) -> Any:
        return self.answers[event]

    async def emit(self, event: str, data: Any, *, acknowledged: bool = False) -> None:
        (sid,) = (sid for sid, _ in self.sio.manager.get_participants("/", None))
        await self.sio.emit(event, data, to=sid, callback=self.acknowledged.append if acknowledged else None)


WELCOME = {"user_id": "me", "room": None, "role": "member", "publish": True, "subscribe": True, "server": "stock"}


@pytest.fixture
async def stock() -> AsyncIterator[Stock]:
    before = asyncio.all_tasks()
    stock = Stock()
    app = web.Application()
    stock.sio.attach(app)
    app.router.add_post("/login", _login)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    stock.port = runner.addresses[0][1]
    yield stock
    await stock.sio.shutdown()
    await runner.cleanup()
    # Its ping tasks sleep on after their connection is gone; ours do not (`server/engine.py`).
    await eventually(lambda: not asyncio.all_tasks() - before - {asyncio.current_task()})


async def _login(request: web.Request) -> web.Response:
    name = (await request.json())["username"]
    return web.json_response({"oops": 1} if name == "odd" else ["odd"], status=500 if name == "odd" else 200)


class Heard:
    def __init__(self, url: str) -> None:
        self.frames: list[bytes] = []
        self.events: list[tuple[str, Any]] = []
        self.lane = Lane(
            url, CONFIG, on_frame=self.frames.append, on_event=lambda name, data: self.events.append((name, data))
        )


async def test_frames_and_events_of_any_encoding_arrive(stock: Stock) -> None:
    heard = Heard(stock.url)
    await heard.lane.open("token", "session")
    assert heard.lane.id
    await stock.emit("frame", b"as we encode it")
    await stock.emit("frame", b"with an id, which we do not", acknowledged=True)
    await stock.emit("frame", "no bytes")
    await stock.emit("note", {"a": 1})
    await stock.emit("empty", None)
    await eventually(lambda: len(heard.events) == 2)
    assert heard.frames == [b"as we encode it", b"with an id, which we do not"]
    assert heard.events == [("note", {"a": 1}), ("empty", None)]
    assert stock.auth == [{"token": "token", "session": "session"}]
    await heard.lane.close()
    assert heard.lane.closed.is_set()


@pytest.mark.parametrize("answer", [None, 5, [], [True], [None, 1], "yes"])
async def test_answers_that_make_no_sense(stock: Stock, answer: Any) -> None:
    stock.answers["ask"] = answer
    heard = Heard(stock.url)
    await heard.lane.open("token", "session")
    with pytest.raises(ConnectionError, match="the server's answer makes no sense"):
        await heard.lane.request("ask", {})
    await heard.lane.close()


async def test_no_answer(stock: Stock) -> None:
    heard = Heard(stock.url)
    await heard.lane.open("token", "session")
    async with FaultProxy(stock.port) as proxy:
        slow = Heard(proxy.url)
        await slow.lane.open("token", "session")
        proxy.freeze()
        with pytest.raises(ConnectionError, match=r"no answer to 'hello' from http.* within 0\.1 s"):
            await slow.lane.request("hello", {})
        assert slow.lane._replies == set()
        proxy.cut()
        proxy.thaw()
        await slow.lane.closed.wait()
        await slow.lane.close()
    await heard.lane.close()


async def test_refusals_keep_their_words(stock: Stock) -> None:
    with pytest.raises(ConnectionError, match="refused: not today"):
        await Heard(stock.url).lane.open("refused", "session")
    with pytest.raises(ResourceLimitError, match="no seat"):
        await Heard(stock.url).lane.open("full", "session")


async def test_a_closed_lane_refuses_to_send(stock: Stock) -> None:
    heard = Heard(stock.url)
    for _ in range(2):
        with pytest.raises(ConnectionError, match="not connected"):
            heard.lane.write(b"x")
        with pytest.raises(ConnectionError, match="not connected"):
            await heard.lane.request("hello", {})
        await heard.lane.close()
    assert heard.lane.id == ""


async def test_writing_to_a_connection_that_has_just_gone(stock: Stock) -> None:
    heard = Heard(stock.url)
    await heard.lane.open("token", "session")
    assert heard.lane._transport is not None
    heard.lane._transport.abort()
    await asyncio.sleep(0)
    with pytest.raises(ConnectionError, match="not connected"):
        heard.lane.write(b"x")
    await heard.lane.close()


async def test_closing_does_not_wait_for_a_server_that_is_silent(
    stock: Stock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with FaultProxy(stock.port) as proxy:
        heard = Heard(proxy.url)
        await heard.lane.open("token", "session")
        proxy.freeze()
        monkeypatch.setattr(lane_module, "_CLOSE_SECONDS", 0.01)
        with caplog.at_level("INFO"):
            async with asyncio.timeout(10):
                await heard.lane.close()
        assert "did not close in time; cut" in caplog.text
        proxy.cut()
        proxy.thaw()


async def test_damage_of_every_kind_is_counted_and_survived(stock: Stock) -> None:
    config = changed(socket={"url": stock.url})
    async with SocketManager(config, token="token") as socket:
        seen: list[Event] = []
        packets: list[Header] = []
        socket.on("bye", seen.append)
        socket.on("note", seen.append)
        socket.on_packet(Kind.POSE, lambda header, packet: packets.append(header))
        pose = Header(2, Kind.POSE, Delivery.LATEST, FrameType.KEY, 1, 1, 0, 0, 0)
        audio = Header(2, Kind.AUDIO, Delivery.LATEST, FrameType.KEY, 1, 1, 0, 0, 0)
        for packet in (b"", b"short", audio.pack(), pose.pack()):
            await stock.emit("frame", packet)
        await eventually(lambda: packets == [pose])
        assert socket.drops == {"damaged": 2}
        await stock.emit("note", 1)
        await stock.emit("bye", "nonsense")
        await eventually(lambda: len(seen) == 2)
        assert [event.name for event in seen] == ["note", "bye"]
        assert str(socket._pool.loss) == "the server said goodbye: no reason given"
        await stock.emit("bye", {"reason": "thrown out", "retry": False})
        await eventually(lambda: isinstance(socket._pool.loss, AuthError))


async def test_engine_io_packets_that_make_no_sense_are_dropped(stock: Stock) -> None:
    heard = Heard(stock.url)
    await heard.lane.open("token", "session")
    (eio,) = stock.sio.eio.sockets.values()
    assert heard.lane._sio is not None
    client = heard.lane._sio.eio
    for data in ("x", "", "4", b"\xc1"):
        await eio.queue.put(_Raw(data))
    await stock.emit("frame", b"still here")
    await eventually(lambda: heard.frames == [b"still here"])
    assert client.damaged >= 3
    await heard.lane.close()


class _Raw:
    def __init__(self, data: str | bytes) -> None:
        self.data = data

    def encode(self) -> str | bytes:
        return self.data


async def test_logins_answered_oddly(stock: Stock) -> None:
    with pytest.raises(AuthError, match="answered 500"):
        await login(stock.url, "odd", "password", timeout=5)
    with pytest.raises(AuthError, match="answered 200"):
        await login(stock.url, "other", "password", timeout=5)


async def test_where_tokens_come_from(stock: Stock) -> None:
    config = changed(socket={"url": stock.url})
    with pytest.raises(AuthError, match="the token is empty"):
        SocketManager(config, token="")
    with pytest.raises(AuthError, match="the token is empty"):
        SocketManager(config, credentials={"token": ""})
    async with SocketManager(config, credentials={"token": "ready"}):
        assert stock.auth[0]["token"] == "ready"

    def provider() -> str:  # not async, though it should be
        return "plain"

    async with SocketManager(config, token=provider):  # type: ignore[arg-type]
        assert stock.auth[1]["token"] == "plain"


async def test_a_lane_lost_while_it_is_greeted_is_closed(stock: Stock) -> None:
    stock.answers["hello"] = [False, AuthError("me", "go away").to_wire()]
    socket = SocketManager(changed(socket={"url": stock.url}), token="token")
    with pytest.raises(AuthError, match="go away"):
        await socket.connect()
    assert not socket.connected
    stock.answers["hello"] = [True, {"user_id": 5}]
    with pytest.raises(posewire.DataValidationError, match="answer to 'hello'"):
        await socket.connect()
    await socket.disconnect()


async def test_what_is_under_way_is_counted_until_it_is_acknowledged(stock: Stock) -> None:
    credits: list[int] = []
    lane: Lane = Lane(
        stock.url,
        CONFIG,
        on_frame=lambda packet: None,
        on_event=lambda name, data: None,
        on_credit=lambda: credits.append(lane.credit.in_flight),
    )
    stock.answers["frame"] = [True, 0]
    await lane.open("token", "session")
    lane.credited = True
    now = posewire.clock.monotonic()
    assert lane.takes(1 << 20, now), "one packet may always go"
    lane.write(bytes(1000))
    await (await lane.submit("frame", bytes(500)))
    lane.tell("note", {"a": 1})
    await (await lane.submit("hello", {}))
    assert lane.credit.in_flight == 1500, "packets only"
    assert lane.takes(100, now)
    assert not lane.takes(1 << 20, now) or lane.credit.in_flight <= lane.credit.window / 2
    lane.credit.window = 1600
    assert not lane.takes(200, now)
    # More than was sent, nonsense, less than before: nothing but `on_credit` comes of it.
    for data, left in (([700, 0], 800), ([9000, 0], 800), ("nonsense", 800), ([600, 5], 800), ([1500, 1 << 53], 0)):
        await stock.emit("ack", data)
        await stock.emit("note", None)
        await eventually(lambda left=left: lane.credit.in_flight == left)  # type: ignore[misc]
    await eventually(lambda: credits == [800, 800, 800, 0])
    await lane.close()
    with pytest.raises(ConnectionError, match="not connected"):
        lane.tell("note", 1)
    with pytest.raises(ConnectionError, match="not connected"):
        lane.write(b"x")
    assert lane.credit.in_flight == 0


async def test_what_lies_here_has_not_begun_its_way(stock: Stock, monkeypatch: pytest.MonkeyPatch) -> None:
    heard = Heard(stock.url)
    await heard.lane.open("token", "session")
    heard.lane.credited = True
    heard.lane.write(bytes(100))
    now = posewire.clock.monotonic()
    assert heard.lane.takes(100, now)
    monkeypatch.setattr(lane_module, "unsent", lambda descriptor: 4097)
    assert not heard.lane.takes(100, now)
    monkeypatch.setattr(lane_module, "unsent", lambda descriptor: 4096)
    assert heard.lane.takes(100, now)
    heard.lane.confirm_now()
    await heard.lane.close()


async def test_packets_to_a_server_that_does_not_acknowledge_are_not_remembered(stock: Stock) -> None:
    # Once: each was kept for an acknowledgement that never came.
    heard = Heard(stock.url)
    await heard.lane.open("token", "session")
    heard.lane.credited = False
    for _ in range(100):
        heard.lane.write(bytes(10))
    assert (heard.lane.credit.in_flight, len(heard.lane.credit._under_way)) == (0, 0)
    await heard.lane.close()
