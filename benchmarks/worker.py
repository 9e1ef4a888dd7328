"""A process of a rig: server, publisher, or some subscribers. Started by `benchmarks.process`, not by hand.

Reads requests from stdin, writes answers to stdout, and ends when stdin does, so it never outlives its parent.
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import cProfile
import os
import sys
import time
from contextlib import AsyncExitStack
from typing import Any

import msgspec

from benchmarks.messages import Ready, Report, Run, Setup
from benchmarks.motion import RUNS, Motion, load_motion, read_number
from benchmarks.systems import SYSTEMS
from benchmarks.systems.system import Send
from benchmarks.usage import measure, sleep_until, tcp_bytes, usage
from posewire.protocol.pose_data import Landmarks

_ACKNOWLEDGED_SECONDS = 0.1
"""After this the kernel has the acknowledgements of what was sent, so that its count of bytes is whole."""


class Channel:
    """The parent's end: lines in, lines out."""

    def __init__(self) -> None:
        # Whatever a library prints must not get between our answers.
        self._out = os.fdopen(os.dup(1), "wb")
        os.dup2(2, 1)
        self._reader = asyncio.StreamReader()
        self._profile: tuple[cProfile.Profile, str] | None = None

    async def open(self) -> Setup:
        """Return the first request."""
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(self._reader), sys.stdin
        )
        setup = msgspec.json.decode(await self._reader.readline(), type=Setup)
        if setup.profile is not None:
            self._profile = cProfile.Profile(), setup.profile
        return setup

    def ready(self, url: str = "") -> None:
        """Answer `Setup`."""
        self.answer(Ready(url=url))
        if self._profile is not None:
            self._profile[0].enable()

    async def next_run(self) -> Run | None:
        """Return the next request; None when there are no more."""
        line = await self._reader.readline()
        if line:
            return msgspec.json.decode(line, type=Run)
        if self._profile is not None:
            profile, file = self._profile
            profile.disable()
            profile.dump_stats(file)
        return None

    def answer(self, message: msgspec.Struct) -> None:
        """Write one answer."""
        self._out.write(msgspec.json.encode(message) + b"\n")
        self._out.flush()


class Inbox:
    """When the frames of the current run came to one subscriber. Made for one run after the other."""

    def __init__(self) -> None:
        self.complete = asyncio.Event()
        """Set when every frame came."""
        self._run = -1
        self._times = array.array("q")
        self._missing = 0

    def begin(self, run: Run) -> None:
        """Expect the frames of ``run``."""
        self._times = array.array("q", bytes(8 * run.frames))
        self._missing = run.frames
        self.complete.clear()
        self._run = run.id % RUNS

    def deliver(self, pose: Landmarks) -> None:
        """Note the time; the first time of a frame counts."""
        now = time.monotonic_ns()
        run, number = read_number(pose)
        if run == self._run and not self._times[number]:
            self._times[number] = now
            self._missing -= 1
            if not self._missing:
                self.complete.set()

    def table(self) -> bytes:
        """Return the times, nanoseconds, by number of frame."""
        return self._times.tobytes()


async def _serve(channel: Channel, setup: Setup) -> None:
    async with SYSTEMS[setup.system](setup).serve() as url:
        channel.ready(url)
        while (run := await channel.next_run()) is not None:
            before = tcp_bytes()
            channel.answer(Report(usage=usage(await measure(run), before)))


async def _publish(channel: Channel, setup: Setup) -> None:
    motion = load_motion(setup.seed)
    async with SYSTEMS[setup.system](setup).publish(setup.url) as send:
        channel.ready()
        while (run := await channel.next_run()) is not None:
            before = tcp_bytes()
            sent, cpu_ns = await asyncio.gather(_pace(run, motion, send), measure(run))
            await asyncio.sleep(_ACKNOWLEDGED_SECONDS)
            channel.answer(Report(usage=usage(cpu_ns, before), sent=sent))


async def _pace(run: Run, motion: Motion, send: Send) -> bytes:
    """Send the frames of a run, each at ``start + number / fps``; returns when each send was called."""
    times = array.array("q", bytes(8 * run.frames))
    for number in range(run.frames):
        pose = motion.frame(run.id, number)
        await sleep_until(run.start_ns + int(number * 1e9 / run.fps))
        times[number] = time.monotonic_ns()
        await send(pose)
    return times.tobytes()


async def _subscribe(channel: Channel, setup: Setup) -> None:
    inboxes = [Inbox() for _ in range(setup.subscribers)]
    system = SYSTEMS[setup.system](setup)
    async with AsyncExitStack() as stack:
        for offset, inbox in enumerate(inboxes):
            index = setup.first_subscriber + offset
            await stack.enter_async_context(system.subscribe(setup.url, index, inbox.deliver))
        channel.ready()
        while (run := await channel.next_run()) is not None:
            before = tcp_bytes()
            for inbox in inboxes:
                inbox.begin(run)
            cpu_ns = await measure(run)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(run.grace):
                    for inbox in inboxes:
                        await inbox.complete.wait()
            received = [inbox.table() for inbox in inboxes]
            channel.answer(Report(usage=usage(cpu_ns, before), received=received))


_ROLES: dict[str, Any] = {"server": _serve, "publisher": _publish, "subscribers": _subscribe}


async def _main() -> None:
    channel = Channel()
    setup = await channel.open()
    await _ROLES[setup.role](channel, setup)


if __name__ == "__main__":
    asyncio.run(_main())
