"""A process of a pressure run: server, publisher, or some subscribers. Started by `Process`, not by hand.

Reads requests from stdin, writes answers to stdout, and ends when stdin does.
"""

from __future__ import annotations

import array
import asyncio
import collections
import os
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextlib import AsyncExitStack
from typing import Any, Final

import msgspec
import psutil
import socketio.exceptions

from benchmarks.pressure import motions
from benchmarks.pressure.inbox import Diary, Inbox
from benchmarks.pressure.messages import AUDIO, EVENTS, Go, Ready, Report, Setup
from benchmarks.pressure.ours import Posewire
from benchmarks.pressure.peer import Outlet, Peer
from benchmarks.pressure.stock import SocketIODefault
from posewire.errors import PosewireError

PEERS: Final[dict[str, type[Peer]]] = {"posewire": Posewire, "socketio-default": SocketIODefault}

_EVENT_SECONDS: Final = 0.1
_BROKEN: Final = (PosewireError, socketio.exceptions.SocketIOError, OSError)
"""What a call may raise while the link is down; anything else is a mistake of ours and ends the run."""


class Channel:
    """The parent's end: lines in, lines out."""

    def __init__(self) -> None:
        # Whatever a library prints must not get between our answers.
        self._out = os.fdopen(os.dup(1), "wb")
        os.dup2(2, 1)
        self._reader = asyncio.StreamReader()

    async def open(self) -> Setup:
        """Return the first request."""
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(self._reader), sys.stdin
        )
        return msgspec.json.decode(await self._reader.readline(), type=Setup)

    async def go(self, port: int = 0) -> Go | None:
        """Answer the first request; returns the second, None when the parent has given up."""
        self.answer(Ready(port=port))
        line = await self._reader.readline()
        return msgspec.json.decode(line, type=Go) if line else None

    async def wait_closed(self) -> None:
        """Wait until the parent lets us end."""
        await self._reader.read()

    def answer(self, message: msgspec.Struct) -> None:
        """Write one answer."""
        self._out.write(msgspec.json.encode(message) + b"\n")
        self._out.flush()


class Watch:
    """Looks at this process each second, from the start of the run to its end."""

    def __init__(self, go: Go, status: Callable[[], dict[str, Any]] | None = None) -> None:
        self._go = go
        self._status = status
        self._process = psutil.Process()
        self.memory: list[tuple[float, int]] = []
        self.statuses: list[tuple[float, dict[str, Any]]] = []
        self.cpu_s = 0.0

    async def run(self) -> None:
        """Look until the end; waits for it."""
        await sleep_until(self._go.start_ns)
        cpu = time.process_time()
        for second in range(int(self._go.seconds + self._go.grace) + 1):
            await sleep_until(self._go.start_ns + second * 10**9)
            self.memory.append((self._at(), self._process.memory_info().rss))
            if self._status is not None:
                self.statuses.append((self._at(), self._status()))
        await sleep_until(self._go.start_ns + int((self._go.seconds + self._go.grace) * 1e9))
        self.cpu_s = time.process_time() - cpu

    def _at(self) -> float:
        return round((time.monotonic_ns() - self._go.start_ns) / 1e9, 3)


class Timed:
    """A call that knows how much of the thread's CPU time was its own, and not of tasks that ran while it waited."""

    def __init__(self, call: Coroutine[Any, Any, str]) -> None:
        self._call = call
        self.own_ns = 0

    def __await__(self) -> Generator[Any, Any, str]:
        while True:
            before = time.thread_time_ns()
            try:
                awaited = self._call.send(None)
            except StopIteration as done:
                outcome: str = done.value
                return outcome
            finally:
                self.own_ns += time.thread_time_ns() - before
            # A cancellation is thrown in here and not passed on: the run is over then.
            yield awaited


class Publishing:
    """Sends everything a setup asks for, each thing at its time, and notes how it went."""

    def __init__(self, setup: Setup, go: Go, outlet: Outlet, diary: Diary) -> None:
        self._setup = setup
        self._go = go
        self._outlet = outlet
        self._diary = diary
        self._sent: dict[str, array.array[int]] = {}
        self._outcomes: collections.Counter[str] = collections.Counter()
        self._cpu = array.array("q")
        self._own = array.array("q")
        self._wall = array.array("q")

    async def run(self) -> None:
        """Send until the time is over; waits for it."""
        async with asyncio.TaskGroup() as group:
            for stream in self._setup.streams:
                group.create_task(self._poses(stream), name=f"pressure.{stream}")
            if self._setup.audio:
                group.create_task(self._audio(), name="pressure.audio")
            if self._setup.events:
                group.create_task(self._events(), name="pressure.events")

    def report(self, watch: Watch) -> Report:
        """Return how it went."""
        return Report(
            cpu_s=watch.cpu_s,
            memory=watch.memory,
            status=watch.statuses,
            happened=self._diary.entries,
            sent={name: table.tobytes() for name, table in self._sent.items()},
            call_ns=self._cpu.tobytes(),
            own_ns=self._own.tobytes(),
            wall_ns=self._wall.tobytes(),
            outcomes=dict(self._outcomes),
        )

    async def _poses(self, stream: str) -> None:
        count = int(self._go.seconds * self._setup.fps)
        sent = self._sent[stream] = array.array("q", bytes(8 * count))
        for number in range(count):
            pose = motions.pose(stream, number)
            await sleep_until(self._go.start_ns + int(number * 1e9 / self._setup.fps))
            sent[number] = time.monotonic_ns()
            cpu = time.thread_time_ns()
            call = Timed(self._outlet.pose(stream, pose))
            outcome = await self._outcome(call)
            self._own.append(call.own_ns)
            self._cpu.append(time.thread_time_ns() - cpu)
            self._wall.append(time.monotonic_ns() - sent[number])
            self._outcomes[f"{stream} {outcome}"] += 1

    async def _audio(self) -> None:
        sound = motions.Sound(self._setup.seed)
        count = int(self._go.seconds * motions.CHUNKS_PER_SECOND)
        sent = self._sent[AUDIO] = array.array("q", bytes(8 * count))
        for number in range(count):
            chunk = sound.chunk(number)
            await sleep_until(self._go.start_ns + number * 10**9 // motions.CHUNKS_PER_SECOND)
            sent[number] = time.monotonic_ns()
            self._outcomes[f"audio {await self._outcome(self._outlet.audio(chunk))}"] += 1

    async def _events(self) -> None:
        """One after the other: the next is called when the one before has returned, at its time at the earliest."""
        sent = self._sent[EVENTS] = array.array("q")
        due = self._go.start_ns
        end = self._go.start_ns + int(self._go.seconds * 1e9)
        while due < end and time.monotonic_ns() < end:
            await sleep_until(due)
            sent.append(time.monotonic_ns())
            outcome = await self._outcome(self._outlet.event(len(sent) - 1))
            self._outcomes[f"event {outcome}"] += 1
            if outcome != "acknowledged":
                self._diary.note("publisher", f"event {len(sent) - 1}: {outcome}")
            due = max(due + int(_EVENT_SECONDS * 1e9), time.monotonic_ns())

    async def _outcome(self, call: Awaitable[str]) -> str:
        try:
            outcome: str = await call
        except _BROKEN as exc:
            outcome = type(exc).__name__
            if not self._outcomes[outcome]:
                self._diary.note("publisher", f"a call raised {outcome}: {exc}")
            self._outcomes[outcome] += 1
        return outcome


async def sleep_until(at_ns: int) -> None:
    """Sleep until a time of ``time.monotonic_ns``; at once when it is past."""
    await asyncio.sleep(max(0, at_ns - time.monotonic_ns()) / 1e9)


async def _serve(channel: Channel, setup: Setup, peer: Peer) -> None:
    async with peer.serve() as port:
        if (go := await channel.go(port)) is None:
            return
        watch = Watch(go)
        await watch.run()
        channel.answer(Report(cpu_s=watch.cpu_s, memory=watch.memory))
        await channel.wait_closed()


async def _publish(channel: Channel, setup: Setup, peer: Peer) -> None:
    diary = Diary()
    for stream in setup.streams:
        motions.clip(stream)
    async with peer.publish(diary) as outlet:
        if (go := await channel.go()) is None:
            return
        diary.start_ns = go.start_ns
        watch, publishing = Watch(go, outlet.status), Publishing(setup, go, outlet, diary)
        async with asyncio.TaskGroup() as group:
            group.create_task(watch.run(), name="pressure.watch")
            group.create_task(publishing.run(), name="pressure.publish")
        channel.answer(publishing.report(watch))
        await channel.wait_closed()


async def _subscribe(channel: Channel, setup: Setup, peer: Peer) -> None:
    diary = Diary()
    inboxes = [Inbox(user, diary, check_quality=setup.check_quality) for user in setup.users]
    for stream in setup.streams:
        motions.clip(stream)
    async with AsyncExitStack() as stack:
        for inbox in inboxes:
            await stack.enter_async_context(peer.subscribe(inbox))
        if (go := await channel.go()) is None:
            return
        diary.start_ns = go.start_ns
        watch = Watch(go)
        await watch.run()
        got = {inbox.user: inbox.tables() for inbox in inboxes}
        channel.answer(Report(cpu_s=watch.cpu_s, memory=watch.memory, got=got, happened=diary.entries))
        await channel.wait_closed()


_ROLES: Final = {"server": _serve, "publisher": _publish, "subscribers": _subscribe}


async def _main() -> None:
    channel = Channel()
    setup = await channel.open()
    await _ROLES[setup.role](channel, setup, PEERS[setup.system](setup))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's when it is asked for and installed. An argument: the loop is there before the first request."""
    if sys.argv[1:] != ["uvloop"]:
        return None
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_main())
