"""Server CPU a delivered frame against the number of recipients, beside stock python-socketio."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from typing import Final

from benchmarks.fanout_report import draw, render, summarise
from benchmarks.machine import provenance, save, to_json
from benchmarks.matrix import Matrix, run_matrix
from benchmarks.motion import MAX_FRAMES, load_motion
from benchmarks.options import at_least_one, common_options, counts, installed, positive, rates, systems
from benchmarks.process import WorkerError

_LIBRARIES: Final = ("python-socketio", "python-engineio", "aiohttp", "msgspec", "msgpack", "uvloop")
_SYSTEMS: Final = ["posewire", "posewire-asyncio", "socketio-msgpack", "socketio-default"]
_WARMUP_SECONDS: Final = 0.5


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark; returns the exit code."""
    options = _parse(arguments)
    matrix = Matrix(
        systems=installed(options.systems),
        subscribers=options.subscribers,
        fps=options.fps,
        rounds=options.rounds,
        seconds=options.seconds,
        warmup=_WARMUP_SECONDS,
        seed=options.seed,
    )
    try:
        cells = asyncio.run(run_matrix(matrix))
    except WorkerError as exc:
        print(f"fanout: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    settings = {
        "seed": options.seed,
        "seconds": options.seconds,
        "rounds": options.rounds,
        "motion": load_motion(options.seed).source,
    }
    result = {"benchmark": "fanout", **provenance(_LIBRARIES), "settings": settings, **summarise(cells)}
    print(to_json(result).decode() if options.json else render(result))
    if options.save:
        file = save("fanout", result)
        picture = file.with_suffix(".png")
        draw(result, picture)
        print(f"saved to {file} and {picture}", file=sys.stderr)
    return 0


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks fanout", description=__doc__)
    parser.add_argument("--seconds", type=positive, default=3.0, help="that count, of each run (default: %(default)s)")
    parser.add_argument("--rounds", type=at_least_one, default=3, help="of each combination (default: %(default)s)")
    parser.add_argument("--subscribers", type=counts, default=[1, 8, 32, 64], help="default: 1,8,32,64")
    parser.add_argument("--fps", type=rates, default=[30.0, 120.0], help="default: 30,120")
    parser.add_argument("--systems", type=systems, default=_SYSTEMS, help=f"default: {','.join(_SYSTEMS)}")
    common_options(parser)
    options = parser.parse_args(arguments)
    if (_WARMUP_SECONDS + options.seconds) * max(options.fps) >= MAX_FRAMES:
        parser.error(f"--seconds times --fps: expected fewer than {MAX_FRAMES} frames")
    return options
