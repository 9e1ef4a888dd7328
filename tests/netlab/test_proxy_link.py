"""The link without root: real sockets on loopback, through the proxy."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator

import pytest
from benchmarks.netlab import Link, LinkError, Path, SettingError, open_link, parse_schedule


@contextlib.asynccontextmanager
async def echo_server() -> AsyncIterator[int]:
    tasks: set[asyncio.Task[None]] = set()

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
            writer.write(b"bye")
        except OSError:
            pass
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.create_task(echo(reader, writer), name="echo"))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        if tasks:
            await asyncio.wait(tasks, timeout=10)


@contextlib.asynccontextmanager
async def dial(link: Link, port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    async with asyncio.timeout(20):
        reader, writer = await asyncio.open_connection(link.host, await link.port(port))
        try:
            yield reader, writer
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def test_bytes_pass_unchanged_and_the_end_of_the_stream_too() -> None:
    async with echo_server() as port, open_link(kind="proxy") as link:
        assert (link.kind, link.command) == ("proxy", [])
        assert await link.url(port) == f"http://127.0.0.1:{await link.port(port)}"
        async with dial(link, port) as (reader, writer):
            data = bytes(range(256)) * 400
            writer.write(data)
            writer.write_eof()
            assert await reader.read(-1) == data + b"bye"


async def test_delay_and_rate_hold() -> None:
    async with (
        echo_server() as port,
        open_link(up=Path(rate=800_000, delay=0.03), down=Path(delay=0.02), kind="proxy") as link,
        dial(link, port) as (reader, writer),
    ):
        started = time.monotonic()
        writer.write(b"x")
        await reader.readexactly(1)
        assert 0.05 <= time.monotonic() - started < 1
        started = time.monotonic()
        writer.write(bytes(30_000))
        await reader.readexactly(30_000)
        assert time.monotonic() - started >= 0.05 + 30_000 * 8 / 800_000
        stats = await link.stats()
        assert stats.up.bytes > 30_000 < stats.down.bytes


async def test_an_outage_stops_the_bytes_and_loses_none() -> None:
    async with echo_server() as port, open_link(kind="proxy") as link, dial(link, port) as (reader, writer):
        await link.change(up="outage=on")
        writer.write(b"held")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.readexactly(1), 0.05)
        await link.change(up=Path())
        assert await reader.readexactly(4) == b"held"


async def test_a_schedule_runs() -> None:
    steps = parse_schedule("at 0s both outage=on; at 100ms both outage=off")
    async with echo_server() as port, open_link(schedule=steps, kind="proxy") as link:
        started = time.monotonic()
        async with dial(link, port) as (reader, writer):
            writer.write(b"x")
            await reader.readexactly(1)
            assert time.monotonic() - started >= 0.09


async def test_it_does_not_hide_megabytes() -> None:
    """A sender behind a stopped line is stopped soon, but for its own buffer."""
    async with echo_server() as port, open_link(kind="proxy") as link:
        await link.change(up="outage=on")
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            sock.setblocking(False)
            await asyncio.get_running_loop().sock_connect(sock, (link.host, await link.port(port)))
            taken = 0
            # Until the buffers between are full: no progress over many turns of the loop.
            idle = 0
            while idle < 200:
                try:
                    taken += sock.send(bytes(4096))
                    idle = 0
                except BlockingIOError:
                    idle += 1
                await asyncio.sleep(0)
            assert 0 < taken < 100_000


async def test_a_refused_connection_is_closed() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        async with open_link(kind="proxy") as link, dial(link, port) as (reader, _):
            with contextlib.suppress(ConnectionError):
                assert await reader.read(1) == b""


async def test_it_ends_with_connections_open_and_bytes_under_way() -> None:
    async with echo_server() as port, contextlib.AsyncExitStack() as stack:
        async with open_link(up=Path(delay=100), kind="proxy") as link:
            reader, writer = await stack.enter_async_context(dial(link, port))
            writer.write(b"never")
        with contextlib.suppress(ConnectionError):
            assert await reader.read(1) == b""


async def test_what_cannot_be_is_refused() -> None:
    async with open_link(kind="proxy") as link:
        with pytest.raises(SettingError, match="rate=much"):
            await link.change(up="rate=much")
    with pytest.raises(SettingError, match="kind=wire: expected auto, tun or proxy"):
        async with open_link(kind="wire"):  # type: ignore[arg-type]
            pass


async def test_without_root_a_proxy_takes_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.netlab.link.tun_missing", lambda: "needs root")
    async with open_link() as link:
        assert link.kind == "proxy"
    with pytest.raises(LinkError, match="needs root"):
        async with open_link(kind="tun"):
            pass
