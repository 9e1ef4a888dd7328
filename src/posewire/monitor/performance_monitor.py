"""How the sending side does."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import msgspec

from posewire import clock
from posewire.monitor.percentiles import percentiles

HISTORY_SECONDS = 3600.0


class PerformanceMetrics(msgspec.Struct, frozen=True, kw_only=True):
    """One look at the figures."""

    fps: float
    """Frames sent a second, over the window."""
    latency: float
    """Seconds from handing a frame in to writing it to the connection: mean over the window."""
    success_rate: float
    """0..1; frames that left, of those that were tried."""
    cpu_usage: float
    """Percent of one core."""
    memory_usage: float
    """MB resident."""
    timestamp: float
    """Monotonic seconds."""


class PerformanceMonitor:
    """Counts sends over a sliding window; CPU and memory come from a sampler, never from here.

    Args:
        window_size: Sends the figures are taken over.
        clock: Monotonic seconds; an argument so that tests can turn it.
    """

    def __init__(self, window_size: int = 100, *, clock: Callable[[], float] = clock.monotonic) -> None:
        if window_size < 2:
            raise ValueError(f"window_size is {window_size}: expected at least 2")
        self._clock = clock
        self._sends: deque[tuple[float, bool, float]] = deque(maxlen=window_size)
        self._history: deque[PerformanceMetrics] = deque(maxlen=int(HISTORY_SECONDS))
        self._cpu = 0.0
        self._memory = 0.0
        self._first_memory: float | None = None
        self.total = 0
        self.failed = 0

    def update(self, success: bool, latency: float) -> None:
        """Count one send; ``latency`` in seconds."""
        self.total += 1
        self.failed += not success
        self._sends.append((self._clock(), success, latency))

    def sample(self, *, cpu_usage: float, memory_usage: float) -> None:
        """Take in what a sampler saw (percent of one core, MB) and add a line to the history."""
        self._cpu = cpu_usage
        self._memory = memory_usage
        if self._first_memory is None:
            self._first_memory = memory_usage
        now = self._clock()
        self._history.append(self.metrics())
        while now - self._history[0].timestamp > HISTORY_SECONDS:
            self._history.popleft()

    def metrics(self) -> PerformanceMetrics:
        """Return the figures of this moment."""
        sends = self._sends
        now = self._clock()
        return PerformanceMetrics(
            fps=self._fps(now),
            latency=sum(latency for _, _, latency in sends) / len(sends) if sends else 0.0,
            success_rate=sum(success for _, success, _ in sends) / len(sends) if sends else 1.0,
            cpu_usage=self._cpu,
            memory_usage=self._memory,
            timestamp=now,
        )

    def history(self) -> list[PerformanceMetrics]:
        """Return the figures of the last hour, one line a sample."""
        return list(self._history)

    def get_stats(self) -> dict[str, float]:
        """Return the figures by name; latencies in seconds, memory in MB."""
        figures = self.metrics()
        p50, p95, p99 = percentiles(latency for _, _, latency in self._sends)
        return {
            "fps": figures.fps,
            "latency": figures.latency,
            "latency_p50": p50,
            "latency_p95": p95,
            "latency_p99": p99,
            "success_rate": figures.success_rate,
            "error_rate": 1.0 - figures.success_rate,
            "sent": float(self.total - self.failed),
            "failed": float(self.failed),
            "cpu_usage": figures.cpu_usage,
            "memory_usage": figures.memory_usage,
            "memory_growth": self._memory - (self._memory if self._first_memory is None else self._first_memory),
        }

    def _fps(self, now: float) -> float:
        times = [when for when, success, _ in self._sends if success]
        if len(times) < 2:
            return 0.0
        # Up to now, not up to the last send: a stream that stopped falls to zero instead of keeping its rate.
        span = max(now, times[-1]) - times[0]
        return (len(times) - 1) / span if span > 0 else 0.0
