"""Bytes, time and error of a frame in each body version, beside JSON, msgpack, CBOR, protobuf and float16."""

from __future__ import annotations

import argparse
import gc
import random
import statistics
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from benchmarks.codec_plot import PlotError, check_plotting, draw
from benchmarks.codec_report import recording_row, render, summarise
from benchmarks.codec_run import BLOCK, CodecError, Make, Trial, time_formats, try_format
from benchmarks.formats import FORMATS
from benchmarks.formats.posewire import PosewireV3
from benchmarks.machine import provenance, save, to_json
from benchmarks.options import at_least_one, common_options, formats
from benchmarks.recordings import Clip, RecordingError, default_folder, load_clips
from posewire.protocol import Precision

_LIBRARIES: Final = ("posewire", "numpy", "msgspec", "PyJWT", "cbor2", "protobuf")
_SWEPT: Final = "posewire-v3"
_SWEEP: Final = (-3, -2, -1, 0, 1, 2, 3)
"""How often the default steps are halved, so 1/256 to 1/16384 in x and y."""


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark; returns the exit code."""
    options = _parse(arguments)
    plots = options.save or options.plot is not None
    try:
        if plots:
            check_plotting()
        clips = load_clips(options.data, names=options.recording, frames=options.frames)
        result = {"benchmark": "codec", **provenance(_LIBRARIES), "seed": options.seed, "settings": _settings(options)}
        result |= _measure(clips, options)
        if plots:
            result["sweep"] = _sweep(clips)
    except (PlotError, RecordingError, CodecError) as exc:
        print(f"codec: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(to_json(result).decode() if options.json else render(result))
    _keep(result, options)
    return 0


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks codec", description=__doc__)
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="folder of recordings (default: ../shared/data, else the samples)"
    )
    parser.add_argument("--recording", nargs="+", default=[], metavar="NAME", help="only these (default: all)")
    parser.add_argument("--formats", type=formats, default=list(FORMATS), help=f"default: {','.join(FORMATS)}")
    parser.add_argument("--frames", type=at_least_one, metavar="N", help="of each recording at most (default: all)")
    parser.add_argument("--rounds", type=at_least_one, default=3, metavar="N", help="of timing (default: %(default)s)")
    parser.add_argument("--plot", type=Path, metavar="PNG", help="draw bytes against error")
    common_options(parser)
    options = parser.parse_args(arguments)
    if options.data is None:
        options.data = default_folder()
    if options.plot is not None and not options.plot.absolute().parent.is_dir():
        parser.error(f"--plot: no folder {options.plot.parent}")
    return options


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "data": str(options.data),
        "frames": options.frames,
        "rounds": options.rounds,
        "block": BLOCK,
        "formats": options.formats,
        "percentile_of_encode_us_and_decode_us": 50,
    }


def _measure(clips: Sequence[Clip], options: argparse.Namespace) -> dict[str, Any]:
    chance = random.Random(options.seed)
    makes: dict[str, Make] = {name: FORMATS[name] for name in options.formats}
    recordings, rows = [], []
    for number, clip in enumerate(clips, start=1):
        print(f"[{number}/{len(clips)}] {clip.name}, {clip.kind}, {len(clip.poses)} frames", file=sys.stderr)
        trials = _try_all(makes, clip)
        rounds = []
        for _ in range(options.rounds):
            gc.collect()
            rounds.append(time_formats(makes, clip, chance))
        recordings.append(recording_row(clip, rounds))
        rows += summarise(clip, trials, rounds)
    return {"recordings": recordings, "rows": rows}


def _try_all(makes: dict[str, Make], clip: Clip) -> dict[str, Trial]:
    """Return what each format makes of a recording; takes those out of ``makes`` whose library is missing."""
    trials: dict[str, Trial] = {}
    for name, make in list(makes.items()):
        try:
            trials[name] = try_format(name, make, clip)
        except ImportError as exc:
            print(f"codec: without {name}: {exc} (extra `bench` has all libraries)", file=sys.stderr)
            del makes[name]
    return trials


def _sweep(clips: Sequence[Clip]) -> list[dict[str, Any]]:
    """Return bytes and error of v3 at several precisions."""
    points: list[dict[str, Any]] = []
    for finer in _SWEEP:
        bits = Precision().xy + finer
        print(f"sweep of {_SWEPT}: steps of 1/{2**bits} in x and y", file=sys.stderr)
        for clip in clips:
            trial = try_format(_SWEPT, partial(PosewireV3, finer=finer), clip)
            points.append(
                {
                    "recording": clip.name,
                    "kind": clip.kind,
                    "format": _SWEPT,
                    "xy_bits": bits,
                    "mean_bytes": round(statistics.fmean(trial.sizes), 1),
                    "max_error_steps": float(f"{trial.max_error:.4g}"),
                }
            )
    return points


def _keep(result: dict[str, Any], options: argparse.Namespace) -> None:
    """Write what is to be kept into files."""
    if options.plot is not None:
        draw(result, options.plot)
        print(f"saved to {options.plot}", file=sys.stderr)
    if options.save:
        file = save("codec", result)
        picture = file.with_suffix(".png")
        draw(result, picture)
        print(f"saved to {file} and {picture}", file=sys.stderr)
