"""A loop over frames never lags, loses nothing to cancellation, and gets what waits before it ends."""

from __future__ import annotations

import asyncio

import pytest

from posewire.errors import ConnectionError
from posewire.monitor import StreamStats
from posewire.receiver.received import Received
from posewire.receiver.subscription import Subscription


def received(seq: int) -> Received:
    return Received(
        user_id="alice",
        kind="pose",
        stream="body",
        seq=seq,
        timestamp=0.0,
        size=10,
        arrived=0.0,
        stats=StreamStats("alice", "body"),
        pose=None,
        audio=None,
    )


def subscription(size: int = 8) -> Subscription:
    return Subscription("pose", None, None, size=size)


async def test_the_oldest_frame_goes_and_is_counted() -> None:
    frames = subscription(size=3)
    for seq in range(5):
        frames.put(received(seq))
    assert frames.dropped == 2
    frames.end()
    assert [frame.seq async for frame in frames] == [2, 3, 4], "what waits is delivered before the end"


async def test_a_cancelled_wait_loses_nothing() -> None:
    frames = subscription()
    for seq in range(3):
        waiting = asyncio.ensure_future(anext(frames))
        await asyncio.sleep(0)
        frames.put(received(seq))
        waiting.cancel()  # woken and cancelled in one turn of the loop
        await asyncio.wait([waiting])
        assert waiting.cancelled()
        assert (await anext(frames)).seq == seq
    for _ in range(100):
        waiting = asyncio.ensure_future(anext(frames))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
    assert frames._readers == [], "waits that were given up are forgotten"


async def test_a_frame_goes_to_another_reader_when_the_one_that_was_woken_is_cancelled() -> None:
    frames = subscription()
    first, second = (asyncio.ensure_future(anext(frames)) for _ in range(2))
    await asyncio.sleep(0)
    frames.put(received(7))
    first.cancel()
    async with asyncio.timeout(5):
        assert (await second).seq == 7
    await asyncio.wait([first])


async def test_readers_that_wait_are_told_of_the_end() -> None:
    ends: list[str] = []
    frames = Subscription("pose", None, None, size=1, ended=lambda: ends.append("ended"))
    waiting = [asyncio.ensure_future(anext(frames)) for _ in range(2)]
    await asyncio.sleep(0)
    frames.end(lambda: ConnectionError("gone"))
    frames.end()
    await asyncio.wait(waiting)
    assert [str(done.exception()) for done in waiting] == [str(ConnectionError("gone"))] * 2
    assert ends == ["ended"]
    with pytest.raises(ConnectionError):
        await anext(frames)


async def test_closing_forgets_what_waits() -> None:
    frames = subscription()
    frames.put(received(1))
    await frames.aclose()
    assert [frame async for frame in frames] == []
    assert not frames.wants("pose", "alice", "body")
