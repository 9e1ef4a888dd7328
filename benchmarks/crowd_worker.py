"""A process of `crowd`: the server, or some of the sessions. Public API only."""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from typing import Final, TypedDict

import psutil

import posewire
from benchmarks.channel import Channel, loop_factory
from benchmarks.crowd_age import Ages, age, stamp
from benchmarks.crowd_messages import Crowd, Enter, Look
from benchmarks.messages import Ready, Setup
from benchmarks.motion import Motion, load_motion
from benchmarks.usage import sleep_until
from posewire.lifetime import cancel_and_wait
from posewire.server import TokenAuthority

_SECONDS: Final = 86_400
_GRAIN: Final = 0.618e9
"""Nanoseconds; spreads the sessions' moments of sending evenly over a frame, in whatever number they are."""


def config_of(setup: Setup) -> posewire.Config:
    """Return the settings: defaults, but for the limits on members."""
    return posewire.Config(
        socket=posewire.ConnectionConfig(max_connections=10_000),
        security=posewire.SecurityConfig(secret_key=setup.secret),
        server=posewire.ServerConfig(max_connections=10_000),
    )


class Guest:
    """One session, which sends and reads from when it is told to until `leaving` is set."""

    def __init__(self, session: posewire.Session, index: int, motion: Motion, ages: Ages) -> None:
        self.sent = 0
        self.received = 0
        self.lost = 0
        self.disconnects = 0
        self.entered = asyncio.Event()
        self._session = session
        self._index = index
        self._motion = motion
        self._ages = ages
        self._last: dict[str, int] = {}
        self._sending: asyncio.Task[None] | None = None
        session.on("disconnect", self._lost_connection)

    async def live(self, leaving: asyncio.Event) -> None:
        """Be there. A session that ends by itself counts as a connection lost."""
        try:
            async with self._session:
                reading = asyncio.create_task(self._read(), name=f"benchmark.read{self._index}")
                self.entered.set()
                try:
                    await leaving.wait()
                finally:
                    for task in (reading, self._sending):
                        if task is not None:
                            await cancel_and_wait(task)
        except posewire.PosewireError as exc:
            self.disconnects += 1
            print(f"user{self._index}: {exc}", file=sys.stderr)
        finally:
            self.entered.set()

    def begin(self, fps: float) -> None:
        """Send at a rate from now on."""
        if self._sending is None:
            self._sending = asyncio.create_task(self._send(fps), name=f"benchmark.send{self._index}")

    def _lost_connection(self, event: posewire.Event) -> None:
        self.disconnects += 1

    async def _send(self, fps: float) -> None:
        start = time.monotonic_ns() + int(self._index * _GRAIN % 1e9 / fps)
        while True:
            await sleep_until(start + int(self.sent * 1e9 / fps))
            await self._session.send_pose(stamp(self._motion.frame(0, self.sent % 10_000)))
            self.sent += 1

    async def _read(self) -> None:
        async for frame in self._session.frames():
            if frame.pose is not None and (landmarks := frame.pose.pose_landmarks) is not None:
                self._ages.add(age(landmarks))
                self.received += 1
                last = self._last.get(frame.user_id, frame.seq - 1)
                self.lost += frame.seq - last - 1
                self._last[frame.user_id] = frame.seq


class _Vitals(TypedDict):
    rss: int
    tasks: int
    descriptors: int
    cpu_ns: int


def _vitals(process: psutil.Process, look: Look) -> _Vitals:
    if look.collect:
        gc.collect()
    return {
        "rss": process.memory_info().rss,
        "tasks": len(asyncio.all_tasks()),
        "descriptors": process.num_fds(),
        "cpu_ns": time.process_time_ns(),
    }


async def _members(channel: Channel, setup: Setup) -> None:
    channel.answer(Ready())
    enter = await channel.next(Enter)
    if enter is None:
        return  # the parent gave up
    tokens = TokenAuthority(setup.secret.encode(), lifetime=_SECONDS)
    motion, ages, process, config = load_motion(setup.seed), Ages(), psutil.Process(), config_of(setup)
    leaving = asyncio.Event()
    guests = []
    async with asyncio.TaskGroup() as group:
        for index in range(setup.first_subscriber, setup.first_subscriber + setup.subscribers):
            room = f"room{index * enter.rooms // setup.members}"
            session = posewire.connect(setup.url, token=tokens.issue(f"user{index}"), room=room, config=config)
            guests.append(Guest(session, index, motion, ages))
            group.create_task(guests[-1].live(leaving), name=f"benchmark.guest{index}")
            await guests[-1].entered.wait()
        gc.freeze()
        channel.answer(Ready())
        while (look := await channel.next(Look)) is not None:
            for guest in guests if look.fps else ():
                guest.begin(look.fps)
            seen = Crowd(
                sent=sum(guest.sent for guest in guests),
                received=sum(guest.received for guest in guests),
                lost=sum(guest.lost for guest in guests),
                disconnects=sum(guest.disconnects for guest in guests),
                ages=ages.take(),
                **_vitals(process, look),
            )
            channel.answer(seen)
        leaving.set()


async def _server(channel: Channel, setup: Setup) -> None:
    process = psutil.Process()
    async with posewire.serve(config=config_of(setup)) as server:
        channel.answer(Ready(url=server.url))
        gc.freeze()
        while (look := await channel.next(Look)) is not None:
            stats = server.stats()
            seen = Crowd(
                sent=stats.frames_in,
                received=stats.frames_out,
                lost=sum(stats.drops.values()),
                drops=stats.drops,
                **_vitals(process, look),
            )
            channel.answer(seen)


async def _run(channel: Channel, setup: Setup) -> None:
    if setup.role == "server":
        await _server(channel, setup)
    else:
        await _members(channel, setup)


def main() -> None:
    """Be what the parent says."""
    channel = Channel()
    setup = channel.read_setup()
    with asyncio.Runner(loop_factory=loop_factory("uvloop")) as runner:
        runner.run(_run(channel, setup))


if __name__ == "__main__":
    main()
