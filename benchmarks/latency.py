"""End-to-end latency of poses from one publisher to N subscribers, beside stock python-socketio and other peers."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.latency_report import render, summarise
from benchmarks.machine import provenance, save, to_json
from benchmarks.matrix import Matrix, run_matrix
from benchmarks.motion import MAX_FRAMES, load_motion
from benchmarks.options import common_options, counts, installed, positive, rates, systems
from benchmarks.process import WorkerError
from benchmarks.systems import DEFAULT, SYSTEMS

WARMUP_SECONDS: Final = 0.5
_LIBRARIES: Final = (
    *("python-socketio", "python-engineio", "aiohttp", "msgspec", "msgpack", "numpy", "uvloop", "picows", "websockets"),
    *("nats-py", "eclipse-zenoh", "aiomqtt", "redis", "hiredis", "aiortc"),
)
_BASELINES: Final = ["raw-tcp", "socketio-msgpack", "socketio-default"]


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark; returns the exit code."""
    options = _parse(arguments)
    options.systems = installed(options.systems)
    try:
        cells = asyncio.run(run_matrix(_matrix(options)))
    except WorkerError as exc:
        print(f"latency: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    result = {"benchmark": "latency", **provenance(_LIBRARIES), "settings": _settings(options)}
    result |= summarise(cells, baselines=options.baseline)
    print(to_json(result).decode() if options.json else render(result))
    if options.save:
        print(f"saved to {save('latency', result)}", file=sys.stderr)
    return 0


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks latency", description=__doc__)
    parser.add_argument("--seconds", type=positive, default=2.5, help="that count, of each run (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=2, help="runs of each combination (default: %(default)s)")
    parser.add_argument("--subscribers", type=counts, default=[8, 32], help="default: 8,32")
    parser.add_argument("--fps", type=rates, default=[30.0, 120.0], help="default: 30,120")
    parser.add_argument(
        "--subscriber-processes", type=int, default=1, metavar="K", help="that share the subscribers (default: 1)"
    )
    others = ", ".join(name for name in SYSTEMS if name not in DEFAULT)
    parser.add_argument(
        "--systems", type=systems, default=DEFAULT, help=f"default: {','.join(DEFAULT)}; there are also {others}"
    )
    parser.add_argument(
        *("--baseline", "--baselines"),
        type=systems,
        default=_BASELINES,
        help=f"what the ratios of posewire are to (default: {','.join(_BASELINES)})",
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


def _matrix(options: argparse.Namespace) -> Matrix:
    return Matrix(
        systems=options.systems,
        subscribers=options.subscribers,
        fps=options.fps,
        rounds=options.rounds,
        seconds=options.seconds,
        warmup=WARMUP_SECONDS,
        processes=options.subscriber_processes,
        seed=options.seed,
        profile=options.profile,
    )


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
