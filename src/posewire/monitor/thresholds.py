"""Where figures stop being good."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from posewire.errors import ConfigurationError
from posewire.values import is_number, plain, shown


class Threshold(msgspec.Struct, frozen=True, kw_only=True):
    """What is compared with what."""

    alert: str
    """Name of the alert it raises."""
    metric: str
    """Name of the figure in `PerformanceMonitor.get_stats`."""
    unit: str
    below: bool = False
    """Whether it is a least value; else it is a most one."""
    default: float | None = None
    """None: off."""


THRESHOLDS: Final[dict[str, Threshold]] = {
    "min_fps": Threshold(alert="fps", metric="fps", unit="frames/s", below=True),
    "max_latency": Threshold(alert="latency", metric="latency", unit="s", default=0.05),
    "max_age": Threshold(alert="age", metric="age_p95", unit="s", default=0.5),
    "max_remote_age": Threshold(alert="remote_age", metric="remote_age_p99", unit="s", default=1.0),
    "max_cpu_usage": Threshold(alert="cpu_usage", metric="cpu_usage", unit="% of a core", default=80.0),
    "max_memory_usage": Threshold(alert="memory_usage", metric="memory_usage", unit="MB"),
    "max_memory_growth": Threshold(alert="memory_growth", metric="memory_growth", unit="MB", default=100.0),
    "max_error_rate": Threshold(alert="error_rate", metric="error_rate", unit="of 1", default=0.1),
    "max_failures": Threshold(alert="failures", metric="consecutive_failures", unit="sends in a row", default=5.0),
    "max_queue_usage": Threshold(alert="queue", metric="queue_usage", unit="of 1", default=0.8),
    "max_loop_lag": Threshold(alert="loop_lag", metric="loop_lag", unit="s", default=0.1),
}
"""By name. ``min_fps`` is off until someone says how many there should be: only the application knows."""

REQUIRED: Final = ("min_fps", "max_latency", "max_cpu_usage", "max_memory_growth")
"""What the specification's ``check_performance`` looks at, and so what ``set_alert_thresholds`` must be given."""

DEFAULTS: Final[dict[str, float | None]] = {name: threshold.default for name, threshold in THRESHOLDS.items()}


def checked(thresholds: Mapping[str, Any]) -> dict[str, float | None]:
    """Return thresholds as numbers, or None for off.

    Raises:
        ConfigurationError: There is none of that name, or the value is no number from 0.
    """
    if not isinstance(thresholds, Mapping):
        raise ConfigurationError("thresholds", shown(thresholds), "expected a mapping of names to numbers")
    values: dict[str, float | None] = {}
    for name, given in thresholds.items():
        value = plain(given)
        if name not in THRESHOLDS:
            close = difflib.get_close_matches(str(name), THRESHOLDS, n=1)
            hint = f"did you mean '{close[0]}'?" if close else f"allowed: {', '.join(THRESHOLDS)}"
            raise ConfigurationError(f"thresholds.{name}", value, f"unknown threshold; {hint}")
        if value is not None and not (is_number(value) and value >= 0):
            expected = f"expected a number from 0 ({THRESHOLDS[name].unit}), or None for off"
            raise ConfigurationError(f"thresholds.{name}", value, expected)
        values[name] = None if value is None else float(value)
    return values
