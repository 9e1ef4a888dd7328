"""All figures of a session at one moment, with its last hour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from posewire.monitor.alert_manager import Alert
from posewire.monitor.latency_histogram import Bars, LatencyHistogram
from posewire.monitor.performance_metrics import PerformanceMetrics, Readings
from posewire.monitor.performance_monitor import PerformanceMonitor
from posewire.monitor.recommendations import Recommendation, recommend
from posewire.monitor.stream_stats import StreamFigures

FORMAT: Final = 1
"""Of a saved report. A higher one is refused; fields are only ever added, with a default."""


class Times(msgspec.Struct, frozen=True, kw_only=True):
    """Of many durations; seconds. Quantiles are right to one percent, the rest is exact."""

    avg: float = 0.0
    p50: float = 0.0
    p95: float = 0.0
    p99: float = 0.0
    max: float = 0.0
    count: int = 0
    jitter: float = 0.0
    """Mean difference of two that follow each other, over the window at the end; of ages, that of the worst stream."""

    @classmethod
    def of(cls, histogram: LatencyHistogram, jitter: float = 0.0) -> Times:
        """Return the figures of a histogram."""
        return cls(
            avg=histogram.mean,
            p50=histogram.quantile(0.5),
            p95=histogram.quantile(0.95),
            p99=histogram.quantile(0.99),
            max=histogram.longest,
            count=histogram.count,
            jitter=jitter,
        )


class ResourceUsage(msgspec.Struct, frozen=True, kw_only=True):
    """Of this process: percent of a core, MB, seconds."""

    cpu: float = 0.0
    """Mean of the last hour's samples."""
    cpu_peak: float = 0.0
    memory: float = 0.0
    memory_growth: float = 0.0
    """Since the first sample."""
    memory_growth_rate: float = 0.0
    """MB a minute, over the last five minutes."""
    loop_lag: float = 0.0
    """The worst of the last hour."""
    slowest_callback: str = ""
    """What held the event loop up then."""


class Reliability(msgspec.Struct, frozen=True, kw_only=True):
    """What came of the frames, since the session began."""

    success_rate: float = 1.0
    error_rate: float = 0.0
    sent: int = 0
    failed: int = 0
    drops: dict[str, int] = {}
    """Frames that did not leave, by reason."""
    received: int = 0
    lost: int = 0
    drops_received: dict[str, int] = {}
    """Frames of others that were not taken, by reason."""


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """How much; bytes, and per second over the whole time."""

    fps: float = 0.0
    """Mean of the samples while something was sent."""
    bytes_sent: int = 0
    bytes_received: int = 0
    bandwidth: float = 0.0
    bandwidth_received: float = 0.0
    round_trip: float = 0.0
    """Seconds, at the end."""


class PerformanceReport(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What `Session.generate_performance_report` returns; the names of the specification's section 6.1 are in it."""

    format: int = 0
    """`FORMAT`, of a saved one."""
    posewire: str = ""
    """Version that made it."""
    created: str = ""
    """When, ISO 8601."""
    user_id: str = ""
    room: str = ""
    duration: float = 0.0
    """Seconds that were watched."""
    latency: Times = Times()
    """From handing a frame in to writing it to the connection."""
    age: Times = Times()
    """From the capture of a frame of others to its arrival here."""
    resource_usage: ResourceUsage = ResourceUsage()
    reliability: Reliability = Reliability()
    traffic: Traffic = Traffic()
    quality_level: int = 0
    quality: str = "full"
    streams: list[StreamFigures] = []
    """What was received."""
    thresholds: dict[str, float | None] = {}
    alerts: list[Alert] = []
    recommendations: list[Recommendation] = []
    latency_bars: Bars = Bars()
    age_bars: Bars = Bars()
    history: list[PerformanceMetrics] = []
    """The last hour."""

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data, defaults included, without the history; recommendations as lines of text."""
        left_out = ("history", "latency_bars", "age_bars")
        plain = {name: _plain(getattr(self, name)) for name in self.__struct_fields__ if name not in left_out}
        return plain | {"recommendations": [str(each) for each in self.recommendations]}

    def to_json(self) -> bytes:
        """Return all of it as JSON."""
        return msgspec.json.encode(self)


def build_report(
    monitor: PerformanceMonitor,
    *,
    created: str = "",
    posewire: str = "",
    user_id: str = "",
    room: str = "",
    streams: Sequence[StreamFigures] = (),
    drops_received: Mapping[str, int] | None = None,
    protocol_version: str = "v3",
) -> PerformanceReport:
    """Return the report of this moment. Nothing in it is a secret, but the names of members and streams."""
    monitor.fold()
    line, stats, history, duration = monitor.metrics(), monitor.get_stats(), monitor.history(), monitor.duration
    return PerformanceReport(
        format=FORMAT,
        posewire=posewire,
        created=created,
        user_id=user_id,
        room=room,
        duration=duration,
        latency=Times.of(monitor.latencies, line.jitter),
        age=Times.of(monitor.ages, max((each.jitter for each in streams), default=0.0)),
        resource_usage=_resources(line, history, stats["memory_growth_rate"]),
        reliability=_reliability(line, drops_received or {}),
        traffic=_traffic(line, monitor.readings, duration, monitor.get_history_stats()["avg_fps"]),
        quality_level=line.quality_level,
        quality=line.quality,
        streams=list(streams),
        thresholds=monitor.alerts.get_thresholds(),
        alerts=monitor.alerts.alerts(),
        recommendations=recommend(
            stats,
            line,
            target_fps=monitor.target_fps,
            thresholds=monitor.alerts.get_thresholds(),
            protocol_version=protocol_version,
        ),
        latency_bars=monitor.latencies.bars(),
        age_bars=monitor.ages.bars(),
        history=history,
    )


def _resources(line: PerformanceMetrics, history: list[PerformanceMetrics], growth_rate: float) -> ResourceUsage:
    worst = max(history, key=lambda each: each.loop_lag, default=line)
    return ResourceUsage(
        cpu=sum(each.cpu_usage for each in history) / len(history) if history else line.cpu_usage,
        cpu_peak=max((each.cpu_usage for each in history), default=line.cpu_usage),
        memory=line.memory_usage,
        memory_growth=line.memory_growth,
        memory_growth_rate=growth_rate,
        loop_lag=worst.loop_lag,
        slowest_callback=worst.slowest_callback,
    )


def _reliability(line: PerformanceMetrics, drops_received: Mapping[str, int]) -> Reliability:
    total = line.sent + line.failed
    error_rate = line.failed / total if total else 0.0
    return Reliability(
        success_rate=1.0 - error_rate,
        error_rate=error_rate,
        sent=line.sent,
        failed=line.failed,
        drops=dict(line.drops),
        received=line.received,
        lost=line.lost,
        drops_received=dict(drops_received),
    )


def _traffic(line: PerformanceMetrics, readings: Readings, duration: float, fps: float) -> Traffic:
    return Traffic(
        fps=fps,
        bytes_sent=readings.bytes_sent,
        bytes_received=readings.bytes_received,
        bandwidth=readings.bytes_sent / duration if duration > 0 else 0.0,
        bandwidth_received=readings.bytes_received / duration if duration > 0 else 0.0,
        round_trip=line.round_trip,
    )


def _plain(value: Any) -> Any:
    """Return a Struct as a dict with its defaults, in which ``to_builtins`` would leave those out."""
    if isinstance(value, msgspec.Struct):
        return {name: _plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value
