"""The link goes wrong in the ways it says, and only when it is told to."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from benchmarks.chaos.fault_link import FaultLink


@pytest.fixture
async def link() -> AsyncIterator[FaultLink]:
    """A link to a server that says everything again."""

    tasks: set[asyncio.Task[None]] = set()

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with FaultLink(server.sockets[0].getsockname()[1]) as link:
        yield link
    server.close()
    await server.wait_closed()
    if tasks:
        await asyncio.wait(tasks)


Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def connect(link: FaultLink) -> Ends:
    return await asyncio.open_connection("127.0.0.1", int(link.url.rpartition(":")[2]))


async def said(ends: Ends, text: bytes, seconds: float = 5.0) -> bytes:
    ends[1].write(text)
    async with asyncio.timeout(seconds):
        return await ends[0].read(1 << 16)


async def close(*connections: Ends) -> None:
    for _, writer in connections:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def test_what_is_said_comes_through(link: FaultLink) -> None:
    ends = await connect(link)
    assert await said(ends, b"hello") == b"hello"
    assert (link.accepted, link.adverse) == (1, False)
    await close(ends)


async def test_a_cut_is_an_end_and_a_reset_is_an_error(link: FaultLink) -> None:
    first, second = await connect(link), await connect(link)
    assert (await said(first, b"a"), await said(second, b"b")) == (b"a", b"b")
    link.cut()
    assert await first[0].read() == b""
    await close(first, second)
    third = await connect(link)
    assert await said(third, b"c") == b"c"
    link.reset()
    with pytest.raises(ConnectionResetError):
        await third[0].read()
    await close(third)


async def test_whoever_is_refused_is_reset(link: FaultLink) -> None:
    link.refusing = True
    ends = await connect(link)
    with pytest.raises(ConnectionResetError):
        await said(ends, b"a")
    await close(ends)
    assert link.accepted == 0


async def test_a_half_open_connection_swallows_everything_and_stays(link: FaultLink) -> None:
    ends = await connect(link)
    assert await said(ends, b"a") == b"a"
    link.half_open()
    with pytest.raises(TimeoutError):
        await said(ends, b"b", 0.1)
    assert link.adverse
    fresh = await connect(link)
    assert await said(fresh, b"c") == b"c"
    await close(ends, fresh)


async def test_nothing_passes_a_frozen_link_and_all_of_it_later(link: FaultLink) -> None:
    ends = await connect(link)
    link.freeze()
    with pytest.raises(TimeoutError):
        await said(ends, b"a", 0.1)
    link.thaw()
    assert await ends[0].read(10) == b"a"
    await close(ends)


async def test_a_slow_reader_reads_so_much_a_second(link: FaultLink) -> None:
    loop = asyncio.get_running_loop()
    ends = await connect(link)
    link.rate = 10_000
    start, got = loop.time(), 0
    ends[1].write(bytes(3000))
    async with asyncio.timeout(10):
        while got < 3000:
            got += len(await ends[0].read(1 << 16))
    assert loop.time() - start > 0.2
    await close(ends)


async def test_nobody_listens_at_a_link_that_is_shut(link: FaultLink) -> None:
    ends = await connect(link)
    link.shut()
    with pytest.raises(ConnectionRefusedError):
        await connect(link)
    assert await said(ends, b"a") == b"a"
    link.shut()
    link.restore()
    fresh = await connect(link)
    assert await said(fresh, b"b") == b"b"
    await close(ends, fresh)


async def test_nobody_gets_an_answer_out_of_a_black_hole(link: FaultLink) -> None:
    ends = await connect(link)
    assert await said(ends, b"a") == b"a"
    link.blackhole()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await connect(link)
    assert await said(ends, b"b") == b"b"  # what is open stays open
    link.restore()
    fresh = await connect(link)
    assert await said(fresh, b"c") == b"c"
    await close(ends, fresh)
