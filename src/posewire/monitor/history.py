"""The last hour, line by line."""

from __future__ import annotations

from bisect import bisect_left
from operator import attrgetter
from typing import Final

from posewire.monitor.performance_metrics import PerformanceMetrics, merged, thinned

HISTORY_SECONDS: Final = 3600.0
MOST_LINES: Final = 4096
"""More than an hour has seconds: sampled once a second or less often, every sample is a line."""

_timestamp = attrgetter("timestamp")


class History:
    """Holds lines of the last hour, however often there is one, in bounded memory.

    When there are too many, each two become one, with the worse of what has peaks, and lines are merged from then on
    that come in a shorter time than that. So the hour is always whole; what gets coarser is the time between lines,
    up to 1.8 s.

    Args:
        seconds: How far back it goes.
        most: Lines it holds.
    """

    def __init__(self, seconds: float = HISTORY_SECONDS, most: int = MOST_LINES) -> None:
        self._seconds = seconds
        self._most = most
        self._lines: list[PerformanceMetrics] = []
        self._gap = 0.0
        self._begun = 0.0
        """When the last line was begun; merging makes its own time later."""

    def __len__(self) -> int:
        return len(self._lines)

    def add(self, line: PerformanceMetrics) -> None:
        """Take a line in that is newer than all others, and let go what is too old."""
        lines = self._lines
        if lines and line.timestamp - self._begun < self._gap:
            lines[-1] = merged(lines[-1], line)
        else:
            lines.append(line)
            self._begun = line.timestamp
        if lines[0].timestamp < line.timestamp - self._seconds:
            del lines[: bisect_left(lines, line.timestamp - self._seconds, key=_timestamp)]
        if len(lines) > self._most:
            self._lines = thinned(lines)
            self._gap = 2 * (lines[-1].timestamp - lines[0].timestamp) / (len(lines) - 1)

    def lines(self) -> list[PerformanceMetrics]:
        """Return a copy of all lines, the oldest first."""
        return list(self._lines)

    def since(self, timestamp: float) -> list[PerformanceMetrics]:
        """Return the lines from ``timestamp`` on, monotonic seconds."""
        return self._lines[bisect_left(self._lines, timestamp, key=_timestamp) :]
