"""The door on its own: where it listens, whose turn it is, and the private name of aiohttp that it needs."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import Counter
from typing import Any

import pytest
from aiohttp import web
from aiohttp.base_protocol import BaseProtocol

from posewire.config import AdmissionConfig
from posewire.server import door as module
from posewire.server.admission import Admission
from posewire.server.door import Door
from tests.connect.conftest import eventually


def make(**settings: Any) -> Door:
    config = AdmissionConfig(**settings)
    admission = Admission(config, most_connections=10)
    return Door(admission, strangers=config.strangers, seconds=10.0, drops=Counter())


async def hello(request: web.BaseRequest) -> web.Response:
    return web.Response(text="hello")


@contextlib.asynccontextmanager
async def opened(door: Door, host: str = "127.0.0.1", port: int = 0) -> Any:
    runner = web.ServerRunner(web.Server(hello), shutdown_timeout=0.1)
    await runner.setup()
    assert runner.server is not None
    try:
        yield await door.open(runner.server, host, port)
    finally:
        await door.close()
        await runner.cleanup()


def test_the_name_of_aiohttp() -> None:
    assert "_reading_paused" in BaseProtocol.__slots__


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_every_address_of_a_name_is_listened_on(host: str) -> None:
    async with opened(make(), host) as port:
        for *_, address in await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM):
            try:
                reader, writer = await asyncio.open_connection(*address[:2])
            except OSError:
                assert ":" in str(address[0]), "a machine may have no IPv6, though its names do"
                continue
            writer.write(b"GET / HTTP/1.0\r\n\r\n")
            assert (await reader.read()).endswith(b"hello")
            writer.close()
            await writer.wait_closed()


async def test_a_port_in_use_and_an_address_of_others() -> None:
    async with opened(make()) as port:
        other = make()
        with pytest.raises(OSError, match="in use"):
            async with opened(other, port=port):
                pass
    with pytest.raises(OSError, match="assign"):
        async with opened(make(), "192.0.2.1"):
            pass
    await other.close()  # idempotent


async def test_when_there_are_no_descriptors_left_it_goes_on_later(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "_NO_MORE_FILES_SECONDS", 0.0)
    loop = asyncio.get_running_loop()
    accept, failures = loop.sock_accept, iter(range(3))

    async def fails_at_first(listener: socket.socket) -> Any:
        if next(failures, None) is not None:
            raise OSError(24, "Too many open files")
        return await accept(listener)

    monkeypatch.setattr(loop, "sock_accept", fails_at_first)
    async with opened(make()) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        assert (await reader.read()).endswith(b"hello")
        writer.close()
        await writer.wait_closed()
    assert [record.message for record in caplog.records if "Too many open files" in record.message]


async def test_the_one_that_goes_is_the_oldest_of_the_address_that_has_most() -> None:
    door = make(strangers=3)
    async with opened(door) as port:
        writers = []
        for host in ("127.0.0.2", "127.0.0.3", "127.0.0.3", "127.0.0.3"):
            pair = await asyncio.open_connection("127.0.0.1", port, local_addr=(host, 0))
            writers.append(pair)
            await eventually(lambda: len(writers) == door.strangers or len(writers) == 4)
        reader, _ = writers[1]
        async with asyncio.timeout(10):
            with contextlib.suppress(ConnectionError):
                assert not await reader.read()
        assert {key: len(found) for key, found in door._strangers.items()} == {"127.0.0.2": 1, "127.0.0.3": 2}
        for _, writer in writers:
            writer.transport.abort()
        await eventually(lambda: door.strangers == 0)


async def test_one_stranger_goes_on_in_a_turn_of_the_loop() -> None:
    """However many have sent something at once, members get theirs between."""
    door, log = make(), []

    class Someone:
        def go_on(self) -> None:
            log.append("stranger")

    for _ in range(5):
        door.wait_in_line(Someone())  # type: ignore[arg-type]
    for _ in range(5):
        await asyncio.sleep(0)
        log.append("member")
    assert log[:9:2] == ["stranger"] * 5
    assert log[1::2] == ["member"] * 5
