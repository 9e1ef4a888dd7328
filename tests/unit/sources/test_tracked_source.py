"""Videos and cameras in a process of their own, with a backend that needs no libraries."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import psutil
import pytest

from posewire import clock
from posewire.errors import DataValidationError, PoseError
from posewire.sources import CameraSource, SourceFrame, VideoSource
from tests.unit.sources import fake_backend

PATIENCE = 60.0
"""Seconds that anything may take on a machine that does four other things; reached only by what hangs."""


@pytest.fixture(autouse=True)
async def nothing_left_behind() -> AsyncIterator[None]:
    """Fail a test that leaves a process or a thread."""
    # Those of fixtures that last for the whole session: tests/faults has one, and may run in this process before.
    before = set(psutil.Process().children(recursive=True))
    threads = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - threads:
        # Python 3.11 waits for each process in a thread, which ends soon after the process does.
        thread.join(PATIENCE)
        assert not thread.is_alive(), thread
    assert not set(psutil.Process().children(recursive=True)) - before


def video(name: str, **options: Any) -> VideoSource:
    return VideoSource(name, backend=fake_backend.NAME, **options)


def camera(number: int, **options: Any) -> CameraSource:
    return CameraSource(number, backend=fake_backend.NAME, **options)


def number_of(frame: SourceFrame) -> int:
    assert frame.pose.pose_landmarks is not None
    return int(frame.pose.pose_landmarks[0, 0])


async def test_a_video_to_its_end() -> None:
    source = video("frames=6,fps=100")
    frames = []
    async for frame in source:
        frames.append(frame)
        assert frame.timestamp <= clock.now() + 0.5
    numbers = [number_of(frame) for frame in frames]
    assert numbers == sorted(set(numbers))
    assert len(numbers) + source.skipped == 6
    for frame in frames[1:]:
        passed = frame.timestamp - frames[0].timestamp
        assert passed == pytest.approx((number_of(frame) - numbers[0]) / 100, abs=1e-4)
    assert [frame async for frame in source] == [], "it is over"


async def test_every_frame_comes_however_slow_the_consumer_is() -> None:
    numbers = []
    async with video("frames=200,fps=100", every_frame=True) as source:
        assert source.opened is not None
        assert (source.opened.width, source.opened.fps) == (640, 100.0)
        async for frame in source:
            numbers.append(number_of(frame))
            if len(numbers) % 50 == 0:
                await asyncio.sleep(0.05)
    assert numbers == list(range(200))
    assert source.skipped == 0


async def test_a_slow_consumer_gets_the_newest() -> None:
    async with camera(fake_backend.ENDLESS) as source:
        first = await anext(source)
        await asyncio.sleep(0.3)
        second = await anext(source)
        assert number_of(second) - number_of(first) > 5
        assert source.skipped >= number_of(second) - number_of(first) - 1
        assert clock.now() - second.timestamp < PATIENCE


async def test_what_is_wrong_is_said_and_nothing_stays_open() -> None:
    source = camera(fake_backend.ABSENT)
    with pytest.raises(DataValidationError, match="Invalid camera: 1 - no such camera"):
        async with source:
            pytest.fail("it opened")
    with pytest.raises(StopAsyncIteration):
        await anext(source)


async def test_a_process_that_cannot_be_started_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/no/such/python")
    with pytest.raises(PoseError, match=r"the process of x cannot be started: .*No such file"):
        await anext(video("x"))


async def test_a_crash_in_native_code_ends_the_source_only() -> None:
    source = video("frames=5,fps=1000,crash=1")
    assert number_of(await anext(source)) == 0
    with pytest.raises(PoseError, match="was ended by SIGABRT: the last words"):
        await anext(source)
    with pytest.raises(StopAsyncIteration):
        await anext(source)


async def test_closing_does_not_wait_for_an_inference_that_hangs_whoever_is_cancelled() -> None:
    source = video("frames=5,fps=1000,hang=1")
    assert number_of(await anext(source)) == 0
    cancelled = asyncio.create_task(anext(source))
    await asyncio.sleep(0.05)
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    waiting = asyncio.create_task(anext(source))
    closing = asyncio.create_task(source.aclose())
    await asyncio.sleep(0)
    closing.cancel()  # the kill was sent before its wait began
    with pytest.raises(asyncio.CancelledError):
        await closing
    with pytest.raises(StopAsyncIteration):
        await waiting
    await source.aclose()
    await source.aclose()
    with pytest.raises(RuntimeError, match="opened once"):
        await source.__aenter__()


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 5, 8, 50])
async def test_cancelled_while_it_opens(steps: int) -> None:
    opening = asyncio.create_task(camera(fake_backend.HANGS).__aenter__())
    for _ in range(steps):
        await asyncio.sleep(0.001)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening


async def test_opening_has_a_deadline() -> None:
    with pytest.raises(PoseError, match=r"camera 3 was not open after 0\.2 s"):
        await anext(camera(fake_backend.HANGS, open_timeout=0.2))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: video("x", complexity=3), "complexity: 3 - expected 0, 1 or 2"),
        (lambda: video("x", fps=0), "fps: 0 - expected more than 0"),
        (lambda: video("x", seconds=-1), "seconds: -1 - expected more than 0"),
        (lambda: camera(-1), "camera: -1 - expected a number from 0"),
        (lambda: camera(True), "camera: True - expected a number from 0"),
    ],
)
def test_arguments_that_cannot_be(make: Any, words: str) -> None:
    with pytest.raises(DataValidationError, match=words):
        make()
