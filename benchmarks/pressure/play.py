"""Plays one case: link, processes, phases."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from typing import Final

import msgspec
import psutil

from benchmarks.netlab import Kind, Link, LinkStats, open_link
from benchmarks.pressure.messages import Go, Report, Setup
from benchmarks.pressure.process import Process
from benchmarks.pressure.scenarios import LOOPS, Case
from benchmarks.process import WorkerError

SLOW: Final = "slow"
"""User of the subscriber at the far side."""

_LEAD_SECONDS: Final = 0.5
"""From the request of a run to its start: every worker must have read it by then."""
_LOCAL: Final = "127.0.0.1"
_IDLE: Final = frozenset({"idle", "iowait", "guest", "guest_nice"})


class Played(msgspec.Struct, frozen=True, kw_only=True):
    """What a case brought."""

    case: Case
    start_ns: int
    link: list[LinkStats]
    """Totals at the start, at the end of each phase, and after the grace."""
    link_kind: str
    server: Report
    publisher: Report
    subscribers: list[Report]
    others: float
    """Share of the machine, 0 to 1, that was busy with something else; the link's own process is in it."""


async def play(case: Case, *, secret: str, seed: int, kind: Kind) -> Played:
    """Play a case; waits until it is over. Ends all processes, whatever happens.

    Raises:
        WorkerError: A process failed.
        LinkError: There is no link.
    """
    async with AsyncExitStack() as stack:
        link = await stack.enter_async_context(open_link(up=case.up, down=case.down, seed=seed, kind=kind))
        processes = await _start(stack, case, link, secret=secret, seed=seed)
        go = Go(start_ns=time.monotonic_ns() + int(_LEAD_SECONDS * 1e9), seconds=case.seconds, grace=case.grace)
        before = _busy()
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(process.go(go)) for process in processes]
                disturbing = group.create_task(_disturb(case, link, processes[-1], go.start_ns))
        except* WorkerError as failures:
            raise failures.exceptions[0] from None
        busy = _busy() - before
        stats = [*disturbing.result(), await link.stats()]
    # Goodbyes must not wait for the bad link: the processes are killed by the end of the stack.
    server, *others = (task.result() for task in tasks)
    publisher = next(r for r, p in zip(others, processes[1:], strict=True) if p.setup.role == "publisher")
    ours = sum(report.cpu_s for report in (server, *others))
    return Played(
        case=case,
        start_ns=go.start_ns,
        link=stats,
        link_kind=link.kind,
        server=server,
        publisher=publisher,
        subscribers=[report for report in others if report is not publisher],
        others=max(0.0, busy - ours) / (case.seconds + case.grace + _LEAD_SECONDS) / (psutil.cpu_count() or 1),
    )


async def _start(stack: AsyncExitStack, case: Case, link: Link, *, secret: str, seed: int) -> list[Process]:
    """Start server, then who is near, then who is far (the last of the list), one after the other."""

    async def start(setup: Setup, *, far: bool = False) -> Process:
        process = await Process.start(setup, LOOPS[case.system], link.command if far else ())
        stack.callback(process.kill)
        return process

    common = Setup(
        system=case.system,
        role="server",
        secret=secret,
        seed=seed,
        streams=case.streams,
        audio=case.audio,
        audio_apart=case.audio_apart,
        events=case.events,
        check_quality=case.check_quality,
    )
    server = await start(common)
    port = await server.ready()
    near, far = f"http://{_LOCAL}:{port}", await link.url(port)
    users = [f"sub{index}" for index in range(case.subscribers)]
    publisher = msgspec.structs.replace(common, role="publisher")
    subscribers = msgspec.structs.replace(common, role="subscribers", url=near, users=users)
    slow = msgspec.structs.replace(subscribers, url=far, users=[SLOW])
    plan = [(subscribers, False)]
    if case.far == "publisher":
        plan.append((msgspec.structs.replace(publisher, url=far), True))
    else:
        plan = [(msgspec.structs.replace(publisher, url=near), False), *plan, (slow, True)]
    processes = [server]
    for setup, is_far in plan:
        processes.append(await start(setup, far=is_far))
        # One after the other: who connects while others do would measure a busy server's clock.
        await processes[-1].ready()
    return processes


async def _disturb(case: Case, link: Link, far: Process, start_ns: int) -> list[LinkStats]:
    await link.play(case.steps(), start_ns / 1e9)
    await _sleep_until(start_ns, 0.0)
    stats = [await link.stats()]
    for index, phase in enumerate(case.phases):
        if phase.stopped:
            far.stop()
        try:
            await _sleep_until(start_ns, case.begins(index + 1))
        finally:
            if phase.stopped:
                far.resume()
        stats.append(await link.stats())
    return stats


async def _sleep_until(start_ns: int, seconds: float) -> None:
    await asyncio.sleep(max(0.0, start_ns / 1e9 + seconds - time.monotonic()))


def _busy() -> float:
    times = psutil.cpu_times()
    return float(sum(getattr(times, name) for name in times._fields if name not in _IDLE))
