"""Frames a second into a room before latency grows: Posewire, stock python-socketio and raw TCP, in one run."""

from __future__ import annotations

import argparse
import asyncio
import random
import secrets
import sys
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from benchmarks.capacity_report import render, summarise
from benchmarks.capacity_rig import Step, open_flood
from benchmarks.capacity_search import FINE, RISE, TRIES, CapacitySearch
from benchmarks.machine import provenance, save, to_json
from benchmarks.options import at_least_one, common_options, installed, positive, relays
from benchmarks.process import WorkerError

_LIBRARIES: Final = ("python-socketio", "python-engineio", "aiohttp", "msgspec", "msgpack", "uvloop")
_SYSTEMS: Final = ["posewire", "posewire-v2", "raw-tcp", "socketio-msgpack", "socketio-default"]
_START: Final = 200.0
_LIMIT: Final = 60_000.0


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What a search found."""

    round: int
    system: str
    capacity: float
    """Frames a second."""
    limited: bool
    """The capacity is at least this: nothing higher was tried."""
    steps: list[Step]


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark; returns the exit code."""
    options = _parse(arguments)
    options.systems = installed(options.systems)
    try:
        found = asyncio.run(_measure(options))
    except WorkerError as exc:
        print(f"capacity: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    result = {"benchmark": "capacity", **provenance(_LIBRARIES), "settings": _settings(options)}
    result |= summarise([(one.round, one.system, one.capacity, one.limited, one.steps) for one in found])
    print(to_json(result).decode() if options.json else render(result))
    if options.save:
        print(f"saved to {save('capacity', result)}", file=sys.stderr)
    return 0


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks capacity", description=__doc__)
    parser.add_argument("--subscribers", type=at_least_one, default=32, help="in the room (default: %(default)s)")
    parser.add_argument("--seconds", type=positive, default=1.0, help="that count, of each rate (default: %(default)s)")
    parser.add_argument("--bound", type=positive, default=50.0, metavar="MS", help="p99 may be (default: %(default)s)")
    parser.add_argument("--rounds", type=at_least_one, default=3, help="searches of each system (default: %(default)s)")
    parser.add_argument("--start", type=positive, default=_START, help="first rate (default: %(default)s)")
    parser.add_argument("--systems", type=relays, default=_SYSTEMS, help=f"default: {','.join(_SYSTEMS)}")
    common_options(parser)
    return parser.parse_args(arguments)


async def _measure(options: argparse.Namespace) -> list[Found]:
    """Search, the systems in turn in every round, in an order of chance."""
    chance = random.Random(options.seed)
    secret = secrets.token_urlsafe(48)
    found = []
    for round_ in range(options.rounds):
        for system in chance.sample(options.systems, len(options.systems)):
            print(f"round {round_ + 1}: {system}", file=sys.stderr)
            search = CapacitySearch(options.start, limit=_LIMIT)
            steps = await _search(search, system, options, secret)
            one = Found(round=round_, system=system, capacity=search.capacity, limited=search.limited, steps=steps)
            found.append(one)
    return found


async def _search(search: CapacitySearch, system: str, options: argparse.Namespace, secret: str) -> list[Step]:
    steps: list[Step] = []
    while search.rate is not None:
        async with open_flood(system, subscribers=options.subscribers, secret=secret, seed=options.seed) as flood:
            held = True
            # After a rate that is too high queues are full of it: the next one begins on new connections.
            while held and search.rate is not None:
                step = await flood.run(search.rate, seconds=options.seconds, bound=options.bound / 1000)
                steps.append(step)
                held = step.held
                print(f"  {step.text()}", file=sys.stderr)
                search.record(held)
    return steps


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "seed": options.seed,
        "subscribers": options.subscribers,
        "seconds": options.seconds,
        "bound_ms": options.bound,
        "rounds": options.rounds,
        "start": options.start,
        "rise": RISE,
        "fine": FINE,
        "tries": TRIES,
        "systems": options.systems,
    }
