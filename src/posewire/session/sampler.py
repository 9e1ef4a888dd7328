"""Looks at what takes long to find out, so that nothing on a frame's way has to."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Final

import psutil

from posewire import clock
from posewire.config import MonitorConfig
from posewire.monitor import PerformanceMonitor
from posewire.session.alert_runner import AlertRunner
from posewire.session.loop_watch import LoopWatch
from posewire.session.session_figures import SessionFigures

_SAME_LOOK: Final = 0.5
"""Of an interval: so long another session's look is as good as one's own."""


class _Looks:
    """The looks of all sessions of this process."""

    def __init__(self) -> None:
        self._process: psutil.Process | None = None
        self._at = 0.0
        self._spent = 0.0
        self._cpu = self._memory = 0.0

    def look(self, interval: float) -> tuple[float, float]:
        """Return CPU (percent of a core, since the look before) and memory (MB), not older than half an interval."""
        now = clock.monotonic()
        if self._process is None or self._process.pid != os.getpid():
            self._process = psutil.Process()
            self._at, self._spent, self._cpu = now, time.process_time(), 0.0
            self._memory = self._process.memory_info().rss / 1e6
        elif now - self._at >= _SAME_LOOK * interval:
            # The kernel's own count, all threads: what psutil would read from files, which takes a hundred times as
            # long.
            spent = time.process_time()
            self._cpu = 100 * (spent - self._spent) / (now - self._at)
            self._at, self._spent = now, spent
            self._memory = self._process.memory_info().rss / 1e6
        return self._cpu, self._memory


_looks: Final = _Looks()


class Sampler:
    """Gives a monitor what it cannot see itself, at every interval, and lets it compare with the thresholds.

    While the monitor is stopped it looks at nothing.

    Args:
        monitor: Gets the figures.
        figures: Reads the parts of the session.
        runner: Tells alerts.
        config: How often.
    """

    def __init__(
        self, monitor: PerformanceMonitor, figures: SessionFigures, runner: AlertRunner, config: MonitorConfig
    ) -> None:
        self._monitor = monitor
        self._figures = figures
        self._runner = runner
        self._interval = config.sample_interval / 1000
        self._watch = LoopWatch(interval=config.lag_interval / 1000, names=config.slow_callbacks)

    async def run(self) -> None:
        """Look, for ever. Cancelling ends the callbacks of alerts, too."""
        self._runner.open()
        loop = asyncio.get_running_loop()
        try:
            while True:
                if self._monitor.active:
                    self._watch.start()
                    self.look()
                else:
                    self._watch.stop()
                due = loop.time() + self._interval
                await asyncio.sleep(self._interval)
                self._watch.came(loop.time() - due)
        finally:
            self._watch.stop()
            await self._runner.close()

    def look(self) -> None:
        """Look once, now."""
        cpu, memory = _looks.look(self._interval)
        readings = self._figures.readings(*self._watch.take())
        self._monitor.check_performance(self._monitor.sample(cpu_usage=cpu, memory_usage=memory, readings=readings))
