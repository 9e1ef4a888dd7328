"""``python -m benchmarks NAME``: dispatch to the module of that name."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Final

from benchmarks import (
    audio,
    capacity,
    chaos,
    clock_sync,
    codec,
    crowd,
    failover,
    fanout,
    lanes,
    latency,
    monitor,
    page,
    playout,
    pressure,
    resume,
    siege,
    soak,
    targets,
    video,
)

BENCHMARKS: Final[dict[str, ModuleType]] = {
    "latency": latency,
    "fanout": fanout,
    "capacity": capacity,
    "pressure": pressure,
    "soak": soak,
    "targets": targets,
    "codec": codec,
    "chaos": chaos,
    "audio": audio,
    "resume": resume,
    "failover": failover,
    "lanes": lanes,
    "crowd": crowd,
    "siege": siege,
    "clock": clock_sync,
    "playout": playout,
    "monitor": monitor,
    "page": page,
    "video": video,
}
"""Each has a `main` that takes the arguments after its name; the first line of its docstring says what it is."""


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark the first argument names; returns the exit code."""
    width = max(map(len, BENCHMARKS))
    listing = "\n".join(f"  {name:{width}}  {_summary(module)}" for name, module in BENCHMARKS.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        usage="%(prog)s NAME [options of the benchmark; --help lists them]",
        epilog=f"benchmarks:\n{listing}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", metavar="NAME", nargs="?")
    # What comes after the name is the benchmark's, --help included.
    name = parser.parse_args(arguments[:1]).name
    if name is None:
        parser.print_help(sys.stderr)
        return 2
    if name not in BENCHMARKS:
        parser.error(f"no benchmark is called {name!r}; there are: {', '.join(BENCHMARKS)}")
    code: int = BENCHMARKS[name].main(arguments[1:])
    return code


def _summary(module: ModuleType) -> str:
    return (module.__doc__ or "").partition("\n")[0]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
