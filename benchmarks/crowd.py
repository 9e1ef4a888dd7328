"""A full house for minutes: many sessions in many rooms, all of which send and read. Does anybody fall out?"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import secrets
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from benchmarks.crowd_age import AGE_STEPS, percentile, read
from benchmarks.crowd_messages import Crowd, Enter, Look
from benchmarks.machine import provenance, save, to_json
from benchmarks.messages import Ready, Setup
from benchmarks.options import at_least_one, common_options, positive
from benchmarks.process import Process, WorkerError
from benchmarks.rig import close_all
from benchmarks.soak_judgement import MAX_GROWTH, Growth, Sample, judge
from benchmarks.table import align, number
from benchmarks.usage import busy_seconds

_LIBRARIES: Final = ("python-socketio", "python-engineio", "aiohttp", "msgspec", "numpy", "uvloop")
_MODULE: Final = "benchmarks.crowd_worker"
_LOOK_SECONDS: Final = 10.0
_ENTER_SECONDS: Final = 120.0


class Minute(msgspec.Struct, frozen=True, kw_only=True):
    """Some seconds, from one look to the next; ages in milliseconds, CPU in percent of a core."""

    at: float
    """Seconds since all began to send."""
    received: int
    p50: float | None
    p95: float | None
    p99: float | None
    disconnects: int
    server_mb: float
    members_mb: float
    server_cpu: float
    members_cpu: float
    others: float
    """Percent of a core that other programs took."""


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark; returns the exit code: 1 when a connection was lost or something grew."""
    options = _parse(arguments)
    try:
        house = asyncio.run(_measure(options))
    except WorkerError as exc:
        print(f"crowd: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    growths = judge(house.samples)
    names = ("sessions", "rooms", "minutes", "fps", "processes", "seed")
    result: dict[str, Any] = {"benchmark": "crowd", **provenance(_LIBRARIES)}
    result["settings"] = {name: getattr(options, name) for name in names}
    result["figures"] = house.figures()
    result["growths"] = [msgspec.to_builtins(one) | {"rss": one.rss, "held": one.held} for one in growths]
    result["looks"] = msgspec.to_builtins(house.minutes)
    print(to_json(result).decode() if options.json else _render(result, house, growths))
    if options.save:
        print(f"saved to {save('crowd', result)}", file=sys.stderr)
    return 0 if house.disconnects == 0 and all(growth.held for growth in growths) else 1


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks crowd", description=__doc__)
    parser.add_argument("--sessions", type=at_least_one, default=200, help="default: %(default)s")
    parser.add_argument("--rooms", type=at_least_one, default=20, help="they share evenly (default: %(default)s)")
    parser.add_argument("--minutes", type=positive, default=10.0, help="default: %(default)g")
    parser.add_argument("--fps", type=positive, default=15.0, help="of each session (default: %(default)g)")
    parser.add_argument("--processes", type=at_least_one, default=2, help="that host sessions (default: %(default)s)")
    common_options(parser)
    return parser.parse_args(arguments)


class _House:
    """The processes, and what was seen of them."""

    def __init__(self, server: Process, members: list[Process]) -> None:
        self.minutes: list[Minute] = []
        self.samples: list[Sample] = []
        self.ages: npt.NDArray[np.int64] = np.zeros(AGE_STEPS, dtype=np.int64)
        self.last: list[Crowd] = []
        self._server = server
        self._members = members
        self._began = 0.0
        self._seen_at = 0.0
        self._busy = 0.0

    @property
    def disconnects(self) -> int:
        """Connections lost, and sessions that ended."""
        return sum(crowd.disconnects for crowd in self.last)

    async def begin(self, fps: float) -> None:
        """Let everybody send."""
        self.last = await self._ask(fps)
        self._began = self._seen_at = time.monotonic()
        self._busy = busy_seconds()

    async def look(self) -> None:
        """Look at all processes, and say what there is to see."""
        before, self.last = self.last, await self._ask(0.0)
        now = time.monotonic()
        at, seconds, self._seen_at = now - self._began, now - self._seen_at, now
        ages = sum((read(crowd.ages) for crowd in self.last[1:]), start=np.zeros(AGE_STEPS, dtype=np.int64))
        self.ages += ages
        for index, crowd in enumerate(self.last):
            role = "server" if index == 0 else f"members {index}"
            vitals = {name: getattr(crowd, name) for name in ("rss", "tasks", "descriptors")}
            self.samples.append(Sample(phase="crowd", role=role, at=at, **vitals))
        busy, self._busy = busy_seconds() - self._busy, busy_seconds()
        cpu = [(new.cpu_ns - old.cpu_ns) / 1e7 / seconds for old, new in zip(before, self.last, strict=True)]
        self.minutes.append(
            Minute(
                at=at,
                received=sum(new.received - old.received for old, new in zip(before[1:], self.last[1:], strict=True)),
                p50=_milliseconds(ages, 50),
                p95=_milliseconds(ages, 95),
                p99=_milliseconds(ages, 99),
                disconnects=self.disconnects,
                server_mb=self.last[0].rss / 2**20,
                members_mb=sum(crowd.rss for crowd in self.last[1:]) / 2**20,
                server_cpu=cpu[0],
                members_cpu=sum(cpu[1:]),
                others=max(0.0, 100 * busy / seconds - sum(cpu)),
            )
        )
        print("  ".join(_cells(self.minutes[-1])), file=sys.stderr)

    def figures(self) -> dict[str, Any]:
        """Return what became of everything."""
        members = self.last[1:]
        return {
            "sent": sum(crowd.sent for crowd in members),
            "received": sum(crowd.received for crowd in members),
            "lost": sum(crowd.lost for crowd in members),
            "disconnects": self.disconnects,
            "server_drops": self.last[0].drops,
            **{f"age_p{share:g}_ms": _milliseconds(self.ages, share) for share in (50, 95, 99, 99.9)},
            "server_cpu": float(np.mean([minute.server_cpu for minute in self.minutes])),
            "members_cpu": float(np.mean([minute.members_cpu for minute in self.minutes])),
            "others_cpu": float(np.mean([minute.others for minute in self.minutes])),
        }

    async def _ask(self, fps: float) -> list[Crowd]:
        look = Look(fps=fps)
        return [await process.ask(look, Crowd) for process in (self._server, *self._members)]


async def _measure(options: argparse.Namespace) -> _House:
    async with _open(options) as house:
        await house.begin(options.fps)
        start = time.monotonic()
        for number_of_look in range(1, max(2, round(options.minutes * 60 / _LOOK_SECONDS)) + 1):
            await asyncio.sleep(max(0.0, start + number_of_look * _LOOK_SECONDS - time.monotonic()))
            await house.look()
        return house


@asynccontextmanager
async def _open(options: argparse.Namespace) -> AsyncIterator[_House]:
    setup = Setup(
        system="posewire",
        role="server",
        secret=secrets.token_urlsafe(48),
        seed=options.seed,
        members=options.sessions,
    )
    processes: list[Process] = []
    try:
        processes.append(await Process.start(setup, _MODULE))
        url = await processes[0].ready()
        bounds = [options.sessions * index // options.processes for index in range(options.processes + 1)]
        for first, end in itertools.pairwise(bounds):
            share = msgspec.structs.replace(
                setup, role="members", url=url, first_subscriber=first, subscribers=end - first
            )
            processes.append(await Process.start(share, _MODULE))
            await processes[-1].ready()
            await processes[-1].ask(Enter(rooms=options.rooms), Ready, _ENTER_SECONDS)
        yield _House(processes[0], processes[1:])
    except BaseException:
        for process in processes:
            process.kill()
        raise
    finally:
        await close_all(processes)


def _milliseconds(ages: npt.NDArray[np.int64], share: float) -> float | None:
    seconds = percentile(ages, share)
    return None if seconds is None else seconds * 1e3


def _cells(minute: Minute) -> list[str]:
    return [
        f"{minute.at:.0f} s",
        str(minute.received),
        *(number(value, 1) for value in (minute.p50, minute.p95, minute.p99)),
        str(minute.disconnects),
        *(f"{size:.1f}" for size in (minute.server_mb, minute.members_mb)),
        *(f"{share:.0f}" for share in (minute.server_cpu, minute.members_cpu, minute.others)),
    ]


def _render(result: dict[str, Any], house: _House, growths: Sequence[Growth]) -> str:
    settings, machine, figures = result["settings"], result["machine"], result["figures"]
    lines = [
        f"crowd · {result['date']} · commit {result['commit']}{' + changes' if result['dirty'] else ''}",
        f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}, Python {result['python']}",
        f"{settings['sessions']} sessions in {settings['rooms']} rooms at {settings['fps']:g} fps each,",
        f"{settings['minutes']:g} min; ages in ms, memory in MB, CPU in % of a core",
        "",
    ]
    table = [
        [
            "",
            "received",
            "p50",
            "p95",
            "p99",
            "lost connections",
            "server",
            "members",
            "server CPU",
            "members'",
            "others",
        ]
    ]
    every = max(1, len(house.minutes) // 10)
    table += [_cells(minute) for minute in house.minutes[every - 1 :: every]]
    lines += [*align(table, names=0), ""]
    ages = ", ".join(f"p{share} {number(figures[f'age_p{share}_ms'], 1)}" for share in ("50", "95", "99", "99.9"))
    lines += [
        f"age in all: {ages} ms",
        f"{figures['sent']} sent, {figures['received']} received, {figures['lost']} missing in the numbers that came",
        f"dropped by the server: {figures['server_drops'] or 'none'}",
        f"{figures['disconnects']} connections lost; growth may be {MAX_GROWTH / 2**20:g} MB, no task, no descriptor:",
    ]
    lines += [] if growths else ["  too short to judge"]
    for one in growths:
        verdict = ("flat" if one.held else "GREW") + ("" if one.settled else " (too short to judge)")
        lines.append(f"  {one.role}: {one.rss_first / 2**20:.1f} to {one.rss_last / 2**20:.1f} MB: {verdict}")
    return "\n".join(lines)
