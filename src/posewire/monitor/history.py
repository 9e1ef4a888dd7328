"""The last hour, line by line."""

from __future__ import annotations

from typing import Final

from posewire.monitor.line_store import LineStore
from posewire.monitor.performance_metrics import PerformanceMetrics, merged, thinned

HISTORY_SECONDS: Final = 3600.0
MOST_LINES: Final = 1800
"""A line every two seconds, so that a session's history has half a megabyte."""


class History:
    """Holds lines of the last hour, however often there is one, in memory that does not grow.

    When there are too many, each two become one, with the worse of what has peaks, and lines are merged from then on
    that come in a shorter time than that. So the hour is always whole; what gets coarser is the time between lines:
    sampled once a second, every sample is a line for half an hour; then those become 2 s apart, and what comes 4 s.

    Args:
        seconds: How far back it goes.
        most: Lines it holds.
    """

    def __init__(self, seconds: float = HISTORY_SECONDS, most: int = MOST_LINES) -> None:
        self._seconds = seconds
        self._most = most
        self._lines = LineStore(most + 1)
        self._gap = 0.0
        self._begun = 0.0
        """When the last line was begun; merging makes its own time later."""

    def __len__(self) -> int:
        return len(self._lines)

    def add(self, line: PerformanceMetrics) -> None:
        """Take a line in that is newer than all others, and let go what is too old."""
        lines = self._lines
        if len(lines) and line.timestamp - self._begun < self._gap:
            lines.replace_last(merged(lines[-1], line))
        else:
            lines.append(line)
            self._begun = line.timestamp
        if lines.timestamp(0) < line.timestamp - self._seconds:
            lines.let_go(line.timestamp - self._seconds)
        if len(lines) > self._most:
            lines.replace_all(thinned(self.lines()))
            self._gap = 2 * (lines.timestamp(-1) - lines.timestamp(0)) / (len(lines) - 1)

    def lines(self) -> list[PerformanceMetrics]:
        """Return all lines, the oldest first."""
        return [self._lines[index] for index in range(len(self._lines))]

    def since(self, timestamp: float) -> list[PerformanceMetrics]:
        """Return the lines from ``timestamp`` on, monotonic seconds."""
        return [self._lines[index] for index in range(self._lines.index(timestamp), len(self._lines))]

    def ends(self, timestamp: float) -> tuple[PerformanceMetrics, PerformanceMetrics] | None:
        """Return the first line from ``timestamp`` on and the last one; None when there is none."""
        index = self._lines.index(timestamp)
        return (self._lines[index], self._lines[-1]) if index < len(self._lines) else None
