"""Looks at CPU and memory, so that nothing on a frame's way has to."""

from __future__ import annotations

import asyncio

import psutil

from posewire.monitor import PerformanceMonitor


async def sample_system(monitor: PerformanceMonitor, *, interval: float) -> None:
    """Give ``monitor`` this process's CPU (percent of a core) and memory (MB) every ``interval`` seconds, for ever."""
    process = psutil.Process()
    process.cpu_percent(None)  # the first call only sets the start of the span
    while True:
        monitor.sample(
            cpu_usage=process.cpu_percent(None),
            memory_usage=process.memory_info().rss / 1e6,
        )
        await asyncio.sleep(interval)
