"""Looks that cost little and are true."""

from __future__ import annotations

import asyncio

import psutil
import pytest

from posewire import clock
from posewire.config import MonitorConfig
from posewire.monitor import AlertManager, PerformanceMonitor, Readings
from posewire.session.alert_runner import AlertRunner
from posewire.session.sampler import Sampler, _Looks
from tests.unit.sockets.virtual_loop import VirtualLoop, run


class Figures:
    """What a session shows; counts the looks."""

    def __init__(self) -> None:
        self.looks: list[tuple[float, str]] = []

    def readings(self, loop_lag: float = 0.0, slowest_callback: str = "") -> Readings:
        self.looks.append((loop_lag, slowest_callback))
        return Readings(loop_lag=loop_lag, slowest_callback=slowest_callback)


def sampler_of(monitor: PerformanceMonitor, figures: Figures, **config: int) -> Sampler:
    runner = AlertRunner(monitor.alerts, lambda event: None)
    return Sampler(monitor, figures, runner, MonitorConfig(**config))  # type: ignore[arg-type]


def test_it_looks_once_an_interval_and_not_while_stopped() -> None:
    async def main() -> None:
        monitor, figures = PerformanceMonitor(alerts=AlertManager(samples=1)), Figures()
        monitor.alerts.set_thresholds({"max_memory_usage": 1})
        task = asyncio.create_task(sampler_of(monitor, figures, sample_interval=500).run())
        await asyncio.sleep(4.9)
        assert len(figures.looks) == len(monitor.history()) == 10
        assert monitor.metrics().memory_usage > 10
        assert monitor.alerts.active == ["memory_usage"]
        monitor.stop()
        await asyncio.sleep(5)
        assert len(figures.looks) == 10
        monitor.start()
        await asyncio.sleep(1)
        assert len(figures.looks) == 12
        task.cancel()
        await asyncio.wait([task])
        assert monitor.alerts.on_alert is None

    run(main())


def test_its_own_lateness_counts() -> None:
    async def main() -> None:
        figures = Figures()
        task = asyncio.create_task(sampler_of(PerformanceMonitor(), figures, sample_interval=500).run())
        await asyncio.sleep(0.9)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        loop._now += 0.3  # nobody's fault: many small callbacks, say
        await asyncio.sleep(0.1)
        assert [lag for lag, _ in figures.looks] == pytest.approx([0, 0, 0.2])
        task.cancel()
        await asyncio.wait([task])

    run(main())


async def test_stopped_asyncio_is_left_alone() -> None:
    real = asyncio.Handle._run
    monitor = PerformanceMonitor()
    monitor.stop()
    task = asyncio.create_task(sampler_of(monitor, Figures(), sample_interval=1).run())
    await asyncio.sleep(0.01)
    assert asyncio.Handle._run is real
    task.cancel()
    await asyncio.wait([task])
    assert asyncio.Handle._run is real


def test_cpu_and_memory_are_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    now, spent = 50.0, 7.0
    monkeypatch.setattr(clock, "monotonic", lambda: now)
    monkeypatch.setattr("time.process_time", lambda: spent)
    looks = _Looks()
    cpu, memory = looks.look(1.0)
    assert cpu == 0.0  # nothing to compare with
    assert memory == pytest.approx(psutil.Process().memory_info().rss / 1e6, rel=0.5)
    now, spent = 52.0, 8.5
    assert looks.look(1.0)[0] == pytest.approx(75)
    # Another session's look, a moment later, is the same one; a span of nothing would tell nothing.
    now, spent = 52.4, 9.0
    assert looks.look(1.0)[0] == pytest.approx(75)
    now, spent = 54.0, 9.5
    assert looks.look(1.0)[0] == pytest.approx(50)
