"""What to do about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from posewire.monitor.performance_metrics import PerformanceMetrics
from posewire.monitor.thresholds import DEFAULTS

_FPS_SHARE: Final = 0.8
_ERROR_RATE: Final = 0.1
_QUEUE_SHARE: Final = 0.8
"""The specification's figures; so are the words of its four rules."""
_SAID_BY_DEFAULT: Final = {name: value for name, value in DEFAULTS.items() if value is not None}


class Recommendation(msgspec.Struct, frozen=True, kw_only=True):
    """Something to do, and why."""

    text: str
    reason: str

    def __str__(self) -> str:
        return f"{self.text}: {self.reason}"


def recommend(
    stats: Mapping[str, float],
    line: PerformanceMetrics,
    *,
    target_fps: float | None = None,
    thresholds: Mapping[str, float | None] = DEFAULTS,
    protocol_version: str = "v3",
) -> list[Recommendation]:
    """Return what to do, most urgent first: the specification's four rules, then what the quality ladder knows.

    Args:
        stats: `PerformanceMonitor.get_stats`.
        line: The metrics of the same moment.
        target_fps: Frames a second that there should be; None does not judge it.
        thresholds: `AlertManager.get_thresholds`; one that is off counts with its default.
        protocol_version: What poses are written as.
    """
    limits = _SAID_BY_DEFAULT | {name: value for name, value in thresholds.items() if value is not None}
    rules = (
        *_specified(stats, target_fps, limits),
        *_of_the_ladder(line, protocol_version),
        *_of_this_machine(stats, line, limits),
    )
    return [Recommendation(text=text, reason=reason) for text, reason in rules]


def _specified(
    stats: Mapping[str, float], target_fps: float | None, limits: Mapping[str, float]
) -> Iterator[tuple[str, str]]:
    fps, errors, latency, queue = (stats.get(name, 0.0) for name in ("fps", "error_rate", "latency", "queue_usage"))
    if target_fps is not None and stats.get("sending") and fps < _FPS_SHARE * target_fps:
        yield "Consider reducing target FPS", f"{fps:.1f} frames/s leave, of {target_fps:g} there should be"
    if errors > _ERROR_RATE:
        yield "Check network connection", f"{errors:.0%} of the last sends failed"
    if latency > limits["max_latency"]:
        reason = f"frames wait {latency * 1e3:.0f} ms for the link, over {limits['max_latency'] * 1e3:g} ms"
        yield "Consider enabling compression", reason
    if queue > _QUEUE_SHARE:
        yield "Consider reducing send frequency", f"the queue is {queue:.0%} full"


def _of_the_ladder(line: PerformanceMetrics, protocol_version: str) -> Iterator[tuple[str, str]]:
    takes = "" if line.link_rate is None else f"; the link takes {line.link_rate / 1e3:.1f} kB/s"
    if line.quality_level > 0:
        reason = f"quality is at step {line.quality_level}, '{line.quality}'{takes}"
        yield "Send less, or use a faster link", reason
        if protocol_version != "v3":
            yield "Use protocol version v3", f"poses are written as {protocol_version}, several times the bytes{takes}"
    if 0 < line.receivers_behind < line.receivers:
        reason = f"frames come late to {line.receivers_behind} of {line.receivers}; the others are not held up"
        yield "Look at the slow receivers' links", reason
    elif line.receivers_behind and not line.quality_level:
        yield "Look at the server's link", f"frames come late to all {line.receivers} receivers, but leave in time"
    if line.drops.get("sampled", 0) > line.sent:
        yield "Raise the sampling rate", f"{line.drops['sampled']} frames were left out by it, {line.sent} were sent"


def _of_this_machine(
    stats: Mapping[str, float], line: PerformanceMetrics, limits: Mapping[str, float]
) -> Iterator[tuple[str, str]]:
    if line.loop_lag > limits["max_loop_lag"]:
        what = f" by {line.slowest_callback}" if line.slowest_callback else ""
        yield "Move blocking work off the event loop", f"it was held up for {line.loop_lag * 1e3:.0f} ms{what}"
    if line.cpu_usage > limits["max_cpu_usage"]:
        yield "Send fewer frames, or parts, on this machine", f"this process takes {line.cpu_usage:.0f} % of a core"
    if line.memory_growth > limits["max_memory_growth"]:
        rate = stats.get("memory_growth_rate", 0.0)
        yield "Look for a memory leak", f"{line.memory_growth:.0f} MB more than at first, {rate:+.1f} MB a minute"
