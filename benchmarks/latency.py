"""End-to-end latency of poses from one publisher to N subscribers, beside stock python-socketio."""

from __future__ import annotations

import argparse
import asyncio
import random
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.latency_report import Cell, render, summarise
from benchmarks.machine import provenance, save, to_json
from benchmarks.motion import MAX_FRAMES, load_motion
from benchmarks.options import common_options, counts, positive, rates, systems
from benchmarks.process import WorkerError
from benchmarks.rig import open_rig
from benchmarks.systems import SYSTEMS

WARMUP_SECONDS: Final = 1.0
_LIBRARIES: Final = ("python-socketio", "python-engineio", "aiohttp", "msgspec", "msgpack", "numpy")


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark; returns the exit code."""
    options = _parse(arguments)
    try:
        cells = asyncio.run(_measure(options))
    except WorkerError as exc:
        print(f"latency: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    result = {"benchmark": "latency", **provenance(_LIBRARIES), "settings": _settings(options)}
    result |= summarise(cells, baseline=options.baseline)
    print(to_json(result).decode() if options.json else render(result))
    if options.save:
        print(f"saved to {save('latency', result)}", file=sys.stderr)
    return 0


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks latency", description=__doc__)
    parser.add_argument("--seconds", type=positive, default=4.0, help="that count, of each run (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each combination (default: %(default)s)")
    parser.add_argument("--subscribers", type=counts, default=[1, 8, 32], help="default: 1,8,32")
    parser.add_argument("--fps", type=rates, default=[30.0, 120.0], help="default: 30,120")
    parser.add_argument(
        "--subscriber-processes", type=int, default=1, metavar="K", help="that share the subscribers (default: 1)"
    )
    parser.add_argument("--systems", type=systems, default=list(SYSTEMS), help=f"default: {','.join(SYSTEMS)}")
    parser.add_argument(
        "--baseline", choices=list(SYSTEMS), default="socketio-msgpack", help="what posewire's ratios are to"
    )
    parser.add_argument("--profile", type=Path, metavar="DIR", help="write cProfile files; falsifies the latency")
    common_options(parser)
    options = parser.parse_args(arguments)
    if options.rounds < 1 or options.subscriber_processes < 1:
        parser.error("--rounds and --subscriber-processes: expected at least 1")
    if (WARMUP_SECONDS + options.seconds) * max(options.fps) >= MAX_FRAMES:
        parser.error(f"--seconds times --fps: expected fewer than {MAX_FRAMES} frames")
    if options.profile is not None:
        options.profile.mkdir(parents=True, exist_ok=True)
        options.profile = options.profile.resolve()
    return options


async def _measure(options: argparse.Namespace) -> list[Cell]:
    """Run the matrix. Systems take turns in every round, in an order of chance, so that drift hits all alike."""
    chance = random.Random(options.seed)
    secret = secrets.token_urlsafe(48)
    cells: list[Cell] = []
    total = options.rounds * len(options.subscribers) * len(options.systems)
    for round_ in range(options.rounds):
        for count in options.subscribers:
            for system in chance.sample(options.systems, len(options.systems)):
                done = len(cells) // len(options.fps)
                print(f"[{done + 1}/{total}] round {round_ + 1}: {system}, {count} subscribers", file=sys.stderr)
                async with open_rig(
                    system,
                    subscribers=count,
                    processes=min(options.subscriber_processes, count),
                    secret=secret,
                    seed=options.seed,
                    profile=options.profile,
                ) as rig:
                    for fps in options.fps:
                        outcome = await rig.run(fps=fps, seconds=options.seconds, warmup=WARMUP_SECONDS)
                        cells.append(Cell.of(outcome, system=system, subscribers=count, round_=round_))
    return cells


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "seed": options.seed,
        "seconds": options.seconds,
        "warmup": WARMUP_SECONDS,
        "rounds": options.rounds,
        "subscriber_processes": options.subscriber_processes,
        "systems": options.systems,
        "motion": load_motion(options.seed).source,
        "profiled": options.profile is not None,
    }
