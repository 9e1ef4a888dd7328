"""One line of figures, and what it is made of."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec


class Readings(msgspec.Struct, frozen=True, kw_only=True):
    """What a sampler read off the parts of a session; counts since it began, times in seconds."""

    bytes_sent: int = 0
    bytes_received: int = 0
    received: int = 0
    """Frames that came."""
    lost: int = 0
    """Frames of others that never came."""
    drops: dict[str, int] = {}
    """Frames that did not leave, by reason."""
    waiting: int = 0
    """Frames in the queue."""
    capacity: int = 0
    """Frames that may be in it."""
    quality_level: int = 0
    quality: str = "full"
    round_trip: float = 0.0
    ages: Sequence[float] = ()
    """Of the frames that came since the reading before."""
    remote_age_p50: float | None = None
    """How old our frames are when they arrive, as the receivers say; None when none said so lately."""
    remote_age_p99: float | None = None
    receivers: int = 0
    receivers_behind: int = 0
    """Of them, those for whom frames come late."""
    link_rate: float | None = None
    """Bytes a second that the link takes; None while it takes all there is."""
    loop_lag: float = 0.0
    """The longest that something due waited for the event loop since the reading before."""
    slowest_callback: str = ""
    """What held it up longest; empty when that is not known."""


class PerformanceMetrics(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One look at the figures; times in seconds, memory in MB, rates in bytes a second."""

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
    latency_p50: float = 0.0
    latency_p95: float = 0.0
    latency_p99: float = 0.0
    jitter: float = 0.0
    """Mean difference of the latencies of two sends that follow each other (RFC 3550, section 6.4.1, not smoothed)."""
    memory_growth: float = 0.0
    """MB since the first sample."""
    bandwidth: float = 0.0
    """Sent since the sample before."""
    bandwidth_received: float = 0.0
    quality_level: int = 0
    """Step of the quality ladder, 0 for full quality."""
    quality: str = "full"
    queue_usage: float = 0.0
    """0..1 of what the queue holds."""
    sent: int = 0
    """Since the beginning, as all counts here."""
    failed: int = 0
    drops: dict[str, int] = {}
    """Frames that did not leave, by reason."""
    received: int = 0
    lost: int = 0
    age_p50: float | None = None
    """Of the frames that came since the sample before; None when none came."""
    age_p95: float | None = None
    age_p99: float | None = None
    remote_age_p50: float | None = None
    """How old our frames arrive, the worst that a receiver reported; None when none did lately."""
    remote_age_p99: float | None = None
    round_trip: float = 0.0
    receivers: int = 0
    receivers_behind: int = 0
    link_rate: float | None = None
    """What the link takes; None while it takes all there is."""
    loop_lag: float = 0.0
    """The longest that something due waited for the event loop since the sample before."""
    slowest_callback: str = ""
    """What held it up; empty when that is not known."""


_PEAKS = (
    "latency_p95",
    "latency_p99",
    "age_p95",
    "age_p99",
    "remote_age_p99",
    "quality_level",
    "queue_usage",
    "cpu_usage",
    "receivers_behind",
)


def merged(older: PerformanceMetrics, newer: PerformanceMetrics) -> PerformanceMetrics:
    """Return one line for two that follow each other: the newer one, with the worse of what has peaks."""
    changes: dict[str, object] = {}
    for name in _PEAKS:
        before, after = getattr(older, name), getattr(newer, name)
        if before is not None and (after is None or before > after):
            changes[name] = before
    if older.loop_lag > newer.loop_lag:
        changes["loop_lag"], changes["slowest_callback"] = older.loop_lag, older.slowest_callback
    if older.quality_level > newer.quality_level:
        changes["quality"] = older.quality
    for name in ("age_p50", "remote_age_p50"):
        if getattr(newer, name) is None and (value := getattr(older, name)) is not None:
            changes[name] = value
    return msgspec.structs.replace(newer, **changes) if changes else newer


def thinned(lines: Sequence[PerformanceMetrics]) -> list[PerformanceMetrics]:
    """Return half as many lines: each two merged; the last stays alone when their number is odd."""
    pairs = [merged(lines[index], lines[index + 1]) for index in range(0, len(lines) - 1, 2)]
    return [*pairs, lines[-1]] if len(lines) % 2 else pairs
