"""Server, publisher and subscribers of one system, connected, in processes of their own."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from benchmarks.messages import Report, Role, Run, Setup
from benchmarks.process import Process, WorkerError
from benchmarks.usage import measure_machine

_LEAD_SECONDS: Final = 0.2
"""From the request of a run to its first frame: every worker must have read it by then."""

Nanoseconds = npt.NDArray[np.int64]


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What one run showed; frames of the warm-up are left out unless it says so."""

    run: Run
    latencies: npt.NDArray[np.float64]
    """Seconds of every frame that came, all subscribers."""
    lateness: npt.NDArray[np.float64]
    """Seconds each send was called after its time: what the publisher's event loop cost, not in `latencies`."""
    expected: int
    """Frames times subscribers."""
    cpu_ns: dict[Role, int]
    """Process CPU time of each role, all its processes."""
    others: float
    """Share of the machine, 0 to 1, that was busy with something else: other programs, and interrupts."""
    bytes_up: float | None
    """Through the publisher's TCP socket, a frame, framing included, over the whole run."""
    bytes_down: float | None
    """Through a subscriber's TCP socket, a frame, likewise."""

    @property
    def delivered(self) -> int:
        """Frames that came, all subscribers."""
        return len(self.latencies)


class Rig:
    """Runs a system as often as you like on the same connections. Made by `open_rig`."""

    def __init__(self, server: Process, publisher: Process, subscribers: list[Process]) -> None:
        self._server = server
        self._publisher = publisher
        self._subscribers = subscribers
        self._runs = 0

    async def run(self, *, fps: float, seconds: float, warmup: float = 1.0, grace: float = 1.0) -> Outcome:
        """Publish and measure once.

        Raises:
            WorkerError: A process failed or did not answer in time.
        """
        start_ns = time.monotonic_ns() + int(_LEAD_SECONDS * 1e9)
        run = Run(id=self._runs, start_ns=start_ns, fps=fps, warmup=warmup, seconds=seconds, grace=grace)
        self._runs += 1
        processes = [self._server, self._publisher, *self._subscribers]
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(process.run(run)) for process in processes]
                machine = group.create_task(measure_machine(run))
        except* WorkerError as failures:
            raise failures.exceptions[0] from None
        server, publisher, *subscribers = (task.result() for task in tasks)
        return _outcome(run, server, publisher, subscribers, busy=machine.result())


@asynccontextmanager
async def open_rig(
    system: str,
    *,
    subscribers: int,
    processes: int,
    secret: str,
    seed: int,
    profile: Path | None = None,
) -> AsyncIterator[Rig]:
    """Start the processes of ``system`` and connect them; ends them all, whatever happens.

    Args:
        system: Its name in `SYSTEMS`; nothing it needs may be `missing`.
        subscribers: How many.
        processes: How many processes they share evenly.
        secret: Signs tokens.
        seed: Of synthetic motion.
        profile: Folder for cProfile's figures of each process.

    Raises:
        WorkerError: A process failed or did not get ready in time.
    """
    common = Setup(system=system, role="server", secret=secret, seed=seed, members=subscribers + 1)
    setups = [common, msgspec.structs.replace(common, role="publisher")]
    bounds = [subscribers * index // processes for index in range(processes + 1)]
    setups += [
        msgspec.structs.replace(common, role="subscribers", first_subscriber=first, subscribers=end - first)
        for first, end in itertools.pairwise(bounds)
        if end > first
    ]
    started: list[Process] = []
    try:
        for index, setup in enumerate(setups):
            if profile is not None:
                file = profile / f"{system}-{subscribers}-{index}-{setup.role}.prof"
                setup = msgspec.structs.replace(setup, profile=str(file))
            started.append(await Process.start(setup))
        url = await started[0].ready()
        # One after the other: who connects while others do would measure a busy server's clock.
        for process in started[1:]:
            process.setup = msgspec.structs.replace(process.setup, url=url)
            await process.ready()
        yield Rig(started[0], started[1], started[2:])
    except BaseException:
        # A failure or Ctrl-C: nothing they could still say is worth waiting for.
        for process in started:
            process.kill()
        raise
    finally:
        await close_all(started)


async def close_all(processes: list[Process]) -> None:
    """End the server, which is the first, and its members; nothing of them is left."""
    try:
        # The server last: its members say goodbye to somebody.
        await asyncio.gather(*(process.close() for process in processes[1:]))
        for process in processes[:1]:
            await process.close()
    finally:
        for process in processes:
            process.kill()


def _outcome(run: Run, server: Report, publisher: Report, subscribers: list[Report], *, busy: float) -> Outcome:
    sent = np.frombuffer(publisher.sent, dtype=np.int64)
    received = np.array([np.frombuffer(table, dtype=np.int64) for report in subscribers for table in report.received])
    due = run.start_ns + (np.arange(run.frames) * 1e9 / run.fps).astype(np.int64)
    came = received > 0
    counts = np.arange(run.frames) >= run.warmup_frames
    latencies: npt.NDArray[np.float64] = ((received - sent) / 1e9)[came & counts]
    if latencies.size and latencies.min() < 0:
        raise AssertionError("a frame came before it was sent: the processes do not share a clock")
    cpu_ns: dict[Role, int] = {
        "server": server.usage.cpu_ns,
        "publisher": publisher.usage.cpu_ns,
        "subscribers": sum(report.usage.cpu_ns for report in subscribers),
    }
    return Outcome(
        run=run,
        latencies=latencies,
        lateness=((sent - due) / 1e9)[counts],
        expected=int(counts.sum()) * len(received),
        cpu_ns=cpu_ns,
        others=max(0.0, busy - sum(cpu_ns.values()) / 1e9) / run.seconds / (os.cpu_count() or 1),
        bytes_up=_per(publisher.usage.tcp_sent, run.frames),
        bytes_down=_per(_sum([report.usage.tcp_received for report in subscribers]), int(came.sum())),
    )


def _sum(values: list[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _per(total: int | None, count: int) -> float | None:
    return total / count if total is not None and count else None
