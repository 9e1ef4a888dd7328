"""Server, flooding publisher and counting subscribers of one system, and what one rate shows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import msgspec
import numpy as np

from benchmarks.messages import Counted, Flooded, Ready, Report, Run, Setup
from benchmarks.process import Process, WorkerError
from benchmarks.rig import close_all

HELD_SHARE: Final = 0.98
"""Of the frames offered, that must have come in time."""
_WARMUP_SECONDS: Final = 0.3
_LEAD_SECONDS: Final = 0.1
_SLACK_SECONDS: Final = 20.0
_PACK_SECONDS: Final = 60.0


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One rate. Shares of CPU are of one core, over the whole run."""

    rate: float
    delivered: float
    """Share of the frames that came before the bound after the last one's time was over."""
    p50_ms: float | None
    """From the time a frame was due; None when no sampled frame came."""
    p99_ms: float | None
    held: bool
    publisher: float
    server: float
    subscribers: float

    def text(self) -> str:
        """Return a line."""
        latency = "nothing came" if self.p99_ms is None else f"p50 {self.p50_ms:.1f} ms, p99 {self.p99_ms:.1f} ms"
        cpu = f"CPU {self.publisher:.0%} {self.server:.0%} {self.subscribers:.0%}"
        return f"{self.rate:7.0f}/s: {self.delivered:6.1%} came, {latency}, {cpu}{'' if self.held else '  TOO MUCH'}"


class Flood:
    """Runs one rate after the other on the same connections. Made by `open_flood`."""

    def __init__(self, server: Process, publisher: Process, subscribers: Process, count: int) -> None:
        self._server = server
        self._publisher = publisher
        self._subscribers = subscribers
        self._count = count
        self._runs = 0

    async def run(self, rate: float, *, seconds: float, bound: float) -> Step:
        """Offer ``rate`` frames a second and see what comes.

        Args:
            rate: Frames a second.
            seconds: That count, after a short warm-up.
            bound: Seconds a frame may take.

        Raises:
            WorkerError: A process failed or did not answer in time.
        """
        run = Run(id=self._runs, start_ns=0, fps=rate, warmup=_WARMUP_SECONDS, seconds=seconds, grace=bound)
        self._runs += 1
        await self._publisher.ask(run, Ready, _PACK_SECONDS)
        run = msgspec.structs.replace(run, start_ns=time.monotonic_ns() + int(_LEAD_SECONDS * 1e9))
        timeout = run.warmup + seconds + bound + _SLACK_SECONDS
        try:
            async with asyncio.TaskGroup() as group:
                server = group.create_task(self._server.run(run))
                publisher = group.create_task(self._publisher.ask(run, Flooded, timeout))
                subscribers = group.create_task(self._subscribers.ask(run, Counted, timeout))
        except* WorkerError as failures:
            raise failures.exceptions[0] from None
        return _step(run, server.result(), publisher.result(), subscribers.result(), count=self._count)


@asynccontextmanager
async def open_flood(system: str, *, subscribers: int, secret: str, seed: int) -> AsyncIterator[Flood]:
    """Start the processes of ``system``, one for each role, and connect them; ends them all, whatever happens.

    Raises:
        WorkerError: A process failed or did not get ready in time.
    """
    common = Setup(system=system, role="server", secret=secret, seed=seed, members=subscribers + 1)
    started: list[Process] = []
    try:
        started.append(await Process.start(common))
        url = await started[0].ready()
        for module, role, count in (("flooder", "publisher", 0), ("counter", "subscribers", subscribers)):
            setup = msgspec.structs.replace(common, role=role, subscribers=count, url=url)
            started.append(await Process.start(setup, f"benchmarks.{module}"))
            await started[-1].ready()
        yield Flood(started[0], started[1], started[2], subscribers)
    finally:
        # At once: there may be seconds of frames in queues, and nobody waits for them.
        for process in started:
            process.kill()
        await close_all(started)


def _step(run: Run, server: Report, publisher: Flooded, subscribers: Counted, *, count: int) -> Step:
    numbers = np.frombuffer(subscribers.numbers, dtype=np.int64)
    latencies_ms = (np.frombuffer(subscribers.times, dtype=np.int64) - run.start_ns - numbers * (1e9 / run.fps)) / 1e6
    expected = (run.frames - run.warmup_frames) * count
    delivered = sum(subscribers.counts) / expected
    p50, p99 = np.percentile(latencies_ms, (50, 99)).tolist() if latencies_ms.size else (None, None)
    whole_ns = (run.warmup + run.seconds + run.grace) * 1e9
    return Step(
        rate=run.fps,
        delivered=delivered,
        p50_ms=p50,
        p99_ms=p99,
        held=delivered >= HELD_SHARE and p99 is not None and p99 <= run.grace * 1e3,
        publisher=publisher.cpu_ns / whole_ns,
        server=server.usage.cpu_ns / 1e9 / run.seconds,
        subscribers=subscribers.cpu_ns / whole_ns,
    )
