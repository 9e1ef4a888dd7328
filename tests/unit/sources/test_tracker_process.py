"""What arrives from the process, without a process: the newest is kept, or the process is made to wait."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from posewire import clock
from posewire.errors import DataValidationError, PoseError, ProtocolError
from posewire.protocol import PoseData, body_v2
from posewire.sources.messages import GO, Ended, Failed, Message, Opened, Seen, framed
from posewire.sources.tracker_process import TrackerProcess


class Pipe:
    def __init__(self) -> None:
        self.written = b""
        self.paused = 0

    def write(self, data: bytes) -> None:
        self.written += data

    def pause_reading(self) -> None:
        self.paused += 1

    def resume_reading(self) -> None:
        self.paused = 0


class Transport(asyncio.SubprocessTransport):
    """Does what it is told, and says that the process is gone when it is killed."""

    def __init__(self, process: TrackerProcess, returncode: int = 0) -> None:
        super().__init__()
        self.pipes = [Pipe(), Pipe(), Pipe()]
        self.killed = 0
        self._process = process
        self._returncode = returncode
        process.connection_made(self)

    def get_pipe_transport(self, fd: int) -> Any:
        return self.pipes[fd]

    def get_returncode(self) -> int:
        return self._returncode

    def kill(self) -> None:
        self.killed += 1
        if self.killed > 1:
            raise ProcessLookupError
        self._process.connection_lost(None)

    def close(self) -> None:
        pass


def pose(number: int) -> PoseData:
    return PoseData(np.full((33, 4), number, dtype=np.float32))


def seen(number: int, skipped: int = 0) -> Seen:
    return Seen(clock.monotonic(), 0.02, skipped, body_v2.encode_pose(pose(number), threshold=None, level=0))


def tell(process: TrackerProcess, *messages: Message) -> None:
    process.pipe_data_received(1, b"".join(framed(message) for message in messages))


async def numbers(process: TrackerProcess, count: int) -> list[float]:
    got = []
    for _ in range(count):
        frame = await process.frame()
        assert frame is not None
        assert frame.pose.pose_landmarks is not None
        got.append(float(frame.pose.pose_landmarks[0, 0]))
    return got


async def test_the_newest_replaces_one_that_nobody_took() -> None:
    process = TrackerProcess()
    transport = Transport(process)
    tell(process, Opened(1, 2, 3.0, 4))
    assert await process.opened() == Opened(1, 2, 3.0, 4)
    assert transport.pipes[0].written == b""
    tell(process, seen(1), seen(2, skipped=5), seen(3, skipped=6))
    assert await numbers(process, 1) == [3]
    assert transport.pipes[0].written == GO
    assert (process.replaced, process.skipped) == (2, 8)
    tell(process, Ended(7))
    assert await process.frame() is None
    assert process.skipped == 9
    assert transport.pipes[0].written == GO, "said once"
    assert transport.pipes[1].paused == 0


async def test_frames_are_stamped_with_the_time_they_were_captured() -> None:
    process = TrackerProcess()
    Transport(process)
    tell(process, seen(1))
    before = clock.now()
    frame = await process.frame()
    assert frame is not None
    assert frame.timestamp == pytest.approx(before, abs=1)
    assert frame.tracking == 0.02
    assert frame.pose == pose(1)


async def test_where_none_may_be_left_out_the_process_waits() -> None:
    process = TrackerProcess(most=2)
    transport = Transport(process)
    tell(process, Opened(1, 2, 3.0, 4), seen(1))
    assert transport.pipes[1].paused == 0
    tell(process, seen(2), seen(3))
    assert transport.pipes[1].paused > 0
    assert await numbers(process, 1) == [1]
    assert transport.pipes[1].paused > 0
    assert await numbers(process, 2) == [2, 3]
    assert transport.pipes[1].paused == 0
    assert process.skipped == 0


async def test_a_failure_is_raised_after_what_came_before_it() -> None:
    process = TrackerProcess()
    Transport(process)
    tell(process, Opened(1, 2, 3.0, 4), seen(1), Failed(DataValidationError("video", "x", "damaged").to_wire()))
    assert await numbers(process, 1) == [1]
    with pytest.raises(DataValidationError, match="Invalid video: x - damaged"):
        await process.frame()


@pytest.mark.parametrize(
    ("code", "words", "message"),
    [
        (-6, b"first\nF0000 the last words\n", "was ended by SIGABRT: F0000 the last words"),
        (1, b"", "ended with code 1: x{200}$"),
        (0, b"\xff", "ended with code 0"),
    ],
)
async def test_a_process_that_dies_says_of_what(code: int, words: bytes, message: str) -> None:
    process = TrackerProcess()
    Transport(process, code)
    process.pipe_data_received(2, b"x" * 5000 + b"\n")
    process.pipe_data_received(2, words)
    process.connection_lost(None)
    with pytest.raises(PoseError, match=message):
        await process.opened()


async def test_garbage_from_the_process_is_an_error() -> None:
    process = TrackerProcess()
    Transport(process)
    process.pipe_data_received(1, b"\xff\xff\xff\xff")
    with pytest.raises(ProtocolError):
        await process.frame()


async def test_waiting_ends_when_it_is_killed() -> None:
    process = TrackerProcess()
    transport = Transport(process)
    tell(process, Opened(1, 2, 3.0, 4))
    waiting = asyncio.create_task(process.frame())
    await asyncio.sleep(0)
    await process.kill(timeout=1)
    assert await waiting is None
    await process.kill(timeout=1)
    assert transport.killed == 2
    early = TrackerProcess()
    opening = asyncio.create_task(early.opened())
    await asyncio.sleep(0)
    await early.kill(timeout=1)
    with pytest.raises(PoseError, match="closed while it was being opened"):
        await opening


@pytest.mark.parametrize("steps", range(4))
async def test_a_wait_cancelled_at_any_step_loses_nothing(steps: int) -> None:
    process = TrackerProcess()
    Transport(process)
    tell(process, Opened(1, 2, 3.0, 4))
    getting = asyncio.create_task(process.frame())
    await asyncio.sleep(0)
    tell(process, seen(7))
    for _ in range(steps):
        await asyncio.sleep(0)
    getting.cancel()
    await asyncio.wait([getting])
    frame = await process.frame() if getting.cancelled() else getting.result()
    assert frame is not None
    assert frame.pose == pose(7)
