"""Long polling: off unless set; and what its requests may be like, from strangers and from members."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import socketio

import posewire
from posewire.limits import MAX_PACKET_BYTES
from posewire.protocol import unpack_header
from posewire.server import poll_desk, visitor
from tests.connect.conftest import CONFIG, changed, eventually, landmarks
from tests.connect.stock import Plain
from tests.connect.test_admission import Raw, drops, gone

PATH = "/socket.io/?EIO=4&transport=polling"


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@contextlib.asynccontextmanager
async def serving(**sections: Any) -> AsyncIterator[posewire.Server]:
    server = {"long_polling": True, **sections.pop("server", {})}
    async with posewire.serve(config=changed(server=server, **sections)) as made:
        yield made


@pytest.fixture
async def server() -> AsyncIterator[posewire.Server]:
    async with serving() as made:
        yield made


class Polling:
    """A client that writes its requests itself."""

    def __init__(self, server: posewire.Server, http: aiohttp.ClientSession) -> None:
        self._server = server
        self._http = http
        self.url = server.url + PATH

    async def open(self) -> None:
        status, text = await self.get()
        assert status == 200, text
        self.url += f"&sid={json.loads(text[1:])['sid']}"

    async def enter(self, name: str) -> None:
        await self.open()
        _, (status, text) = await asyncio.gather(
            self.post("40" + json.dumps({"token": self._server.issue_token(name)})), self.get()
        )
        assert (status, text[:2]) == (200, "40"), text

    async def get(self, **headers: str) -> tuple[int, str]:
        async with asyncio.timeout(20), self._http.get(self.url, headers=headers) as response:
            return response.status, await response.text()

    async def post(self, body: str | bytes) -> tuple[int, str]:
        data = io.BytesIO(body.encode() if isinstance(body, str) else body)
        async with asyncio.timeout(20), self._http.post(self.url, data=data) as response:
            return response.status, await response.text()


async def test_it_is_off_unless_set(http: aiohttp.ClientSession) -> None:
    async with posewire.serve(config=CONFIG) as server:
        for method in ("GET", "POST"):
            for path in (PATH, "/socket.io/?EIO=4", PATH + "&sid=x"):
                async with http.request(method, server.url + path) as response:
                    assert response.status == 400
                    assert "server.long_polling" in (await response.json())["message"]
        async with Plain(transports=("polling",)) as plain:
            with pytest.raises(socketio.exceptions.ConnectionError):
                await plain.enter(server, "plain")


@pytest.mark.parametrize(
    ("path", "method", "status", "words"),
    [
        (PATH + "&sid=nobody", "GET", 400, "no such session"),
        (PATH + "&sid=nobody", "POST", 400, "no such session"),
        (PATH, "POST", 400, "begins with GET"),
        (PATH + "&j=0", "GET", 400, "JSONP"),
        (PATH, "HEAD", 400, ""),
        ("/socket.io/?EIO=4&transport=websocket", "GET", 400, "not a request for a WebSocket"),
        ("/socket.io/?EIO=4&transport=websocket", "POST", 400, "not a request for a WebSocket"),
        ("/socket.io/?EIO=3&transport=polling", "GET", 400, "unsupported version"),
        ("/socket.io/?EIO=4&transport=carrier-pigeon", "GET", 400, "not a request"),
    ],
)
async def test_requests_that_make_no_session(
    server: posewire.Server, http: aiohttp.ClientSession, path: str, method: str, status: int, words: str
) -> None:
    async with http.request(method, server.url + path) as response:
        assert response.status == status
        assert words in await response.text()


async def test_sessions_that_do_not_say_who_they_are_end(http: aiohttp.ClientSession) -> None:
    async with serving(socket={"connect_timeout": 100}) as server:
        stranger = Polling(server, http)
        await stranger.open()
        assert server._engine is not None
        assert len(server._engine.eio.sockets) == 1
        with contextlib.suppress(aiohttp.ClientError):  # its connection is cut, or the session is over first
            assert (await stranger.get())[0] != 404
        await eventually(lambda: server._engine is not None and not server._engine.eio.sockets)
        await eventually(lambda: drops(server, "handshake_timeout") >= 1)


async def test_a_member_may_wait_longer_than_a_stranger(http: aiohttp.ClientSession) -> None:
    async with serving(socket={"connect_timeout": 300}) as server:
        member = Polling(server, http)
        await member.enter("patient")
        asking = asyncio.create_task(member.get(), name="asking")
        loop = asyncio.get_running_loop()
        start = loop.time()
        await eventually(lambda: loop.time() > start + 0.6)
        assert not asking.done()
        assert (await member.post('427["heartbeat",{}]'))[0] == 200
        assert (await asking)[1].startswith("437[[true,")
        assert server.stats().drops == {}


async def test_a_crowd_of_sessions_that_do_not_say_who_they_are(http: aiohttp.ClientSession) -> None:
    async with serving(admission={"strangers": 5}) as server:
        member = Polling(server, http)
        await member.enter("honest")
        for _ in range(30):
            await Polling(server, http).open()
        assert server._engine is not None
        assert len(server._engine.eio.sockets) <= 7
        assert drops(server, "too_many_strangers") >= 25
        assert await asyncio.gather(member.post('420["heartbeat",{}]'), member.get())
        assert server.stats().connections == 1


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        ("", 400, "damaged"),
        ("x", 400, "damaged"),
        ("b===", 400, "damaged"),
        ("bAAAA", 400, "damaged"),
        (b"\xff\xfe", 400, "damaged"),
        ("42" + "[" * 10_000, 400, "damaged"),
        ('451-["frame",{"_placeholder":true,"num":0}]\x1e42["x"]', 400, "damaged"),
        ("3\x1e" * 2000 + "3", 400, "damaged"),
        ("b" + "A" * (2 * MAX_PACKET_BYTES), 413, "oversized"),
        ("5", 200, None),
        ("42[5]", 200, "damaged"),
    ],
    ids=lambda value: repr(value)[:20],
)
async def test_bodies_that_end_their_session(
    server: posewire.Server, http: aiohttp.ClientSession, body: str | bytes, status: int, reason: str | None
) -> None:
    member = Polling(server, http)
    await member.enter("greedy")
    got = await member.post(body)
    assert got[0] == status, got
    if reason is not None:
        await eventually(lambda: server.stats().connections == 0)
        assert drops(server, reason) == 1
        assert (await member.get())[0] == 400


@pytest.mark.parametrize("headers", [{}, {"Upgrade": "websocket"}, {"Connection": "upgrade"}])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_the_name_of_the_other_transport_is_no_way_around(
    server: posewire.Server, http: aiohttp.ClientSession, method: str, headers: dict[str, str]
) -> None:
    """By that name the library would take any body, of any number of packets, and look at none."""
    member = Polling(server, http)
    await member.enter("greedy")
    url = member.url.replace("=polling", "=websocket")
    async with http.request(method, url, headers=headers, data=b"42[5]" if method == "POST" else None) as response:
        assert response.status == 400
        assert "not a request for a WebSocket" in await response.text()
    assert server.stats().connections == 1
    assert server.stats().drops == {}


async def test_a_session_with_an_upgrade_it_does_not_mean_is_counted(http: aiohttp.ClientSession) -> None:
    async with serving(admission={"strangers": 5}) as server:
        for _ in range(30):
            assert (await Polling(server, http).get(Upgrade="websocket", Connection="upgrade"))[0] == 200
        assert server._engine is not None
        assert len(server._engine.eio.sockets) <= 6


@pytest.mark.parametrize("probe", ["2probe", "2nonsense", None])
async def test_a_websocket_that_does_not_come_about(
    server: posewire.Server, http: aiohttp.ClientSession, probe: str | None
) -> None:
    """The session goes on as it was: what waited meanwhile is not lost."""
    member = Polling(server, http)
    await member.enter("patient")
    ws = await http.ws_connect(member.url.replace("=polling", "=websocket"))
    assert server._engine is not None
    (socket,) = server._engine.eio.sockets.values()
    await eventually(lambda: bool(socket.upgrading))
    if probe is not None:
        await ws.send_str(probe)
    if probe == "2probe":
        assert (await ws.receive()).data == "3probe"
        assert await member.get() == (200, "6")
    await ws.close()
    await eventually(lambda: not socket.upgrading)
    await member.post('427["heartbeat",{}]')
    status, answer = await member.get()
    while "437[" not in answer:  # a packet for the other end of the move may be left
        status, answer = await member.get()
    assert status == 200
    assert server.stats().connections == 1


async def test_a_body_that_does_not_come(
    server: posewire.Server, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(poll_desk, "_BODY_SECONDS", 0.1)
    monkeypatch.setattr(visitor, "_LINGER_SECONDS", 0.01)  # in which aiohttp would wait for the rest
    member = Polling(server, http)
    await member.enter("slow")

    async def drip() -> AsyncIterator[bytes]:
        yield b"3"
        await eventually(lambda: server.stats().connections == 0)

    with contextlib.suppress(aiohttp.ClientError):
        async with http.post(member.url, data=drip()) as response:
            assert response.status == 400
            assert "takes more than 0.1 s" in await response.text()
    assert drops(server, "damaged") == 1
    assert server._runner is not None
    assert server._runner.server is not None
    connections = server._runner.server
    await eventually(lambda: len(connections.connections) <= 1)  # that of the GET may stay


@pytest.mark.parametrize(
    ("head", "answered"),
    [
        (b"Content-Length: 100\r\n\r\n3", False),
        (b"Content-Encoding: deflate\r\nContent-Length: 9\r\n\r\nnodeflate", True),
    ],
)
async def test_a_body_that_is_cut_off_or_damaged(server: posewire.Server, head: bytes, answered: bool) -> None:
    async with aiohttp.ClientSession() as http:
        member = Polling(server, http)
        await member.enter("gone")
    async with Raw(server) as raw:
        path = member.url.removeprefix(server.url)
        raw.writer.write(f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n".encode() + head)
        if answered:
            assert (await gone(raw.reader))[9:12] == b"400"
        else:
            assert server._engine is not None
            assert server._engine.eio.polls is not None
            (session,) = server._engine.eio.polls.sessions.values()
            await eventually(lambda: "POST" in session.requests)
    await eventually(lambda: server.stats().connections == 0)
    assert drops(server, "damaged") == answered


async def test_messages_past_the_pace_are_taken_slowly(http: aiohttp.ClientSession) -> None:
    async with serving(admission={"member_requests": 50, "member_frames": 50, "burst": 0.1}) as server:
        member = Polling(server, http)
        await member.enter("chatty")
        loop = asyncio.get_running_loop()
        start = loop.time()
        assert (await member.post("\x1e".join("3" * 40)))[0] == 200
        assert loop.time() - start > 0.2  # 30 of them over the burst, at a hundred a second


async def test_two_requests_at_once_end_their_session(server: posewire.Server, http: aiohttp.ClientSession) -> None:
    member = Polling(server, http)
    await member.enter("greedy")
    answers = await asyncio.gather(member.get(), member.get())
    assert sorted(status for status, _ in answers) == [200, 400]
    await eventually(lambda: server.stats().connections == 0)


async def test_who_asks_and_does_not_listen_is_given_up(http: aiohttp.ClientSession) -> None:
    async with serving() as server:
        member = Polling(server, http)
        await member.enter("deaf")
        for _ in range(40):
            status, _ = await member.post("\x1e".join('420["room.list",{}]' for _ in range(10)))
            if status != 200:
                break
        await eventually(lambda: server.stats().connections == 0)
        assert drops(server, "cut_too_slow") == 1


async def test_frames_wait_as_for_anybody_slow(http: aiohttp.ClientSession) -> None:
    """Not a queue of all that was sent: the newest that can be read, when the client asks."""
    async with (
        serving() as server,
        posewire.connect(server.url, token=server.issue_token("alice"), room="studio", config=CONFIG) as alice,
    ):
        member = Polling(server, http)
        await member.enter("slow")
        await asyncio.gather(member.post('420["room.join",{"room":"studio"}]'), member.get())
        for seed in range(31):
            await alice.send_pose(landmarks(seed))
            await eventually(lambda sent=seed + 1: server.stats().frames_in == sent)  # type: ignore[misc]
        _, got = await member.get()
        packets = [base64.b64decode(each[1:]) for each in got.split("\x1e") if each[0] == "b"]
        assert got.count('451-["frame"') == len(packets) < 12
        assert unpack_header(packets[-1]).seq == 30
        assert server.stats().drops["replaced"] >= 20


async def test_a_server_that_stops_says_goodbye(http: aiohttp.ClientSession) -> None:
    async with serving() as server:
        member = Polling(server, http)
        await member.enter("plain")
        asking = asyncio.create_task(member.get())
        assert server._engine is not None
        assert server._engine.eio.polls is not None
        (session,) = server._engine.eio.polls.sessions.values()
        await eventually(lambda: bool(session.requests))
        await server.aclose("lunch")
        assert "lunch" in (await asking)[1]


@pytest.mark.parametrize("headers", [{"Origin": "https://evil.example"}, {"Host": "evil.example"}])
async def test_pages_of_others_are_refused(
    server: posewire.Server, http: aiohttp.ClientSession, headers: dict[str, str]
) -> None:
    assert (await Polling(server, http).get(**headers))[0] == 403


async def test_members_keep_their_connection_and_strangers_do_not(
    server: posewire.Server, http: aiohttp.ClientSession
) -> None:
    member = Polling(server, http)
    async with http.get(member.url) as response:
        assert response.headers["Connection"] == "close"
    await member.enter("plain")
    async with http.post(member.url, data="3") as response:
        assert "Connection" not in response.headers
