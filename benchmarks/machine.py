"""Where and on what a benchmark ran, and where its results are kept."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from benchmarks.motion import ROOT

RESULTS: Final = ROOT / "benchmarks" / "results"


def provenance(libraries: Sequence[str]) -> dict[str, Any]:
    """Return date, commit, machine, and versions of Python and ``libraries``."""
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        # Read only: `git status` would otherwise write to the index.
        "commit": _git("rev-parse", "--short", "HEAD") or "unknown",
        "dirty": bool(_git("--no-optional-locks", "status", "--porcelain")),
        "machine": {
            "cpu": _cpu_model(),
            "cores": os.cpu_count(),
            "system": f"{platform.system()} {platform.release()}",
            "load": [round(load, 2) for load in os.getloadavg()],
        },
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in libraries},
    }


def save(name: str, result: dict[str, Any]) -> Path:
    """Write a result to ``results/YYYY-MM-DD-<name>-<commit>.json``; returns the file."""
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"{result['date'][:10]}-{name}-{result['commit']}.json"
    file.write_bytes(to_json(result) + b"\n")
    return file


def to_json(result: dict[str, Any]) -> bytes:
    """Return a result as people can read it."""
    return msgspec.json.format(msgspec.json.encode(result), indent=1)


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
