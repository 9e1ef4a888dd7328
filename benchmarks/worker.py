"""A process of a rig: server, publisher, or some subscribers. Started by `benchmarks.process`, not by hand.

Reads requests from stdin, writes answers to stdout, and ends when stdin does, so it never outlives its parent.
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import cProfile
import gc
import time
from contextlib import AsyncExitStack
from typing import Any

from benchmarks.channel import Channel, loop_factory
from benchmarks.messages import Ready, Report, Run, Setup
from benchmarks.motion import RUNS, Motion, load_motion, read_number
from benchmarks.systems import System, load
from benchmarks.systems.system import Send
from benchmarks.usage import measure, sleep_until, tcp_bytes, usage
from posewire.protocol.pose_data import Landmarks

_ACKNOWLEDGED_SECONDS = 0.1
"""After this the kernel has the acknowledgements of what was sent, so that its count of bytes is whole."""


class Inbox:
    """When the frames of the current run came to one subscriber. Made for one run after the other."""

    def __init__(self) -> None:
        self.complete = asyncio.Event()
        """Set when every frame came."""
        self._run = -1
        self._times = array.array("q")
        self._missing = 0
        self._loop = asyncio.get_running_loop()

    def begin(self, run: Run) -> None:
        """Expect the frames of ``run``."""
        self._times = array.array("q", bytes(8 * run.frames))
        self._missing = run.frames
        self.complete.clear()
        self._run = run.id % RUNS

    def deliver(self, pose: Landmarks) -> None:
        """Note the time; the first time of a frame counts. From the event loop, or one other thread a subscriber."""
        now = time.monotonic_ns()
        run, number = read_number(pose)
        if run == self._run and not self._times[number]:
            self._times[number] = now
            self._missing -= 1
            if not self._missing:
                self._loop.call_soon_threadsafe(self.complete.set)

    def table(self) -> bytes:
        """Return the times, nanoseconds, by number of frame."""
        return self._times.tobytes()


def _settle() -> None:
    """Leave what was made so far out of every later collection, in every system alike.

    A process that has just begun collects all it imported once or twice in its first seconds, 20 ms and more; one that
    has run for a while hardly ever does, and that is what is measured.
    """
    gc.collect()
    gc.freeze()


async def _serve(channel: Channel, setup: Setup, system: System) -> None:
    async with system.serve() as url:
        _settle()
        channel.answer(Ready(url=url))
        while (run := await channel.next(Run)) is not None:
            before = tcp_bytes()
            channel.answer(Report(usage=usage(await measure(run), before)))


async def _publish(channel: Channel, setup: Setup, system: System) -> None:
    motion = load_motion(setup.seed)
    async with system.publish(setup.url) as send:
        _settle()
        channel.answer(Ready())
        while (run := await channel.next(Run)) is not None:
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


async def _subscribe(channel: Channel, setup: Setup, system: System) -> None:
    inboxes = [Inbox() for _ in range(setup.subscribers)]
    async with AsyncExitStack() as stack:
        for offset, inbox in enumerate(inboxes):
            index = setup.first_subscriber + offset
            await stack.enter_async_context(system.subscribe(setup.url, index, inbox.deliver))
        _settle()
        channel.answer(Ready())
        while (run := await channel.next(Run)) is not None:
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


def main() -> None:
    """Be what the parent says."""
    channel = Channel()
    setup = channel.read_setup()
    system = load(setup.system)
    profile = cProfile.Profile() if setup.profile is not None else None
    with asyncio.Runner(loop_factory=loop_factory(system.loop)) as runner:
        if profile is not None:
            profile.enable()
        runner.run(_ROLES[setup.role](channel, setup, system(setup)))
        if profile is not None:
            profile.disable()
            profile.dump_stats(str(setup.profile))


if __name__ == "__main__":
    main()
