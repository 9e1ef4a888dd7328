"""How soon sessions are back after their network was gone: connected, in their room, and seeing the others."""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import secrets
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, Literal

import msgspec

from benchmarks.machine import provenance, save, to_json
from benchmarks.messages import Setup
from benchmarks.options import at_least_one, common_options, positive
from benchmarks.process import Process, WorkerError
from benchmarks.reconnect.figures import BAR_MS, STEPS, Row, row_of
from benchmarks.reconnect.messages import Back, Backs, Note, Turn, Turned
from benchmarks.reconnect.seen import FPS, ROOM_SIZE
from benchmarks.rig import close_all
from benchmarks.table import align, number

_LIBRARIES: Final = ("python-socketio", "python-engineio", "aiohttp", "msgspec", "uvloop")
_MODULE: Final = "benchmarks.reconnect.worker"
_SYSTEMS: Final = ("posewire", "stock")
_QUIET_SECONDS: Final = 2.0
"""Between two cuts; drawn anew from here to twice as much, so that no timer of anybody's keeps step with it."""
_GIVE_UP_SECONDS: Final = 30.0
_LOOK_SECONDS: Final = 0.25

Cut = Literal["refused", "blackhole", "gateway"]
_CUTS: Final[tuple[Cut, ...]] = ("refused", "blackhole", "gateway")


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark; returns the exit code: 1 when Posewire misses the bar."""
    options = _parse(arguments)
    try:
        rows = asyncio.run(_measure(options))
    except WorkerError as exc:
        print(f"resume: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    names = ("sessions", "cut", "rounds", "processes", "seed")
    settings = {name: getattr(options, name) for name in names} | {"fps": FPS, "bar_ms": BAR_MS}
    result: dict[str, Any] = {"benchmark": "resume", **provenance(_LIBRARIES), "settings": settings}
    result["rows"] = [msgspec.to_builtins(row) | {"held": row.held} for row in rows]
    print(to_json(result).decode() if options.json else _render(result, rows))
    if options.save:
        print(f"saved to {save('resume', result)}", file=sys.stderr)
    return 0 if all(row.held for row in rows if row.system == "posewire" and row.cut == _CUTS[0]) else 1


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks resume", description=__doc__)
    parser.add_argument("--sessions", type=at_least_one, default=50, help="in rooms of 10 (default: %(default)s)")
    parser.add_argument("--cut", type=positive, default=2.0, help="seconds without a network (default: %(default)g)")
    parser.add_argument("--rounds", type=at_least_one, default=4, help="cuts of each kind (default: %(default)s)")
    parser.add_argument("--processes", type=at_least_one, default=1, help="that host sessions (default: %(default)s)")
    parser.add_argument("--systems", default=",".join(_SYSTEMS), help="default: %(default)s")
    parser.add_argument(
        "--kinds", default=",".join(_CUTS), help="what becomes of new connections meanwhile (default: %(default)s)"
    )
    common_options(parser)
    options = parser.parse_args(arguments)
    for name, known in (("systems", _SYSTEMS), ("kinds", _CUTS)):
        setattr(options, name, getattr(options, name).split(","))
        if strange := set(getattr(options, name)) - set(known):
            parser.error(f"--{name} {strange.pop()}: expected some of {', '.join(known)}")
    return options


class _Lab:
    """The processes of one system."""

    def __init__(self, link: Process, members: list[Process], chance: random.Random) -> None:
        self._link = link
        self._members = members
        self._chance = chance

    async def round(self, cut: Cut, seconds: float) -> tuple[int, list[Back]]:
        """Cut once; returns when the network was back, and what all sessions saw."""
        await asyncio.sleep(self._chance.uniform(_QUIET_SECONDS, 2 * _QUIET_SECONDS))
        await self._link.ask(Turn(action=cut), Turned)
        await asyncio.sleep(seconds / 2)
        await self._note("arm")  # by now nothing from before the cut is on its way
        await asyncio.sleep(seconds / 2)
        returned = (await self._link.ask(Turn(action="restore"), Turned)).at_ns
        waited = 0.0
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            waited += _LOOK_SECONDS
            backs = await self._note("report")
            if all(back.complete for back in backs) or waited >= _GIVE_UP_SECONDS:
                return returned, backs

    async def _note(self, action: Literal["arm", "report"]) -> list[Back]:
        return [back for process in self._members for back in (await process.ask(Note(action=action), Backs)).sessions]


async def _measure(options: argparse.Namespace) -> list[Row]:
    rows = []
    chance = random.Random(options.seed)
    for system in options.systems:
        async with _open(system, options, chance) as lab:
            for cut in options.kinds:
                rounds = []
                for index in range(options.rounds):
                    rounds.append(await lab.round(cut, options.cut))
                    late = sum(not back.complete for back in rounds[-1][1])
                    print(f"{system} {cut} {index + 1} of {options.rounds}: {late} not back", file=sys.stderr)
                rows.append(row_of(system, cut, rounds))
    return rows


@asynccontextmanager
async def _open(system: str, options: argparse.Namespace, chance: random.Random) -> AsyncIterator[_Lab]:
    setup = Setup(
        system=system,
        role="server",
        secret=secrets.token_urlsafe(48),
        seed=options.seed,
        members=options.sessions,
    )
    processes: list[Process] = []
    try:
        processes.append(await Process.start(setup, _MODULE))
        setup = msgspec.structs.replace(setup, role="link", url=await processes[0].ready())
        processes.append(await Process.start(setup, _MODULE))
        url = await processes[1].ready()
        bounds = [options.sessions * index // options.processes for index in range(options.processes + 1)]
        for first, end in itertools.pairwise(bounds):
            share = msgspec.structs.replace(
                setup, role="members", url=url, first_subscriber=first, subscribers=end - first
            )
            processes.append(await Process.start(share, _MODULE))
            await processes[-1].ready()
        yield _Lab(processes[1], processes[2:], chance)
    except BaseException:
        for process in processes:
            process.kill()
        raise
    finally:
        await close_all(processes)


def _render(result: dict[str, Any], rows: Sequence[Row]) -> str:
    settings, machine = result["settings"], result["machine"]
    lines = [
        f"resume · {result['date']} · commit {result['commit']}{' + changes' if result['dirty'] else ''}",
        f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}, Python {result['python']}",
        f"{settings['sessions']} sessions in rooms of {ROOM_SIZE}; each sends {FPS} fps and reads the others;",
        f"{settings['rounds']} times of each kind no network for {settings['cut']:g} s: connections are reset,",
        "new ones refused, their SYNs not answered (blackhole), or taken and reset (gateway);",
        "milliseconds from the network's return",
        "",
    ]
    table = [["system", "kind", "until", "p50", "p95", "p99", "worst", "back", "resumed", ""]]
    for row in rows:
        for step in STEPS:
            seen = row.steps[step]
            figures = [number(value) for value in (seen.p50, seen.p95, seen.p99, seen.worst)]
            verdict = ("" if row.held else f"over {BAR_MS:g} ms") if step == STEPS[0] else ""
            back = f"{seen.came} of {row.sessions}"
            table.append([row.system, row.cut, step, *figures, back, str(row.resumed), verdict])
    return "\n".join([*lines, *align(table, names=2)])
