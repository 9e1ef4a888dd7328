"""Packets handed over in the transport's callback: the names it needs, and the libraries' own way as its oracle."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import logging
import os
import random
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMessage, WSMsgType
from aiohttp._websocket.reader import WebSocketDataQueue
from aiohttp.base_protocol import BaseProtocol

from posewire.config import ConnectionConfig
from posewire.limits import MAX_PACKET_BYTES
from posewire.protocol import SocketIOPacket, wrap_frame
from posewire.sockets import Lane
from posewire.sockets import lane as lane_module
from posewire.sockets.frame_queue import FrameQueue, read_from_callback, set_take
from posewire.sockets.socketio_client import Engine
from tests.connect.conftest import eventually


def test_names_of_aiohttp() -> None:
    assert "WebSocketDataQueue" in aiohttp.ClientSession._ws_connect.__code__.co_names
    assert vars(aiohttp.client)["WebSocketDataQueue"] is WebSocketDataQueue, "aiohttp's own is not changed"
    assert issubclass(FrameQueue, WebSocketDataQueue)


async def test_binary_messages_are_taken_only_while_the_reader_waits_with_nothing_queued() -> None:
    loop = asyncio.get_running_loop()
    queue = FrameQueue(BaseProtocol(loop), 1000, loop=loop)
    taken: list[bytes] = []

    def take(message: bytes) -> bool:
        taken.append(message)
        return message != b"declined"

    def feed(data: bytes | str) -> None:
        kind = WSMsgType.TEXT if isinstance(data, str) else WSMsgType.BINARY
        queue.feed_data(WSMessage(kind, data, ""), len(data))

    queue.take = take
    feed(b"nobody waits")
    assert taken == []
    assert (await queue.read()).data == b"nobody waits"
    reading = asyncio.create_task(queue.read())
    await asyncio.sleep(0)
    for data in (b"1", b"2", "text", b"after the text"):
        feed(data)
    assert taken == [b"1", b"2"]
    assert (await reading).data == "text"
    feed(b"while the text is handled")
    reading = asyncio.create_task(queue.read())
    await asyncio.sleep(0)
    assert [(await reading).data, (await queue.read()).data] == [b"after the text", b"while the text is handled"]
    assert taken == [b"1", b"2"]
    reading = asyncio.create_task(queue.read())
    await asyncio.sleep(0)
    feed(b"declined")
    feed(b"after it")
    assert [(await reading).data, (await queue.read()).data] == [b"declined", b"after it"]
    reading = asyncio.create_task(queue.read())
    await asyncio.sleep(0)
    reading.cancel()
    await asyncio.wait([reading])
    feed(b"whose reader was cancelled")
    assert (await queue.read()).data == b"whose reader was cancelled"
    assert taken == [b"1", b"2", b"declined"]


def test_the_reader_in_pure_python_does_the_same() -> None:
    if "AIOHTTP_NO_EXTENSIONS" in os.environ:
        pytest.skip("this is the run in pure Python")
    environ = {**os.environ, "AIOHTTP_NO_EXTENSIONS": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
    done = subprocess.run(command, env=environ, cwd=Path(__file__).parents[3], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


# A server that writes bytes, and a lane ------------------------------------------------------------------------------

DONE = "done"
OPEN = b'0{"sid":"e","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}'


def ws_frame(payload: bytes, first: int = 0x82) -> bytes:
    """Return a server's WebSocket frame."""
    size = len(payload)
    if size < 126:
        return bytes((first, size)) + payload
    if size < 1 << 16:
        return bytes((first, 126)) + size.to_bytes(2, "big") + payload
    return bytes((first, 127)) + size.to_bytes(8, "big") + payload


def event(name: str, data: Any, number: int | None = None) -> bytes:
    return ws_frame(SocketIOPacket(2, namespace="/", data=[name, data], id=number).encode())


@asynccontextmanager
async def told(script: bytes, rng: random.Random, *, at_once: bool = False) -> AsyncIterator[str]:
    """Serve one client: shake hands, then write ``script`` cut anywhere. Yields the URL.

    ``at_once``: without waiting for the client, so that messages come before anybody reads them.
    """

    served = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        key = next(line for line in request.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key"))[19:]
        accept = hashlib.sha1(key.strip() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
        hello = b"HTTP/1.1 101 Hi\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: "
        hello += base64.b64encode(accept) + b"\r\n\r\n" + ws_frame(OPEN, 0x81)
        hello += ws_frame(SocketIOPacket(0, namespace="/", data={"sid": "s"}).encode())
        if not at_once:
            writer.write(hello)
            await reader.read(1)  # the client is there, and waits for what comes
        data = hello + script if at_once else script
        cuts = sorted(rng.choices(range(len(data)), k=rng.randrange(16)))
        # What the client does not want to hear to its end; uvloop says so in a RuntimeError.
        with contextlib.suppress(OSError, RuntimeError):
            for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
                writer.write(data[start:end])
                for _ in range(rng.randrange(4)):
                    await asyncio.sleep(0)
            await reader.read()
        writer.transport.abort()
        served.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    await served.wait()
    server.close()
    await server.wait_closed()


def benign(rng: random.Random, number: int) -> bytes:
    """Return one message that is no offence, or one that is dropped alone."""
    packet = rng.randbytes(rng.choice((0, 1, 30, 120, 600, 70_000, MAX_PACKET_BYTES)))
    message = wrap_frame(packet)
    cut = rng.randrange(len(message))
    fragments = ws_frame(message[:cut], 0x02) + ws_frame(b"between", 0x89) + ws_frame(message[cut:], 0x80)
    return rng.choice(
        (
            ws_frame(message),
            ws_frame(wrap_frame(packet[:500])) * 3,
            fragments,
            event("frame", packet, number),
            event("note", number),
            event("frame", "no bytes"),
            ws_frame(b"ping", 0x89),
            ws_frame(b"2", 0x81),
            ws_frame(b"nonsense", 0x81),
            ws_frame(b"\xc1"),
        )
    )


LAST = {
    "request": event(DONE, None),
    "oversized": ws_frame(bytes(MAX_PACKET_BYTES + 5000)),
    "reserved bits": ws_frame(b"x", 0xF2),
    "goodbye": ws_frame(b"", 0x88),
    "engine.io's goodbye": ws_frame(b"1", 0x81),
}


async def heard(script: bytes, seed: str, last: str) -> tuple[list[tuple[str, Any]], int]:
    """Return what a lane hears of ``script``, and how many messages it drops."""
    log: list[tuple[str, Any]] = []
    rng = random.Random(seed)
    async with told(script, rng, at_once=rng.random() < 0.3) as url, asyncio.timeout(20):
        config = ConnectionConfig(connect_timeout=10_000)
        lane = Lane(
            url,
            config,
            on_frame=lambda packet: log.append(("frame", packet)),
            on_event=lambda name, data: log.append((name, data)),
        )
        await lane.open("token", "session")
        assert lane._sio is not None
        engine = lane._sio.eio
        if last == "request":
            await eventually(lambda: bool(log) and log[-1][0] == DONE)
        else:
            await lane.closed.wait()
        await lane.close()
    return log, engine.damaged


@pytest.fixture(autouse=True)
def no_long_goodbyes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The servers here answer none."""
    monkeypatch.setattr(lane_module, "_CLOSE_SECONDS", 0.01)


@pytest.mark.parametrize("last", LAST)
@pytest.mark.parametrize("seed", range(4))
async def test_a_lane_hears_the_same_as_by_the_libraries(seed: int, last: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(f"{seed} {last}")
    script = ws_frame(wrap_frame(b"first")) + event("note", 0)
    script += b"".join(benign(rng, number) for number in range(rng.randrange(5, 40))) + LAST[last]
    take = Engine._take
    handed_over = 0

    def counted(self: Engine, message: bytes) -> bool:
        nonlocal handed_over
        handed_over += asyncio.current_task() is None  # not the reading task: the transport's callback
        return take(self, message)

    monkeypatch.setattr(Engine, "_take", lambda self, message: False)
    stock = await heard(script, f"{seed}", last)
    monkeypatch.setattr(Engine, "_take", counted)
    assert await heard(script, f"{seed}", last) == stock
    assert handed_over or random.Random(f"{seed}").random() < 0.3, "the short way was used"
    assert stock[0], "the script says something"


@pytest.mark.parametrize("queued", [False, True])
async def test_a_bug_in_a_handler_ends_the_connection_and_is_logged(
    queued: bool, caplog: pytest.LogCaptureFixture
) -> None:
    script = event("note", 1) if queued else b""
    script += ws_frame(wrap_frame(b"1")) + ws_frame(wrap_frame(b"")) + ws_frame(wrap_frame(b"2"))
    seen: list[int] = []
    async with told(script, random.Random(0)) as url, asyncio.timeout(20):
        lane = Lane(
            url, ConnectionConfig(), on_frame=lambda packet: seen.append(1 // len(packet)), on_event=lambda *_: None
        )
        with caplog.at_level(logging.ERROR):
            await lane.open("token", "session")
            await lane.closed.wait()
            await lane.close()
    assert seen == [1], "nothing is handled after the bug"
    assert "posewire.lane_read_loop failed" in caplog.text
    assert "ZeroDivisionError" in caplog.text


async def test_other_sessions_and_other_websockets_are_left_alone() -> None:
    async with aiohttp.ClientSession() as ours, aiohttp.ClientSession() as theirs:
        read_from_callback(ours)
        assert ours._ws_connect.__func__ is not theirs._ws_connect.__func__  # type: ignore[attr-defined]
        assert theirs._ws_connect.__func__ is aiohttp.ClientSession._ws_connect  # type: ignore[attr-defined]
    set_take(object(), None)
