"""Playout: how even smooth releases are, how true interpolated poses, how well sound and poses are aligned."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks import playout_alignment, playout_schedule
from benchmarks.machine import provenance, save, to_json
from benchmarks.netlab.path import describe
from benchmarks.options import common_options, positive
from benchmarks.playout_link import LOSSY, NETWORK
from benchmarks.playout_motion import SENT_FPS, measure_motion
from benchmarks.playout_smoothing import measure_smoothing
from benchmarks.recordings import RecordingError, default_folder
from benchmarks.table import align

_LIBRARIES: Final = ("posewire", "numpy", "msgspec")
_DELAY: Final = 0.08
MAX_STD_MS: Final = 2.0
MAX_DELAY_MS: Final = 80.0
MAX_RATIO: Final = 0.5
MAX_APART_MS: Final = 20.0
SKEWS: Final = (200.0,)
"""ppm that a sound card runs slow: as bad as they come."""


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark; returns 1 when a bar is missed."""
    options = _parse(arguments)
    try:
        result = {
            "benchmark": "playout",
            **provenance(_LIBRARIES),
            "seed": options.seed,
            "settings": _settings(options),
        }
        result |= _measure(options)
    except RecordingError as exc:
        print(f"playout: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(to_json(result).decode() if options.json else _render(result))
    if options.save:
        print(f"saved to {save('playout', result)}", file=sys.stderr)
    return 0 if all(result["held"].values()) else 1


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks playout", description=__doc__)
    parser.add_argument("--seconds", type=positive, default=60.0, help="of each run (default: %(default)g)")
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="folder of recordings (default: ../shared/data, else the samples)"
    )
    common_options(parser)
    options = parser.parse_args(arguments)
    if options.data is None:
        options.data = default_folder()
    return options


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "seconds": options.seconds,
        "schedule_link": describe(NETWORK),
        "alignment_link": describe(LOSSY),
        "sent_fps": SENT_FPS,
        "data": str(options.data),
    }


def _measure(options: argparse.Namespace) -> dict[str, Any]:
    motion = measure_motion(options.data, options.seed)
    smoothing = measure_smoothing(options.data)
    schedule = [playout_schedule.virtual(options.seconds, options.seed, delay) for delay in (_DELAY, None)]
    alignment = [playout_alignment.virtual(options.seconds, options.seed)]
    alignment += [playout_alignment.virtual(600.0, options.seed, skew_ppm=skew) for skew in SKEWS]
    for delay in (_DELAY, None):
        print(f"smooth on the event loop, {options.seconds:g} s", file=sys.stderr)
        schedule.append(asyncio.run(playout_schedule.real(options.seconds, options.seed, delay)))
    for playout in ("timecode", "latest"):
        print(f"{playout} through a real server, {options.seconds:g} s", file=sys.stderr)
        alignment.append(asyncio.run(playout_alignment.real(options.seconds, options.seed, playout)))
    held = {
        "smooth_interval": all(
            row["interval_std_ms"] <= MAX_STD_MS and row["delay_ms"] <= MAX_DELAY_MS + 0.5 for row in schedule
        ),
        "interpolation": all(max(row["cubic_ratio"], row["smooth_ratio"]) <= MAX_RATIO for row in motion),
        "alignment": all(row["apart_max_ms"] <= MAX_APART_MS for row in alignment if "latest" not in row["run"]),
    }
    return {"schedule": schedule, "motion": motion, "alignment": alignment, "smoothing": smoothing, "held": held}


def _render(result: dict[str, Any]) -> str:
    settings, machine = result["settings"], result["machine"]
    lines = [
        f"playout · {result['date']} · commit {result['commit']}{' + changes' if result['dirty'] else ''}",
        f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}, Python {result['python']}",
    ]
    parts = (
        ("schedule", f"smooth at {SENT_FPS} fps over {settings['schedule_link']}: interval between releases"),
        ("motion", f"sent at {SENT_FPS} fps as v3: mean distance from the true joint between two frames sent"),
        ("alignment", f"timecode over {settings['alignment_link']}: lag of each pose against the sound beside it"),
        ("smoothing", "One-Euro filter: tremble (rms of the second difference), lag (mean distance), cost"),
    )
    for name, title in parts:
        rows = result[name]
        lines += [
            "",
            title,
            *align([list(rows[0]), *([str(value) for value in row.values()] for row in rows)], names=0),
        ]
    lines += ["", *(f"{name}: {'held' if held else 'MISSED'}" for name, held in result["held"].items())]
    return "\n".join(lines)
