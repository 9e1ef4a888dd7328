"""How the sending side does."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from posewire import clock
from posewire.errors import InvalidDataError
from posewire.monitor.alert_manager import Alert, AlertManager
from posewire.monitor.history import History
from posewire.monitor.latency_histogram import LatencyHistogram
from posewire.monitor.percentiles import jitter_of, percentiles
from posewire.monitor.performance_metrics import PerformanceMetrics, Readings
from posewire.values import is_number, is_whole, plain, shown

_MOST_SENDS: Final = 100_000
"""Of a window, as in the settings."""
_FOLD: Final = 512
"""Latencies that wait for the sampler at most, to be counted in the histogram."""
_LONGEST: Final = 86_400.0
"""Seconds; who waits for a day is told of a wrong unit."""
_GROWTH_SECONDS: Final = 300.0
"""What the rate of growth is taken over."""
_GROWTH_LEAST_SECONDS: Final = 10.0
"""A rate over less says nothing."""
_NOTHING: Final = Readings()


class PerformanceMonitor:
    """Counts sends over a sliding window; what takes longer to find out comes from a sampler, never from here.

    `update` is on a frame's way: it counts and puts the latency aside. `sample`, which a task calls, does the rest.

    Args:
        window_size: Sends the figures are taken over.
        clock: Monotonic seconds; an argument so that tests can turn it.
        alerts: Compares the figures with thresholds; by default with those it begins with.

    Raises:
        ValueError: ``window_size`` is no whole number from 2.

    Attributes:
        alerts: The same.
        active: False while monitoring is stopped; then nothing is counted.
        total: Sends that were tried.
        failed: Of them, those that failed.
        consecutive_failures: Sends that failed since the last that did not.
        latencies: Of all sends.
        ages: Of all frames received, at arrival.
    """

    def __init__(
        self,
        window_size: int = 100,
        *,
        clock: Callable[[], float] = clock.monotonic,
        alerts: AlertManager | None = None,
    ) -> None:
        window_size = plain(window_size)
        if not is_whole(window_size) or not 2 <= window_size <= _MOST_SENDS:
            raise ValueError(f"window_size {shown(window_size)}: expected a whole number from 2 to {_MOST_SENDS}")
        self._clock = clock
        self._sends: deque[tuple[float, bool, float]] = deque(maxlen=window_size)
        self._aside: list[float] = []
        self._history = History()
        self._begun = clock()
        self._sampled_at = self._begun
        self._sampled_total = 0
        self._sending = False
        self._cpu = 0.0
        self._memory = 0.0
        self._first_memory: float | None = None
        self._readings = _NOTHING
        self._bandwidth = self._bandwidth_received = 0.0
        self._interval_ages: tuple[float, float, float] | None = None
        self._target_fps: float | None = None
        self.alerts = alerts or AlertManager()
        self.active = True
        self.total = 0
        self.failed = 0
        self.consecutive_failures = 0
        self.latencies = LatencyHistogram()
        self.ages = LatencyHistogram()

    # Counting --------------------------------------------------------------------------------------------------------

    def update(self, success: bool, latency: float) -> None:
        """Count one send; ``latency`` in seconds.

        Raises:
            InvalidDataError: ``latency`` is negative, a day or more, or no number; nothing is counted.
        """
        if type(latency) is not float:  # asked first: this is on every frame's way
            latency = plain(latency)
            if not is_number(latency):
                raise InvalidDataError(f"latency {shown(latency)}: expected seconds, 0 or more")
        if not 0.0 <= latency < _LONGEST:
            raise InvalidDataError(f"latency {shown(latency)}: expected seconds, 0 or more")
        if not self.active:
            return
        self.total += 1
        if success:
            self.consecutive_failures = 0
        else:
            self.failed += 1
            self.consecutive_failures += 1
        self._sends.append((self._clock(), success, latency))
        self._aside.append(latency)
        if len(self._aside) >= _FOLD:
            self.fold()

    def sample(self, *, cpu_usage: float, memory_usage: float, readings: Readings = _NOTHING) -> PerformanceMetrics:
        """Take in what a sampler saw (percent of one core, MB, and the rest); add a line to the history, return it."""
        now = self._clock()
        elapsed, before = now - self._sampled_at, self._readings
        if elapsed > 0:
            self._bandwidth = max(0, readings.bytes_sent - before.bytes_sent) / elapsed
            self._bandwidth_received = max(0, readings.bytes_received - before.bytes_received) / elapsed
        self._sending = self.total != self._sampled_total or readings.waiting > 0
        self._sampled_at, self._sampled_total = now, self.total
        self._cpu, self._memory = cpu_usage, memory_usage
        if self._first_memory is None:
            self._first_memory = memory_usage
        self.fold()
        self._interval_ages = percentiles(readings.ages) if readings.ages else None
        self.ages.add(readings.ages)
        self._readings = readings
        line = self.metrics()
        self._history.add(line)
        return line

    def fold(self) -> None:
        """Count in the histogram what `update` put aside."""
        self.latencies.add(self._aside)
        self._aside.clear()

    def start(self) -> None:
        """Count again, after `stop`."""
        self.active = True

    def stop(self) -> None:
        """Count nothing from here on, and sample nothing; what was counted stays."""
        self.active = False
        self._sending = False

    @property
    def target_fps(self) -> float | None:
        """Frames a second that there should be; None when nobody said."""
        return self._target_fps

    def set_target_fps(self, fps: float | None) -> None:
        """Say how many frames a second there should be, for the recommendations; None judges it no more.

        Raises:
            InvalidDataError: Not a number over 0; the old one stays.
        """
        fps = plain(fps)
        if fps is not None and not (is_number(fps) and fps > 0):
            raise InvalidDataError(f"target fps {shown(fps)}: expected frames a second, more than 0")
        self._target_fps = fps

    def check_performance(self, figures: PerformanceMetrics | None = None) -> list[Alert]:
        """Compare figures, by default those of this moment, with the thresholds; returns what is to be told.

        See `AlertManager.evaluate`.
        """
        figures = figures or self.metrics()
        return self.alerts.evaluate(self._stats(figures), figures.timestamp)

    # Looking ---------------------------------------------------------------------------------------------------------

    @property
    def duration(self) -> float:
        """Seconds since the monitor was made."""
        return self._clock() - self._begun

    @property
    def readings(self) -> Readings:
        """What the sampler read last."""
        return self._readings

    def metrics(self) -> PerformanceMetrics:
        """Return the figures of this moment; those that a sampler brings are as old as its last look."""
        sends, readings, now = self._sends, self._readings, self._clock()
        latencies = [latency for _, _, latency in sends]
        p50, p95, p99 = percentiles(latencies)
        age_p50, age_p95, age_p99 = self._interval_ages or (None, None, None)
        return PerformanceMetrics(
            fps=self._fps(now),
            latency=sum(latencies) / len(latencies) if latencies else 0.0,
            success_rate=sum(success for _, success, _ in sends) / len(sends) if sends else 1.0,
            cpu_usage=self._cpu,
            memory_usage=self._memory,
            timestamp=now,
            latency_p50=p50,
            latency_p95=p95,
            latency_p99=p99,
            jitter=jitter_of(latencies),
            memory_growth=0.0 if self._first_memory is None else self._memory - self._first_memory,
            bandwidth=self._bandwidth,
            bandwidth_received=self._bandwidth_received,
            quality_level=readings.quality_level,
            quality=readings.quality,
            queue_usage=readings.waiting / readings.capacity if readings.capacity else 0.0,
            sent=self.total - self.failed,
            failed=self.failed,
            drops=readings.drops,
            received=readings.received,
            lost=readings.lost,
            age_p50=age_p50,
            age_p95=age_p95,
            age_p99=age_p99,
            remote_age_p50=readings.remote_age_p50,
            remote_age_p99=readings.remote_age_p99,
            round_trip=readings.round_trip,
            receivers=readings.receivers,
            receivers_behind=readings.receivers_behind,
            link_rate=readings.link_rate,
            loop_lag=readings.loop_lag,
            slowest_callback=readings.slowest_callback,
        )

    def history(self) -> list[PerformanceMetrics]:
        """Return the figures of the last hour: a line a sample, or coarser when it is sampled very often."""
        return self._history.lines()

    def get_stats(self) -> dict[str, float]:
        """Return the figures by name: times in seconds, memory in MB, rates in bytes a second, counts since the start.

        ``drops_REASON`` is there for every reason there was; ``age_*`` only when frames came since the last sample.
        """
        return self._stats(self.metrics())

    def get_real_time_stats(self) -> dict[str, float]:
        """Return ``fps``, ``latency`` (seconds), ``cpu_usage`` (percent of a core) and ``memory_usage`` (MB) of now."""
        figures = self.metrics()
        return {name: getattr(figures, name) for name in ("fps", "latency", "cpu_usage", "memory_usage")}

    def get_history_stats(self) -> dict[str, float]:
        """Return figures of the last hour, of every sample while something was sent; latencies in seconds.

        ``avg_fps``, ``avg_latency``, ``min_latency``, ``max_latency``, ``success_rate``, ``samples``; zeros, and a
        success rate of 1, when nothing was sent.
        """
        lines = [line for line in self._history.lines() if line.fps > 0 or line.failed]
        if not lines:
            names = ("avg_fps", "avg_latency", "min_latency", "max_latency", "samples")
            return dict.fromkeys(names, 0.0) | {"success_rate": 1.0}
        latencies = [line.latency for line in lines]
        return {
            "avg_fps": sum(line.fps for line in lines) / len(lines),
            "avg_latency": sum(latencies) / len(lines),
            "min_latency": min(latencies),
            "max_latency": max(latencies),
            "success_rate": sum(line.success_rate for line in lines) / len(lines),
            "samples": float(len(lines)),
        }

    # Inside ----------------------------------------------------------------------------------------------------------

    def _stats(self, figures: PerformanceMetrics) -> dict[str, float]:
        stats = {
            name: float(getattr(figures, name))
            for name in _STATS
            if getattr(figures, name) is not None  # not known at the moment
        }
        stats["error_rate"] = 1.0 - figures.success_rate
        stats["consecutive_failures"] = float(self.consecutive_failures)
        stats["memory_growth_rate"] = self._growth_rate()
        stats["sending"] = float(self._sending)
        stats["dropped"] = float(sum(figures.drops.values()))
        for reason, count in figures.drops.items():
            stats[f"drops_{reason}"] = float(count)
        return stats

    def _growth_rate(self) -> float:
        """Return MB a minute, over the last five minutes."""
        if (ends := self._history.ends(self._sampled_at - _GROWTH_SECONDS)) is None:
            return 0.0
        first, last = ends
        span = last.timestamp - first.timestamp
        return (last.memory_usage - first.memory_usage) / span * 60 if span >= _GROWTH_LEAST_SECONDS else 0.0

    def _fps(self, now: float) -> float:
        times = [when for when, success, _ in self._sends if success]
        if len(times) < 2:
            return 0.0
        # Up to now, not up to the last send: a stream that stopped falls to zero instead of keeping its rate.
        span = max(now, times[-1]) - times[0]
        return (len(times) - 1) / span if span > 0 else 0.0


_STATS: Final = (
    *("fps", "latency", "latency_p50", "latency_p95", "latency_p99", "jitter", "success_rate", "sent", "failed"),
    *("cpu_usage", "memory_usage", "memory_growth", "bandwidth", "bandwidth_received", "quality_level", "queue_usage"),
    *("received", "lost", "age_p50", "age_p95", "age_p99", "remote_age_p50", "remote_age_p99", "round_trip"),
    *("receivers", "receivers_behind", "loop_lag"),
)
