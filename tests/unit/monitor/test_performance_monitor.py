"""Figures of the sending side, under a clock that the test turns."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from posewire import clock
from posewire.errors import InvalidDataError
from posewire.monitor import HISTORY_SECONDS, AlertManager, PerformanceMetrics, PerformanceMonitor, Readings
from posewire.monitor.history import MOST_LINES


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
    with pytest.raises(ValueError, match="from 2"):
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
    turn.now += 0.0
    monitor.sample(cpu_usage=7.5, memory_usage=95.0)
    stats = monitor.get_stats()
    # The window holds the last hundred: 1 to 100 ms.
    expected = {
        "fps": 10.0,
        "latency": 0.0505,
        "latency_p50": 0.0505,
        "latency_p95": 0.09505,
        "latency_p99": 0.09901,
        "jitter": 0.001,
        "success_rate": 1.0,
        "error_rate": 0.0,
        "sent": 100.0,
        "failed": 1.0,
        "consecutive_failures": 0.0,
        "cpu_usage": 7.5,
        "memory_usage": 95.0,
        "memory_growth": 15.0,
    }
    assert {name: stats[name] for name in expected} == pytest.approx(expected)
    assert {type(value) for value in stats.values()} == {float}


READINGS = Readings(
    bytes_sent=5000,
    bytes_received=2000,
    received=40,
    lost=2,
    drops={"replaced": 3, "quality": 4},
    waiting=64,
    capacity=256,
    quality_level=2,
    quality="coarse",
    round_trip=0.03,
    ages=[0.04, 0.02, 0.03],
    remote_age_p50=0.05,
    remote_age_p99=0.09,
    receivers=3,
    receivers_behind=1,
    link_rate=12_000.0,
    loop_lag=0.2,
    slowest_callback="somebody",
)


def test_stats_of_what_was_read(turn: Clock) -> None:
    monitor = PerformanceMonitor(clock=turn)
    turn.now += 2
    monitor.sample(cpu_usage=1.0, memory_usage=1.0, readings=READINGS)
    stats = monitor.get_stats()
    expected = {
        "bandwidth": 2500.0,
        "bandwidth_received": 1000.0,
        "received": 40.0,
        "lost": 2.0,
        "dropped": 7.0,
        "drops_replaced": 3.0,
        "drops_quality": 4.0,
        "queue_usage": 0.25,
        "quality_level": 2.0,
        "round_trip": 0.03,
        "age_p50": 0.03,
        "age_p95": 0.039,
        "age_p99": 0.0398,
        "remote_age_p50": 0.05,
        "remote_age_p99": 0.09,
        "receivers": 3.0,
        "receivers_behind": 1.0,
        "loop_lag": 0.2,
        "sending": 1.0,
    }
    assert {name: stats[name] for name in expected} == pytest.approx(expected)
    line = monitor.history()[-1]
    assert (line.quality, line.slowest_callback, line.link_rate) == ("coarse", "somebody", 12_000.0)
    assert monitor.ages.count == 3
    turn.now += 1
    monitor.sample(cpu_usage=1.0, memory_usage=1.0, readings=msgspec.structs.replace(READINGS, ages=[], waiting=0))
    stats = monitor.get_stats()
    assert stats["bandwidth"] == stats["sending"] == 0.0
    assert "age_p50" not in stats
    assert monitor.ages.count == 3


def test_counts_that_begin_anew_are_no_negative_rate(turn: Clock) -> None:
    monitor = PerformanceMonitor(clock=turn)
    for sent in (5000, 10):
        turn.now += 1
        monitor.sample(cpu_usage=0.0, memory_usage=0.0, readings=Readings(bytes_sent=sent, bytes_received=sent))
    assert monitor.get_stats()["bandwidth"] == monitor.get_stats()["bandwidth_received"] == 0.0


def test_failures_in_a_row(turn: Clock) -> None:
    monitor = PerformanceMonitor(clock=turn)
    for success in (False, True, False, False):
        monitor.update(success, 0.0)
    assert monitor.get_stats()["consecutive_failures"] == 2
    monitor.update(True, 0.0)
    assert monitor.get_stats()["consecutive_failures"] == 0
    assert monitor.failed == 3


@pytest.mark.parametrize("latency", [-0.001, float("nan"), float("inf"), 86_400.0])
def test_what_is_no_latency_is_not_counted(turn: Clock, latency: float) -> None:
    monitor = PerformanceMonitor(clock=turn)
    with pytest.raises(InvalidDataError, match=r"latency .* expected seconds"):
        monitor.update(True, latency)
    assert monitor.total == 0
    assert monitor.metrics().latency == 0


def test_every_latency_is_in_the_histogram_once(turn: Clock) -> None:
    monitor = PerformanceMonitor(2, clock=turn)
    for index in range(1300):
        monitor.update(True, 0.001 + index / 1e6)
    assert monitor.latencies.count == 1024  # the rest waits for the sampler
    monitor.sample(cpu_usage=0.0, memory_usage=0.0)
    assert monitor.latencies.count == 1300
    monitor.fold()
    assert monitor.latencies.count == 1300
    assert monitor.latencies.mean == pytest.approx(0.001 + 649.5 / 1e6)


def test_stopped_it_counts_nothing(turn: Clock) -> None:
    monitor = PerformanceMonitor(clock=turn)
    monitor.update(True, 0.01)
    monitor.stop()
    monitor.update(True, 0.02)
    monitor.update(False, 0.02)
    assert (monitor.active, monitor.total, monitor.failed) == (False, 1, 0)
    assert monitor.metrics().latency == 0.01
    monitor.start()
    monitor.update(True, 0.03)
    assert monitor.total == 2


def test_whether_something_is_sent(turn: Clock) -> None:
    monitor = PerformanceMonitor(clock=turn)
    for sends, waiting, sending in ((0, 0, 0.0), (1, 0, 1.0), (0, 0, 0.0), (0, 5, 1.0)):
        send(monitor, turn, sends, gap=0.1)
        monitor.sample(cpu_usage=0, memory_usage=0, readings=Readings(waiting=waiting, capacity=10))
        assert monitor.get_stats()["sending"] == sending


def test_growth_a_minute_is_of_the_last_five_minutes(turn: Clock) -> None:
    monitor = PerformanceMonitor(clock=turn)
    memory = 100.0
    for second in range(900):
        turn.now += 1
        memory += 1.0 if second < 500 else 0.1
        monitor.sample(cpu_usage=0.0, memory_usage=memory)
        if second == 5:
            assert monitor.get_stats()["memory_growth_rate"] == 0.0  # over six seconds it says nothing
        if second == 100:
            assert monitor.get_stats()["memory_growth_rate"] == pytest.approx(60.0)
    assert monitor.get_stats()["memory_growth_rate"] == pytest.approx(6.0)


def test_figures_of_now_and_of_the_hour(turn: Clock) -> None:
    monitor = PerformanceMonitor(10, clock=turn)
    assert monitor.get_history_stats() == {
        **dict.fromkeys(("avg_fps", "avg_latency", "min_latency", "max_latency", "samples"), 0.0),
        "success_rate": 1.0,
    }
    monitor.sample(cpu_usage=0.0, memory_usage=0.0)  # nothing is sent yet: it does not count
    for gap, latency in ((0.1, 0.01), (0.05, 0.03)):
        for index in range(20):
            turn.now += gap
            monitor.update(index % 5 > 0 or gap == 0.1, latency)
        monitor.sample(cpu_usage=5.0, memory_usage=50.0)
    stats = monitor.get_history_stats()
    assert stats["samples"] == 2
    assert (stats["min_latency"], stats["max_latency"]) == pytest.approx((0.01, 0.03))
    assert stats["avg_latency"] == pytest.approx(0.02)
    assert stats["success_rate"] == pytest.approx(0.9)
    now = monitor.get_real_time_stats()
    assert set(now) == {"fps", "latency", "cpu_usage", "memory_usage"}
    assert (now["latency"], now["cpu_usage"], now["memory_usage"]) == pytest.approx((0.03, 5.0, 50.0))
    assert stats["avg_fps"] == pytest.approx((10 + now["fps"]) / 2)


def test_a_look_compares_with_the_thresholds(turn: Clock) -> None:
    monitor = PerformanceMonitor(clock=turn, alerts=AlertManager(samples=1))
    monitor.update(True, 0.2)
    (alert,) = monitor.check_performance()
    assert (alert.name, alert.value, alert.timestamp) == ("latency", 0.2, 100.0)
    assert monitor.alerts.active == ["latency"]


def test_target_fps(turn: Clock) -> None:
    monitor = PerformanceMonitor(clock=turn)
    assert monitor.target_fps is None
    monitor.set_target_fps(60)
    for bad in (0, -1, float("nan"), float("inf"), True, "30"):
        with pytest.raises(InvalidDataError, match="target fps"):
            monitor.set_target_fps(bad)  # type: ignore[arg-type]
    assert monitor.target_fps == 60
    monitor.set_target_fps(None)
    assert monitor.target_fps is None


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
    for _ in range(MOST_LINES + 1000):
        turn.now += 0.001
        monitor.sample(cpu_usage=0.0, memory_usage=0.0)
    assert MOST_LINES / 2 <= len(monitor.history()) <= MOST_LINES
    assert monitor.history()[-1].timestamp == turn.now


def test_metrics_are_frozen(turn: Clock) -> None:
    figures = PerformanceMonitor(clock=turn).metrics()
    with pytest.raises(AttributeError):
        figures.fps = 1.0  # type: ignore[misc]
