"""Figures of the sending side, under a clock that the test turns."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from posewire import clock
from posewire.monitor import PerformanceMetrics, PerformanceMonitor
from posewire.monitor.performance_monitor import HISTORY_SECONDS


class Clock:
    """Monotonic seconds that stand still until they are moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def turn() -> Clock:
    return Clock()


def send(monitor: PerformanceMonitor, turn: Clock, count: int, *, gap: float, success: bool = True) -> None:
    """Send ``count`` frames, ``gap`` seconds before each."""
    for _ in range(count):
        turn.now += gap
        monitor.update(success, 0.01)


def test_before_the_first_send(turn: Clock) -> None:
    assert PerformanceMonitor(clock=turn).metrics() == PerformanceMetrics(
        fps=0.0, latency=0.0, success_rate=1.0, cpu_usage=0.0, memory_usage=0.0, timestamp=100.0
    )


@pytest.mark.parametrize("size", [1, 0, -5])
def test_a_window_holds_two_at_least(size: int) -> None:
    with pytest.raises(ValueError, match="at least 2"):
        PerformanceMonitor(size)


def test_the_monotonic_clock_is_the_default() -> None:
    monitor = PerformanceMonitor()
    before = clock.monotonic()
    assert before <= monitor.metrics().timestamp <= clock.monotonic()


def test_fps_of_a_steady_stream(turn: Clock) -> None:
    monitor = PerformanceMonitor(clock=turn)
    monitor.update(True, 0.01)
    assert monitor.metrics().fps == 0
    send(monitor, turn, 30, gap=1 / 30)
    assert monitor.metrics().fps == pytest.approx(30)


def test_fps_of_a_stream_that_stopped_falls(turn: Clock) -> None:
    monitor = PerformanceMonitor(clock=turn)
    send(monitor, turn, 11, gap=0.1)
    turn.now += 9
    assert monitor.metrics().fps == pytest.approx(1.0)
    turn.now += 990
    assert monitor.metrics().fps == pytest.approx(0.01)


def test_fps_is_taken_over_the_window(turn: Clock) -> None:
    monitor = PerformanceMonitor(10, clock=turn)
    send(monitor, turn, 50, gap=1.0)
    send(monitor, turn, 10, gap=0.1)
    assert monitor.metrics().fps == pytest.approx(10)


def test_two_sends_are_enough(turn: Clock) -> None:
    monitor = PerformanceMonitor(clock=turn)
    send(monitor, turn, 2, gap=0.5)
    assert monitor.metrics().fps == pytest.approx(2)


def test_two_sends_at_one_moment(turn: Clock) -> None:
    monitor = PerformanceMonitor(clock=turn)
    send(monitor, turn, 2, gap=0.0)
    assert monitor.metrics().fps == 0


def test_a_clock_that_goes_back(turn: Clock) -> None:
    monitor = PerformanceMonitor(clock=turn)
    send(monitor, turn, 11, gap=0.1)
    turn.now -= 50
    assert monitor.metrics().fps == pytest.approx(10)


def test_fps_counts_frames_that_left(turn: Clock) -> None:
    # Once: "frames sent a second" counts those that failed too: a session that sends nothing shows its full rate.
    monitor = PerformanceMonitor(clock=turn)
    send(monitor, turn, 30, gap=0.1, success=False)
    assert monitor.metrics().fps == 0
    for _ in range(20):
        send(monitor, turn, 1, gap=0.1)
        send(monitor, turn, 1, gap=0.1, success=False)
    turn.now -= 0.1
    assert monitor.metrics().fps == pytest.approx(5)


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 10)), max_size=40), st.integers(2, 12))
def test_latency_and_success_over_the_window(sends: list[tuple[bool, float]], window: int) -> None:
    monitor = PerformanceMonitor(window, clock=Clock())
    for success, latency in sends:
        monitor.update(success, latency)
    kept = sends[-window:]
    figures = monitor.metrics()
    if kept:
        assert figures.latency == pytest.approx(sum(latency for _, latency in kept) / len(kept))
        assert figures.success_rate == sum(success for success, _ in kept) / len(kept)
    assert monitor.total == len(sends)
    assert monitor.failed == sum(not success for success, _ in sends)


def test_stats_by_name(turn: Clock) -> None:
    monitor = PerformanceMonitor(clock=turn)
    for index in range(101):
        turn.now += 0.1
        monitor.update(index > 0, index / 1000)
    monitor.sample(cpu_usage=12.5, memory_usage=80.0)
    monitor.sample(cpu_usage=7.5, memory_usage=95.0)
    stats = monitor.get_stats()
    # The window holds the last hundred: 1 to 100 ms.
    assert stats == pytest.approx(
        {
            "fps": 10.0,
            "latency": 0.0505,
            "latency_p50": 0.0505,
            "latency_p95": 0.09505,
            "latency_p99": 0.09901,
            "success_rate": 1.0,
            "error_rate": 0.0,
            "sent": 100.0,
            "failed": 1.0,
            "cpu_usage": 7.5,
            "memory_usage": 95.0,
            "memory_growth": 15.0,
        }
    )
    assert {type(value) for value in stats.values()} == {float}


def test_stats_before_anything(turn: Clock) -> None:
    stats = PerformanceMonitor(clock=turn).get_stats()
    assert stats.pop("success_rate") == 1.0
    assert set(stats.values()) == {0.0}


@pytest.mark.parametrize(("first", "last", "growth"), [(50.0, 47.0, -3.0), (0.0, 5.0, 5.0)])
def test_memory_growth_since_the_first_sample(turn: Clock, first: float, last: float, growth: float) -> None:
    monitor = PerformanceMonitor(clock=turn)
    for memory in (first, 99.0, last):
        monitor.sample(cpu_usage=0.0, memory_usage=memory)
    assert monitor.get_stats()["memory_growth"] == growth


def test_history_has_a_line_a_sample(turn: Clock) -> None:
    monitor = PerformanceMonitor(clock=turn)
    send(monitor, turn, 3, gap=0.5)
    assert monitor.history() == []
    monitor.sample(cpu_usage=10.0, memory_usage=50.0)
    turn.now += 1
    monitor.sample(cpu_usage=20.0, memory_usage=60.0)
    first, second = monitor.history()
    assert (first.cpu_usage, first.memory_usage, first.timestamp) == (10.0, 50.0, 101.5)
    assert (second.cpu_usage, second.memory_usage, second.timestamp) == (20.0, 60.0, 102.5)
    assert first.fps == pytest.approx(2.0)
    assert second == monitor.metrics()


def test_history_is_a_copy(turn: Clock) -> None:
    monitor = PerformanceMonitor(clock=turn)
    monitor.sample(cpu_usage=10.0, memory_usage=50.0)
    monitor.history().clear()
    assert len(monitor.history()) == 1


def test_history_of_one_hour(turn: Clock) -> None:
    assert HISTORY_SECONDS == 3600
    monitor = PerformanceMonitor(clock=turn)
    for _ in range(5):
        monitor.sample(cpu_usage=0.0, memory_usage=0.0)
        turn.now += HISTORY_SECONDS / 3
    kept = [line.timestamp for line in monitor.history()]
    # The fifth sample is 4/3 of an hour after the first; one that is an hour old is still in.
    assert kept == pytest.approx([100 + HISTORY_SECONDS / 3 * index for index in range(1, 5)])


def test_history_is_bounded_however_often_it_is_sampled(turn: Clock) -> None:
    monitor = PerformanceMonitor(clock=turn)
    for _ in range(5000):
        turn.now += 0.001
        monitor.sample(cpu_usage=0.0, memory_usage=0.0)
    assert len(monitor.history()) == HISTORY_SECONDS
    assert monitor.history()[-1].timestamp == turn.now


def test_metrics_are_frozen(turn: Clock) -> None:
    figures = PerformanceMonitor(clock=turn).metrics()
    with pytest.raises(AttributeError):
        figures.fps = 1.0  # type: ignore[misc]
    assert set(msgspec.structs.asdict(figures)) == {
        "fps",
        "latency",
        "success_rate",
        "cpu_usage",
        "memory_usage",
        "timestamp",
    }
