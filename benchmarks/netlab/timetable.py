"""The steps of a schedule that are still to come."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from benchmarks.netlab.schedule import Step


class Timetable:
    """Tells which steps are due. Holds no clock."""

    def __init__(self) -> None:
        self._steps: deque[Step] = deque()
        self._start = 0.0

    def load(self, steps: Sequence[Step], start: float) -> None:
        """Follow ``steps``, time 0 being ``start``; what was left before is forgotten."""
        self._steps = deque(sorted(steps, key=lambda step: step.at))
        self._start = start

    def due(self, now: float) -> list[Step]:
        """Return the steps whose time has come, once each."""
        steps = []
        while self._steps and self._start + self._steps[0].at <= now:
            steps.append(self._steps.popleft())
        return steps

    def next_time(self) -> float | None:
        """Return when the next one is due."""
        return self._start + self._steps[0].at if self._steps else None
