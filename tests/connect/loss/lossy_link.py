"""A publisher, a watcher, and a clock and losses that a test is master of."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import numpy as np
import pytest

import posewire
from posewire import PoseData
from posewire.protocol import Header, Kind, control
from tests.connect.conftest import eventually, next_frame
from tests.half_step import HALF_STEPS, assert_within

FRAME = 1 / 32
"""Seconds between frames; sums of it are exact.

A keyframe that is asked for comes with the next frame, but not until 7 frames (0.2 s) after the last one that was asked
for. The watcher asks again after 8 frames (0.25 s); after 2 (0.05 s) at a frame whose reference is newer than the frame
it asked at. The server tells the publisher of all questions that are a frame apart.
"""

KEYS = pytest.mark.parametrize("key", [None, bytes(range(32))], ids=["mac", "aead"])

Join = Callable[..., contextlib.AbstractAsyncContextManager[posewire.Session]]
Linked = Callable[..., contextlib.AbstractAsyncContextManager["Link"]]


class Time:
    """The clocks of everybody in this process; they stand still until somebody says otherwise."""

    def __init__(self) -> None:
        self.passed = 0.0

    def monotonic(self) -> float:
        return 1000.0 + self.passed

    def now(self) -> float:
        return 1_700_000_000.0 + self.passed


def moving(seed: int = 0) -> Iterator[PoseData]:
    """Yield a pose that moves a little and lies on no step; somebody's hand comes and goes."""
    rng = np.random.default_rng(seed)
    points = rng.random((33, 4))
    for number in itertools.count():
        points[:, :3] += rng.normal(0, 0.01, (33, 3))
        pose = points.astype(np.float32)
        pose[number % 33, :3] = np.nan
        yield PoseData(pose)


def never(header: Header) -> bool:
    return False


def numbered(*seqs: int) -> Callable[[Header], bool]:
    """Return what loses the frames of these numbers, each once."""
    left = set(seqs)

    def lose(header: Header) -> bool:
        if header.seq not in left:
            return False
        left.remove(header.seq)
        return True

    return lose


class Link:
    """A publisher, a watcher, and loss between: in front of the watcher's receiver.

    Attributes:
        lose: Says which frames do not come.
        frame: Seconds between frames.
        late: Frames that come while a question is on its way to the server.
        headers: Of all frames on their way, lost or not.
        asked: Questions for a keyframe that the watcher asked.
        told: Those that the publisher heard of.
    """

    def __init__(self, time: Time, publisher: posewire.Session, watcher: posewire.Session, *, seed: int = 0) -> None:
        self.lose: Callable[[Header], bool] = never
        self.frame = FRAME
        self.late = 0
        self.headers: list[Header] = []
        self.asked = self.told = 0
        self.half_steps: Any = HALF_STEPS
        self.frames: posewire.Subscription | None = None
        self.publisher = publisher
        self.watcher = watcher
        self.request = watcher.socket.request
        self._came = asyncio.Event()
        self._lost = False
        self._on_their_way: list[int] = []
        """When each question that is not answered reaches the server: after so many frames."""
        self._time = time
        self._poses = moving(seed)
        self._take = watcher.socket._inbound.packet_handlers[Kind.POSE]
        watcher.socket.on_packet(Kind.POSE, self._door)
        watcher.socket.request = self._noted  # type: ignore[method-assign]
        publisher.on("keyframe", self._heard)
        # What comes of reports is tested elsewhere; here the publisher is to send on, whatever is lost.
        watcher.receiver._reporter.observe = lambda stats, now: None  # type: ignore[method-assign]

    def watch(self) -> None:
        self.frames = self.watcher.frames()

    @property
    def unread(self) -> int:
        return self.watcher.receiver.drops["missing_reference"]

    async def send(self, count: int, *, stream: str = "pose") -> str:
        """Send frames, one after the other, and let every question that one gives rise to reach the publisher.

        Returns:
            A letter for each frame. ``K``, ``A``, ``L``: shown, and a keyframe, an anchor, a leaf. Small: lost.
            ``?``: its reference had not come. ``-``: nobody watched.
        """
        return "".join([await self._send(stream) for _ in range(count)])

    async def _send(self, stream: str) -> str:
        self._time.passed += self.frame
        pose = next(self._poses)
        unread, waiting = self.unread, bool(self._on_their_way)
        self._came.clear()
        assert await self.publisher.send_pose(pose, stream=stream)
        async with asyncio.timeout(10):
            await self._came.wait()
        header = self.headers[-1]
        if self.unread > unread or waiting:
            await eventually(self._questions_settled)
            # What the server told the publisher comes before this answer.
            await self.publisher.rooms.list_rooms()
        letter = header.frame_type.name[0]
        if self._lost:
            return letter.lower()
        if self.frames is None:
            return "-"
        if self.unread > unread:
            return "?"
        frame = await next_frame(self.frames)
        assert (frame.seq, frame.stream) == (header.seq, stream)
        assert frame.pose is not None
        assert_within(frame.pose, pose, self.half_steps)
        return letter

    def _questions_settled(self) -> bool:
        """Whether no question is left but one that is late, and those that wait behind it."""
        if self._on_their_way:
            return min(self._on_their_way) > len(self.headers)
        return not self.watcher.receiver._keyframes.questions

    def _door(self, header: Header, packet: bytes) -> None:
        self._lost = self.lose(header)
        # Counted before it is taken: a question that it gives rise to is late by the frames after it.
        self.headers.append(header)
        if not self._lost:
            self._take(header, packet)
        self._came.set()

    async def _noted(self, message: msgspec.Struct, answer: type[Any]) -> Any:
        if not isinstance(message, control.RequestKeyframe):
            return await self.request(message, answer)
        self.asked += 1
        due = len(self.headers) + self.late
        self._on_their_way.append(due)
        try:
            await eventually(lambda: len(self.headers) >= due)
            return await self.request(message, answer)
        finally:
            self._on_their_way.remove(due)

    def _heard(self, event: posewire.Event) -> None:
        self.told += 1


async def knows(one: posewire.Session, other: posewire.Session) -> None:
    """Wait until one's mirror of the room has the other's seat."""

    def known() -> bool:
        state = one.rooms.state
        member = None if state is None else state.members.get(other.user_id)
        return member is not None and member.number == other.socket.writer.member

    await eventually(known)
