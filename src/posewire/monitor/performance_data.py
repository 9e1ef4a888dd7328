"""Reports in files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import msgspec

from posewire.errors import MonitoringError
from posewire.monitor.performance_report import FORMAT, PerformanceReport
from posewire.values import path_of, shown

_COMPONENT: Final = "performance data"
_MOST_BYTES: Final = 64 << 20
"""An hour of lines is 3 MB."""


def save_performance_data(report: PerformanceReport, path: str | os.PathLike[str]) -> None:
    """Write a report as JSON; an old file is replaced when the new one is whole.

    Writes a few hundred kilobytes, at once: from an event loop use `Session.save_performance_data`.

    Raises:
        MonitoringError: The file cannot be written.
    """
    file = _path(path)
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        beside.write_bytes(report.to_json())
        beside.replace(file)
    except OSError as exc:
        beside.unlink(missing_ok=True)
        raise MonitoringError(_COMPONENT, f"{file} cannot be written: {exc.strerror}") from exc


def load_performance_data(path: str | os.PathLike[str]) -> PerformanceReport:
    """Read a report that `save_performance_data` wrote.

    Raises:
        MonitoringError: The file cannot be read, is no report, is damaged, or of a newer format.
    """
    file = _path(path)
    try:
        with file.open("rb") as opened:
            data = opened.read(_MOST_BYTES + 1)
    except OSError as exc:
        raise MonitoringError(_COMPONENT, f"{file} cannot be read: {exc.strerror}") from exc
    if len(data) > _MOST_BYTES:
        raise MonitoringError(_COMPONENT, f"{file} is larger than {_MOST_BYTES >> 20} MB: no report")
    try:
        plain = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise MonitoringError(_COMPONENT, f"{file} is damaged, or no JSON: {exc}") from exc
    return _report(file, plain)


def _path(path: Any) -> Path:
    if (file := path_of(path)) is None:
        raise MonitoringError(_COMPONENT, f"{shown(path)}: expected the name of a file")
    return file


def _report(file: Path, plain: Any) -> PerformanceReport:
    found = plain.get("format") if isinstance(plain, dict) else None
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise MonitoringError(_COMPONENT, f"{file} is no performance report: it has no 'format'")
    if found > FORMAT:
        problem = f"{file} has format {found}; this version of posewire reads up to {FORMAT}"
        raise MonitoringError(_COMPONENT, problem)
    try:
        return msgspec.convert(plain, PerformanceReport)
    except (msgspec.ValidationError, RecursionError) as exc:
        raise MonitoringError(_COMPONENT, f"{file} is damaged: {exc}") from exc
