"""How soon sessions see each other again, at another server, after theirs was killed or cannot be reached any more."""

from __future__ import annotations

import argparse
import asyncio
import random
import secrets
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec

from benchmarks.machine import provenance, save, to_json
from benchmarks.messages import Setup
from benchmarks.options import at_least_one, common_options
from benchmarks.process import Process, WorkerError
from benchmarks.reconnect.figures import STEPS, Row, row_of
from benchmarks.reconnect.messages import Back, Backs, Note, Turn, Turned
from benchmarks.reconnect.seen import FPS, ROOM_SIZE
from benchmarks.rig import close_all
from benchmarks.table import align, number

BAR_MS: Final = 1000.0
"""Until the first pose of another member, p99."""
_LIBRARIES: Final = ("python-socketio", "python-engineio", "aiohttp", "msgspec", "uvloop")
_MODULE: Final = "benchmarks.reconnect.worker"
_KINDS: Final = ("killed", "blackhole")
_QUIET_SECONDS: Final = 2.0
"""Before the end of the first server; drawn anew from here to twice as much."""
_GIVE_UP_SECONDS: Final = 30.0
_LOOK_SECONDS: Final = 0.25


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark; returns the exit code: 1 when the bar is missed."""
    options = _parse(arguments)
    try:
        rows = asyncio.run(_measure(options))
    except WorkerError as exc:
        print(f"failover: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    settings = {name: getattr(options, name) for name in ("sessions", "rounds", "seed")}
    settings |= {"fps": FPS, "bar_ms": BAR_MS}
    result: dict[str, Any] = {"benchmark": "failover", **provenance(_LIBRARIES), "settings": settings}
    result["rows"] = [msgspec.to_builtins(row) | {"held": _held(row)} for row in rows]
    print(to_json(result).decode() if options.json else _render(result, rows))
    if options.save:
        print(f"saved to {save('failover', result)}", file=sys.stderr)
    return 0 if all(map(_held, rows)) else 1


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks failover", description=__doc__)
    parser.add_argument("--sessions", type=at_least_one, default=20, help="in rooms of 10 (default: %(default)s)")
    parser.add_argument("--rounds", type=at_least_one, default=5, help="of each kind (default: %(default)s)")
    parser.add_argument("--kinds", default=",".join(_KINDS), help="how the first server ends (default: %(default)s)")
    common_options(parser)
    options = parser.parse_args(arguments)
    options.kinds = options.kinds.split(",")
    if strange := set(options.kinds) - set(_KINDS):
        parser.error(f"--kinds {strange.pop()}: expected some of {', '.join(_KINDS)}")
    return options


def _held(row: Row) -> bool:
    """Return whether all are back, and 99 of a hundred see somebody in time."""
    complete = all(row.steps[step].came == row.sessions for step in STEPS)
    return complete and (row.steps["first"].p99 or 0.0) <= BAR_MS


class _Lab:
    """Two servers and the sessions, which are at the first; each `end` is for one round."""

    def __init__(self, first: Process, link: Process, members: Process) -> None:
        self._first = first
        self._link = link
        self._members = members

    async def end(self, kind: str) -> tuple[int, list[Back]]:
        """End the first server; returns when that was, and what all sessions saw."""
        await self._members.ask(Note(action="arm"), Backs)
        if kind == "killed":
            at = time.monotonic_ns()
            self._first.kill()
        else:
            at = (await self._link.ask(Turn(action="blackhole"), Turned)).at_ns
        waited = 0.0
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            waited += _LOOK_SECONDS
            backs = (await self._members.ask(Note(action="report"), Backs)).sessions
            if all(back.complete for back in backs) or waited >= _GIVE_UP_SECONDS:
                return at, backs


async def _measure(options: argparse.Namespace) -> list[Row]:
    rows = []
    chance = random.Random(options.seed)
    for kind in options.kinds:
        rounds = []
        for index in range(options.rounds):
            async with _open(kind, options) as lab:
                await asyncio.sleep(chance.uniform(_QUIET_SECONDS, 2 * _QUIET_SECONDS))
                rounds.append(await lab.end(kind))
            late = sum(not back.complete for back in rounds[-1][1])
            print(f"{kind} {index + 1} of {options.rounds}: {late} not back", file=sys.stderr)
        rows.append(row_of("posewire", kind, rounds))
    return rows


@asynccontextmanager
async def _open(kind: str, options: argparse.Namespace) -> AsyncIterator[_Lab]:
    setup = Setup(
        system="posewire",
        role="server",
        secret=secrets.token_urlsafe(48),
        seed=options.seed,
        members=options.sessions,
    )
    processes: list[Process] = []
    try:
        urls = []
        for _ in range(2):
            processes.append(await Process.start(setup, _MODULE))
            urls.append(await processes[-1].ready())
        processes.append(await Process.start(msgspec.structs.replace(setup, role="link", url=urls[0]), _MODULE))
        link = await processes[-1].ready()
        # A server that is killed is so under its own address; only what a machine does that is gone needs a link.
        first = urls[0] if kind == "killed" else link
        share = msgspec.structs.replace(
            setup, role="members", url=f"{first},{urls[1]}", first_subscriber=0, subscribers=options.sessions
        )
        processes.append(await Process.start(share, _MODULE))
        await processes[-1].ready()
        yield _Lab(processes[0], processes[2], processes[3])
    except BaseException:
        for process in processes:
            process.kill()
        raise
    finally:
        await close_all(processes)


def _render(result: dict[str, Any], rows: Sequence[Row]) -> str:
    settings, machine = result["settings"], result["machine"]
    lines = [
        f"failover · {result['date']} · commit {result['commit']}{' + changes' if result['dirty'] else ''}",
        f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}, Python {result['python']}",
        f"{settings['sessions']} sessions in rooms of {ROOM_SIZE}; each sends {FPS} fps and reads the others;",
        f"{settings['rounds']} times the first of two servers is killed (SIGKILL), or its connections are reset and",
        "new SYNs not answered (blackhole); milliseconds from then on, at the second server",
        "",
    ]
    table = [["kind", "until", "p50", "p95", "p99", "worst", "back", ""]]
    for row in rows:
        for step in STEPS:
            seen = row.steps[step]
            figures = [number(value) for value in (seen.p50, seen.p95, seen.p99, seen.worst)]
            verdict = ("" if _held(row) else f"over {BAR_MS:g} ms, or not all back") if step == "first" else ""
            table.append([row.cut, step, *figures, f"{seen.came} of {row.sessions}", verdict])
    return "\n".join([*lines, *align(table, names=2)])
