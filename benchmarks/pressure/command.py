"""The command line of the pressure benchmark."""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys
from collections.abc import Sequence
from typing import Any, Final, get_args

from benchmarks.machine import provenance, save, to_json
from benchmarks.netlab import Kind, NetlabError
from benchmarks.options import common_options, positive
from benchmarks.pressure.motions import MAX_FRAMES, clip
from benchmarks.pressure.play import play
from benchmarks.pressure.plot import PlotError, check_plotting, draw
from benchmarks.pressure.report import render_row, row_of
from benchmarks.pressure.scenarios import NOMINAL_SECONDS, OURS, SCENARIOS, STOCK, Case, cases
from benchmarks.pressure.verdict import failures
from benchmarks.process import WorkerError
from benchmarks.recordings import RecordingError

_LIBRARIES: Final = ("python-socketio", "python-engineio", "aiohttp", "msgspec", "numpy", "uvloop")
_DESCRIPTION: Final = "Age and memory over time while the link gets bad. Scenarios:\n" + "\n".join(
    f"  {name}  {of[0].title}" for name, of in SCENARIOS.items()
)


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark; returns the exit code: 0 when it ran, whatever the figures are."""
    options = _parse(arguments)
    try:
        if options.save:
            check_plotting()
        streams = {stream: clip(stream).name for stream in ("pose33", "holistic")}
        rows = asyncio.run(_run(options))
    except (WorkerError, NetlabError, PlotError, RecordingError) as exc:
        print(f"pressure: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    result: dict[str, Any] = {
        "benchmark": "pressure",
        **provenance(_LIBRARIES),
        "settings": {"seed": options.seed, "seconds": options.seconds, "recordings": streams},
        "rows": rows,
    }
    if options.json:
        print(to_json(result).decode())
    else:
        print(f"{failures(rows)} bars missed")
    if options.save:
        file = save("pressure", result)
        draw(result, file.with_suffix(".png"))
        print(f"saved to {file} and {file.with_suffix('.png').name}", file=sys.stderr)
    return 0


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks pressure",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--scenario", type=_names(SCENARIOS), default=list(SCENARIOS), help=f"default: {','.join(SCENARIOS)}"
    )
    parser.add_argument("--systems", type=_names((OURS, STOCK)), default=[OURS, STOCK], help=f"default: {OURS},{STOCK}")
    parser.add_argument(
        "--seconds",
        type=positive,
        default=NOMINAL_SECONDS,
        help="of the cut of scenario a; other phases in proportion (default: %(default)s, which the bars are for)",
    )
    parser.add_argument("--link", choices=get_args(Kind), default="auto", help="kind of link (default: %(default)s)")
    parser.add_argument("--quiet", action="store_true", help="leave out what the sender said each second")
    common_options(parser)
    options = parser.parse_args(arguments)
    longest = max(case.seconds for case in cases(options.scenario, options.systems, options.seconds / NOMINAL_SECONDS))
    if longest * 50 >= MAX_FRAMES:
        parser.error(f"--seconds {options.seconds:g}: expected fewer than {MAX_FRAMES} chunks of audio in a case")
    return options


def _names(known: Sequence[str] | dict[str, list[Case]]) -> Any:
    def read(text: str) -> list[str]:
        names = text.split(",")
        if strange := [name for name in names if name not in known]:
            raise argparse.ArgumentTypeError(f"{strange[0]}: expected some of {', '.join(known)}")
        return names

    return read


async def _run(options: argparse.Namespace) -> list[dict[str, Any]]:
    secret = secrets.token_urlsafe(48)
    rows = []
    todo = cases(options.scenario, options.systems, options.seconds / NOMINAL_SECONDS)
    for index, case in enumerate(todo):
        print(f"[{index + 1}/{len(todo)}] {case.name}, {case.seconds:g} s", file=sys.stderr)
        row = row_of(await play(case, secret=secret, seed=options.seed, kind=options.link))
        rows.append(row)
        if not options.json:
            print(render_row(row, verbose=not options.quiet), flush=True)
            print(flush=True)
    return rows
