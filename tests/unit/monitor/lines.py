"""Lines of figures for the tests."""

from __future__ import annotations

from typing import Any

import msgspec

from posewire.monitor import PerformanceMetrics

LINE = PerformanceMetrics(
    fps=30.0, latency=0.002, success_rate=1.0, cpu_usage=5.0, memory_usage=60.0, timestamp=100.0, sent=100
)


def line(**changes: Any) -> PerformanceMetrics:
    """Return a line of a session that is well, with changes."""
    return msgspec.structs.replace(LINE, **changes)
