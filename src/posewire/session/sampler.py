"""Looks at CPU and memory, so that nothing on a frame's way has to."""

from __future__ import annotations

import asyncio
import os
from typing import Final

import psutil

from posewire import clock
from posewire.monitor import PerformanceMonitor

_SAME_LOOK: Final = 0.5
"""Of an interval: so long another session's look is as good as one's own. It takes a quarter of a millisecond."""


class _Looks:
    """The looks of all sessions of this process."""

    def __init__(self) -> None:
        self._process: psutil.Process | None = None
        self._at = 0.0
        self._cpu = self._memory = 0.0

    def look(self, interval: float) -> tuple[float, float]:
        """Return CPU (percent of a core, since the look before) and memory (MB), not older than half an interval."""
        now = clock.monotonic()
        if self._process is None or self._process.pid != os.getpid():
            self._process = psutil.Process()
            self._process.cpu_percent(None)  # the first call only sets the start of the span
            self._at = 0.0
        if not self._at or now - self._at >= _SAME_LOOK * interval:
            self._at = now
            self._cpu, self._memory = self._process.cpu_percent(None), self._process.memory_info().rss / 1e6
        return self._cpu, self._memory


_looks: Final = _Looks()


async def sample_system(monitor: PerformanceMonitor, *, interval: float) -> None:
    """Give ``monitor`` this process's CPU (percent of a core) and memory (MB) every ``interval`` seconds, for ever."""
    while True:
        cpu, memory = _looks.look(interval)
        monitor.sample(cpu_usage=cpu, memory_usage=memory)
        await asyncio.sleep(interval)
