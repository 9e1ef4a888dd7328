"""The figures of the codec benchmark and their table. Pure."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from benchmarks.codec_run import Times, Trial
from benchmarks.recordings import Clip
from benchmarks.table import align


def summarise(clip: Clip, trials: dict[str, Trial], rounds: Sequence[dict[str, Times]]) -> list[dict[str, Any]]:
    """Return a row for each format of a recording."""
    return [_row(clip, name, trial, [times[name] for times in rounds]) for name, trial in trials.items()]


def recording_row(clip: Clip, rounds: Sequence[dict[str, Times]]) -> dict[str, Any]:
    """Return what holds for a recording whatever the format."""
    dumps = [ns for times in rounds for one in times.values() for ns in one.dumps]
    return {
        "recording": clip.name,
        "kind": clip.kind,
        "frames": len(clip.poses),
        "json_dumps_us": round(float(np.median(dumps)) / 1e3, 2),
    }


def _row(clip: Clip, name: str, trial: Trial, rounds: Sequence[Times]) -> dict[str, Any]:
    encode_ratios = [_ratio(times.encode, times.dumps) for times in rounds]
    decode_ratios = [_ratio(times.decode, times.dumps) for times in rounds]
    return {
        "recording": clip.name,
        "kind": clip.kind,
        "frames": len(clip.poses),
        "format": name,
        "mean_bytes": round(statistics.fmean(trial.sizes), 1),
        "p95_bytes": round(float(np.percentile(trial.sizes, 95)), 1),
        "max_bytes": max(trial.sizes),
        **_percentiles("encode_us", [times.encode for times in rounds]),
        **_percentiles("decode_us", [times.decode for times in rounds]),
        "encode_ratio": round(statistics.median(encode_ratios), 3),
        "encode_ratio_range": [round(min(encode_ratios), 3), round(max(encode_ratios), 3)],
        "decode_ratio": round(statistics.median(decode_ratios), 3),
        "decode_ratio_range": [round(min(decode_ratios), 3), round(max(decode_ratios), 3)],
        "max_error_steps": float(f"{trial.max_error:.4g}"),
    }


def _percentiles(name: str, rounds: Sequence[list[int]]) -> dict[str, float]:
    """Return percentiles over all frames and rounds; the plain name is the median's."""
    p50, p95, p99 = (round(float(ns) / 1e3, 2) for ns in np.percentile(np.concatenate(rounds), [50, 95, 99]))
    return {name: p50, f"{name}_p95": p95, f"{name}_p99": p99}


def _ratio(ours: list[int], theirs: list[int]) -> float:
    return float(np.median(ours) / np.median(theirs))


# The table -----------------------------------------------------------------------------------------------------------

_HEADINGS: Final = (
    ("format", "mean", "p95", "max", "encode", "p95", "/dumps", "decode", "p95", "/dumps", "error"),
    ("", "bytes", "bytes", "bytes", "µs", "µs", "", "µs", "µs", "", "steps"),
)


def render(result: dict[str, Any]) -> str:
    """Return the result as tables in plain text, one a recording, all of the same width."""
    rows = {key: list(group) for key, group in itertools.groupby(result["rows"], key=lambda row: row["recording"])}
    table = [*_HEADINGS, *(_texts(row) for row in result["rows"])]
    aligned = iter(align(table, names=0))
    headings = [next(aligned), next(aligned)]
    lines = _preface(result)
    for recording in result["recordings"]:
        frames, dumps = recording["frames"], recording["json_dumps_us"]
        lines += ["", f"{recording['recording']} · {recording['kind']} · {frames} frames · json.dumps {dumps:.1f} µs"]
        lines += [*headings, *itertools.islice(aligned, len(rows[recording["recording"]]))]
    return "\n".join(lines)


def _preface(result: dict[str, Any]) -> list[str]:
    settings, machine = result["settings"], result["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items() if version)
    return [
        f"codec · {result['date']} · commit {result['commit']}{' + changes' if result['dirty'] else ''}",
        f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}, Python {result['python']}",
        versions,
        f"{settings['rounds']} rounds, formats in turn every {settings['block']} frames; seed {result['seed']}",
        "bytes: of the body, no header; encode, decode: median and p95 over frames and rounds",
        "/dumps: medians over the median of json.dumps of the same frames in the same turns; error: the largest,",
        "in default steps (1/2048 x and y, 1/512 z, 1/32 visibility)",
    ]


def _texts(row: dict[str, Any]) -> list[str]:
    return [
        row["format"],
        f"{row['mean_bytes']:.1f}",
        f"{row['p95_bytes']:.0f}",
        str(row["max_bytes"]),
        *(f"{row[name]:.1f}" for name in ("encode_us", "encode_us_p95")),
        f"{row['encode_ratio']:.2f}",
        *(f"{row[name]:.1f}" for name in ("decode_us", "decode_us_p95")),
        f"{row['decode_ratio']:.2f}",
        f"{row['max_error_steps']:.3g}",
    ]
