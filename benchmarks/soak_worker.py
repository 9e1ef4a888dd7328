"""A process of `soak`: server, publisher, subscribers that stay, or members that come and go. Public API only."""

from __future__ import annotations

import asyncio
import gc
import time
from contextlib import AsyncExitStack
from typing import Final, Protocol

import psutil

import posewire
from benchmarks.channel import Channel, loop_factory
from benchmarks.messages import Ready, Setup
from benchmarks.motion import load_motion
from benchmarks.soak_messages import Order, Vitals
from benchmarks.systems.posewire import Posewire
from benchmarks.usage import sleep_until
from posewire.lifetime import cancel_and_wait

SEEN: Final = "seen"
REPORT_EVERY: Final = 16
WINDOW: Final = 64
"""Frames the flood may be ahead of the slowest subscriber: as fast as the system takes them, and no faster."""
_STALL_SECONDS: Final = 1.0


class _Role(Protocol):
    """What a process is."""

    async def obey(self, order: Order) -> None: ...

    def figures(self) -> tuple[int, int, bool]:
        """Return frames, lost frames, and whether a flood is under way."""
        ...


class _Server:
    def __init__(self, server: posewire.Server) -> None:
        self._server = server

    async def obey(self, order: Order) -> None:
        raise ValueError(f"a server cannot {order.action}")

    def figures(self) -> tuple[int, int, bool]:
        stats = self._server.stats()
        return stats.frames_in, sum(stats.drops.values()), False


class _Publisher:
    """Sends poses, at a rate or as fast as subscribers report them."""

    def __init__(self, session: posewire.Session, setup: Setup) -> None:
        self._session = session
        self._motion = load_motion(setup.seed)
        self._subscribers = setup.members
        self._seen: dict[str, int] = {}
        self._progress = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._sent = 0
        session.on(SEEN, self._was_seen)

    async def obey(self, order: Order) -> None:
        match order.action:
            case "flood":
                self._task = asyncio.create_task(self._flood(order.frames), name="benchmark.flood")
            case "pace":
                self._task = asyncio.create_task(self._pace(order.fps), name="benchmark.pace")
            case "stop" if self._task is not None:
                await cancel_and_wait(self._task)

    def figures(self) -> tuple[int, int, bool]:
        busy = self._task is not None and not self._task.done()
        if self._task is not None and not busy and not self._task.cancelled():
            self._task.result()
        return self._sent, sum(self._session.sender.status().drops.values()), busy

    def _was_seen(self, event: posewire.Event) -> None:
        if event.user_id is not None:
            self._seen[event.user_id] = event.data
        self._progress.set()

    async def _flood(self, frames: int) -> None:
        for _ in range(frames):
            if self._ahead() >= WINDOW:
                await self._wait()
            await self._send()
            # What is handed in while another waits would take its place.
            await self._session.sender.flush()

    def _ahead(self) -> int:
        # What the pipeline sent, as frames are numbered: one that was handed in and dropped has no number.
        slowest = min(self._seen.values()) if len(self._seen) == self._subscribers else 0
        return self._session.sender.sent - slowest

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(_STALL_SECONDS):
                while self._ahead() >= WINDOW:
                    self._progress.clear()
                    await self._progress.wait()
        except TimeoutError:
            # So many were lost that no report came: the next frames bring one.
            pass

    async def _pace(self, fps: float) -> None:
        start, number = time.monotonic_ns(), 0
        while True:
            await sleep_until(start + int(number * 1e9 / fps))
            await self._send()
            number += 1

    async def _send(self) -> None:
        pose = self._motion.frame(0, self._sent % 10_000)
        await self._session.send_pose(pose)
        self._sent += 1


class _Reader:
    """Reads a session's frames; reports how far it is when it is asked to."""

    def __init__(self, session: posewire.Session, *, reports: bool) -> None:
        self.frames = 0
        self.lost = 0
        self._session = session
        self._subscription = session.frames()
        self._reports = reports
        self._last = -1
        self._reported = 0
        self.task = asyncio.create_task(self._read(), name="benchmark.reader")

    async def _read(self) -> None:
        async for frame in self._subscription:
            if frame.pose is None or frame.pose.pose_landmarks is None:
                raise ValueError("a frame without a pose")
            self.frames += 1
            self.lost += frame.seq - self._last - 1 if self._last >= 0 else 0
            self._last = frame.seq
            if self._reports and frame.seq - self._reported >= REPORT_EVERY:
                self._reported = frame.seq
                await self._session.send_event(SEEN, frame.seq)


class _Subscribers:
    """Stay to the end."""

    def __init__(self, readers: list[_Reader]) -> None:
        self._readers = readers

    async def obey(self, order: Order) -> None:
        raise ValueError(f"subscribers cannot {order.action}")

    def figures(self) -> tuple[int, int, bool]:
        for reader in self._readers:
            if reader.task.done():
                reader.task.result()
        return sum(reader.frames for reader in self._readers), sum(reader.lost for reader in self._readers), False


class _Members:
    """Come and go; who has been there longest goes first."""

    def __init__(self, system: Posewire, setup: Setup) -> None:
        self._system = system
        self._setup = setup
        self._stacks: list[AsyncExitStack] = []
        self._joined = 0
        self._frames = 0

    async def obey(self, order: Order) -> None:
        match order.action:
            case "join":
                self._joined += 1
                stack = AsyncExitStack()
                user = f"guest{self._joined}"
                session = await stack.enter_async_context(self._system.session(self._setup.url, user))
                reader = _Reader(session, reports=False)
                stack.push_async_callback(self._gone, reader)
                self._stacks.append(stack)
            case "leave" | "stop" if self._stacks:
                await self._stacks.pop(0).aclose()

    async def _gone(self, reader: _Reader) -> None:
        self._frames += reader.frames
        await cancel_and_wait(reader.task)

    def figures(self) -> tuple[int, int, bool]:
        return self._frames, 0, False


async def _serve_parent(channel: Channel, role: _Role) -> None:
    process = psutil.Process()
    while (order := await channel.next(Order)) is not None:
        if order.action != "look":
            await role.obey(order)
            channel.answer(Ready())
            continue
        frames, lost, busy = role.figures()
        gc.collect()
        channel.answer(
            Vitals(
                rss=process.memory_info().rss,
                tasks=len(asyncio.all_tasks()),
                descriptors=process.num_fds(),
                frames=frames,
                lost=lost,
                busy=busy,
            )
        )


async def _run(channel: Channel, setup: Setup) -> None:
    system = Posewire(setup)
    async with AsyncExitStack() as stack:
        role: _Role
        match setup.role:
            case "server":
                server = await stack.enter_async_context(system.open_server())
                role = _Server(server)
                channel.answer(Ready(url=server.url))
            case "publisher":
                session = await stack.enter_async_context(system.session(setup.url, "publisher"))
                role = _Publisher(session, setup)
                channel.answer(Ready())
            case "subscribers":
                readers = []
                for index in range(setup.subscribers):
                    session = await stack.enter_async_context(system.session(setup.url, f"sub{index}"))
                    readers.append(_Reader(session, reports=True))
                role = _Subscribers(readers)
                channel.answer(Ready())
            case "members":
                role = _Members(system, setup)
                channel.answer(Ready())
        await _serve_parent(channel, role)


def main() -> None:
    """Be what the parent says."""
    channel = Channel()
    setup = channel.read_setup()
    with asyncio.Runner(loop_factory=loop_factory(Posewire.loop)) as runner:
        runner.run(_run(channel, setup))


if __name__ == "__main__":
    main()
