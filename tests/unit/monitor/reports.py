"""A monitor that has seen everything there is."""

from __future__ import annotations

from posewire.monitor import AlertManager, PerformanceMonitor, PerformanceReport, Readings, StreamFigures, build_report

STREAM = StreamFigures(
    user_id="bob", stream="pose", frames=500, lost=3, fps=30.0, mean_fps=29.5, bytes_per_frame=81.0,
    age_p50=0.02, age_p95=0.05, age_p99=0.08, jitter=0.004,
)  # fmt: skip


class Clock:
    """Seconds that are set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def busy_monitor(seconds: int = 60) -> PerformanceMonitor:
    """Return a monitor after a minute with a bad link in its middle."""
    clock = Clock()
    monitor = PerformanceMonitor(clock=clock, alerts=AlertManager(samples=1))
    drops: dict[str, int] = {}
    for second in range(seconds):
        bad = seconds // 3 <= second < 2 * seconds // 3
        for index in range(30):
            clock.now += 1 / 30
            monitor.update(not (bad and index == 0), 0.08 if bad else 0.001 + index / 1e5)
        if bad:
            drops = {"replaced": drops.get("replaced", 0) + 5, "quality": drops.get("quality", 0) + 10}
        monitor.sample(
            cpu_usage=20.0 if bad else 5.0,
            memory_usage=60.0 + second / 10,
            readings=Readings(
                bytes_sent=2500 * (second + 1),
                bytes_received=1500 * (second + 1),
                received=30 * (second + 1),
                lost=second // 10,
                drops=drops,
                waiting=10 if bad else 0,
                capacity=256,
                quality_level=2 if bad else 0,
                quality="coarse" if bad else "full",
                round_trip=0.03,
                # Nobody sends for five seconds, and nobody reports in the first ten.
                ages=[] if 30 <= second < 35 else [0.02 + index / 1000 + 0.2 * bad for index in range(30)],
                remote_age_p50=None if second < 10 else 0.03,
                remote_age_p99=None if second < 10 else 0.09 + 0.3 * bad,
                receivers=3,
                receivers_behind=int(bad),
                link_rate=9000.0 if bad else None,
                loop_lag=0.15 if second == 5 else 0.001,
                slowest_callback="task camera (Camera.read)" if second == 5 else "",
            ),
        )
        monitor.check_performance()
    monitor.set_target_fps(60)
    return monitor


def busy_report(seconds: int = 60) -> PerformanceReport:
    """Return the report of that monitor."""
    return build_report(
        busy_monitor(seconds),
        created="2026-11-27T12:00:00+00:00",
        posewire="0.2.0",
        user_id="alice",
        room="studio",
        streams=[STREAM],
        drops_received={"replay": 1},
    )
