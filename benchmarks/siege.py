"""Honest members in one room while strangers and greedy members attack the server: does their age stay?"""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import statistics
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from benchmarks.crowd_age import percentile, read
from benchmarks.crowd_messages import Crowd, Enter, Look
from benchmarks.machine import provenance, save, to_json
from benchmarks.messages import Ready, Setup
from benchmarks.options import at_least_one, common_options, positive
from benchmarks.process import Process, WorkerError
from benchmarks.rig import close_all
from benchmarks.siege_attacks import ATTACKS
from benchmarks.siege_messages import Strike, Struck
from benchmarks.table import align, number

_LIBRARIES: Final = ("python-socketio", "python-engineio", "aiohttp", "msgspec", "numpy", "uvloop")
_BAR: Final = 1.2
_BEGIN_SECONDS: Final = 0.5
"""After an attack begins, or ends, until it counts."""


class Spell(msgspec.Struct, frozen=True, kw_only=True):
    """Some seconds, with or without an attack; ages in milliseconds, CPU in percent of a core, memory in MB."""

    p50: float | None
    p95: float | None
    p99: float | None
    received: int
    server_cpu: float
    server_mb: float


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One attack, once."""

    attack: str
    attempts: int
    peace: Spell
    war: Spell
    drops: dict[str, int]
    """What the server counted meanwhile."""
    disconnects: int
    """Honest members that lost their connection."""

    @property
    def ratio(self) -> float | None:
        """Age at p99, against that without."""
        return self.war.p99 / self.peace.p99 if self.war.p99 and self.peace.p99 else None


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark; returns the exit code: 1 when an honest member was cut, or waited too long."""
    options = _parse(arguments)
    try:
        rows = asyncio.run(_measure(options))
    except WorkerError as exc:
        print(f"siege: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    result: dict[str, Any] = {"benchmark": "siege", **provenance(_LIBRARIES)}
    names = ("attacks", "seconds", "rounds", "members", "fps", "shared", "seed")
    result["settings"] = {name: getattr(options, name) for name in names}
    result["rows"] = [{**msgspec.to_builtins(row), "ratio": row.ratio} for row in rows]
    result["ratios"] = ratios = _ratios(rows)
    print(to_json(result).decode() if options.json else _render(result, rows, ratios))
    if options.save:
        print(f"saved to {save('siege', result)}", file=sys.stderr)
    held = all(ratio is not None and ratio <= _BAR for ratio in ratios.values())
    return 0 if held and not any(row.disconnects for row in rows) else 1


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks siege", description=__doc__)
    parser.add_argument(
        "--attacks", type=_attacks, default=list(ATTACKS), help=f"of {', '.join(ATTACKS)}; default: all"
    )
    parser.add_argument("--seconds", type=positive, default=5.0, help="of each spell (default: %(default)g)")
    parser.add_argument("--rounds", type=at_least_one, default=3, help="default: %(default)s")
    parser.add_argument("--members", type=at_least_one, default=4, help="honest ones, in a room (default: %(default)s)")
    parser.add_argument("--fps", type=positive, default=30.0, help="of each of them (default: %(default)g)")
    parser.add_argument(
        "--shared",
        action="store_true",
        help="let the system place the processes; else the server has a core to itself, as it has where attackers have "
        "machines of their own",
    )
    common_options(parser)
    return parser.parse_args(arguments)


def _attacks(text: str) -> list[str]:
    names = text.split(",")
    if strange := [name for name in names if name not in ATTACKS]:
        raise argparse.ArgumentTypeError(f"{strange[0]}: expected some of {', '.join(ATTACKS)}")
    return names


async def _measure(options: argparse.Namespace) -> list[Row]:
    async with _open(options) as siege:
        return [await siege.row(name) for _ in range(options.rounds) for name in options.attacks]


class _Siege:
    """The processes, and what is seen of them."""

    def __init__(self, server: Process, members: Process, attackers: Process, seconds: float) -> None:
        self._server = server
        self._members = members
        self._attackers = attackers
        self._seconds = seconds
        self._seen: list[Crowd] = []
        self._seen_at = 0.0

    async def begin(self, fps: float) -> None:
        """Let the honest ones send."""
        await self._members.ask(Look(fps=fps), Crowd)
        await asyncio.sleep(2 * _BEGIN_SECONDS)

    async def row(self, name: str) -> Row:
        """Look at some seconds of peace, and at as many of an attack."""
        await self._look()
        before = self._seen
        peace = await self._spell()
        order = Strike(attack=name, seconds=self._seconds + 2 * _BEGIN_SECONDS)
        attack = asyncio.create_task(self._attackers.ask(order, Struck, 60 + self._seconds), name="benchmark.strike")
        await asyncio.sleep(_BEGIN_SECONDS)
        await self._look()
        war = await self._spell()
        attempts = (await attack).attempts
        await asyncio.sleep(2 * _BEGIN_SECONDS)
        await self._look()
        row = Row(
            attack=name,
            attempts=attempts,
            peace=peace,
            war=war,
            drops={
                reason: count - before[0].drops.get(reason, 0)
                for reason, count in self._seen[0].drops.items()
                if count > before[0].drops.get(reason, 0)
            },
            disconnects=self._seen[1].disconnects - before[1].disconnects,
        )
        print("  ".join(_cells(row)), file=sys.stderr)
        return row

    async def _look(self) -> float:
        look = Look(collect=False)
        self._seen = [await self._server.ask(look, Crowd), await self._members.ask(look, Crowd)]
        now = time.monotonic()
        seconds, self._seen_at = now - self._seen_at, now
        return seconds

    async def _spell(self) -> Spell:
        await asyncio.sleep(self._seconds)
        before = self._seen
        seconds = await self._look()
        server, members = self._seen
        ages = read(members.ages)
        return Spell(
            received=members.received - before[1].received,
            server_cpu=(server.cpu_ns - before[0].cpu_ns) / 1e7 / seconds,
            server_mb=server.rss / 2**20,
            **{f"p{share}": _milliseconds(ages, share) for share in (50, 95, 99)},
        )


@asynccontextmanager
async def _open(options: argparse.Namespace) -> AsyncIterator[_Siege]:
    setup = Setup(
        system="posewire",
        role="server",
        secret=secrets.token_urlsafe(48),
        seed=options.seed,
        members=options.members,
    )
    processes: list[Process] = []
    try:
        processes.append(await Process.start(setup, "benchmarks.crowd_worker"))
        url = await processes[0].ready()
        honest = msgspec.structs.replace(setup, role="members", url=url, subscribers=options.members)
        for module in ("benchmarks.crowd_worker", "benchmarks.siege_worker"):
            processes.append(await Process.start(honest, module))
            await processes[-1].ready()
        await processes[1].ask(Enter(rooms=1), Ready)
        if not options.shared:
            _place(processes)
        siege = _Siege(processes[0], processes[1], processes[2], options.seconds)
        await siege.begin(options.fps)
        yield siege
    except BaseException:
        for process in processes:
            process.kill()
        raise
    finally:
        await close_all(processes)


def _place(processes: Sequence[Process]) -> None:
    """Give the server a core; everybody else has the others."""
    first, *others = sorted(os.sched_getaffinity(0))
    for process, cores in zip(processes, ([first], others, others), strict=True):
        os.sched_setaffinity(process.pid, cores or [first])


def _milliseconds(ages: npt.NDArray[np.int64], share: float) -> float | None:
    seconds = percentile(ages, share)
    return None if seconds is None else seconds * 1e3


def _ratios(rows: Sequence[Row]) -> dict[str, float | None]:
    """Return for each attack its median p99 over the rounds, against the median of all spells of peace.

    They are all alike, and a p99 of a few seconds is uncertain.
    """
    peace = [row.peace.p99 for row in rows if row.peace.p99]
    war: dict[str, list[float]] = {}
    for row in rows:
        war.setdefault(row.attack, []).extend([row.war.p99] if row.war.p99 else [])
    return {
        name: statistics.median(ages) / statistics.median(peace) if ages and peace else None
        for name, ages in war.items()
    }


def _cells(row: Row) -> list[str]:
    return [
        row.attack,
        str(row.attempts),
        *(number(spell_age, 1) for spell in (row.peace, row.war) for spell_age in (spell.p50, spell.p95, spell.p99)),
        number(row.ratio, 2),
        *(f"{spell.server_cpu:.0f}" for spell in (row.peace, row.war)),
        f"{row.war.server_mb:.1f}",
        str(row.disconnects),
    ]


def _render(result: dict[str, Any], rows: Sequence[Row], ratios: dict[str, float | None]) -> str:
    settings, machine = result["settings"], result["machine"]
    lines = [
        f"siege · {result['date']} · commit {result['commit']}{' + changes' if result['dirty'] else ''}",
        f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}, Python {result['python']}",
        f"{settings['members']} honest members at {settings['fps']:g} fps each; ages in ms without and with an attack,",
        f"CPU in % of a core, memory in MB; {'cores shared' if settings['shared'] else 'the server has its own core'}",
        "",
    ]
    head = ["", "attempts", "p50", "p95", "p99", "p50", "p95", "p99", "ratio", "server CPU", "with", "server", "cut"]
    lines += [*align([head, *map(_cells, rows)], names=0), "", f"p99 with, to that without, medians; may be {_BAR:g}:"]
    for name, ratio in ratios.items():
        verdict = "held" if ratio is not None and ratio <= _BAR else "MISSED"
        lines.append(f"  {ATTACKS[name].what}: {number(ratio, 2)} {verdict}")
    return "\n".join(lines)
