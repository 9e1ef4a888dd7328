"""Alerts begin and end once each, whatever the figures do."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posewire.errors import ConfigurationError, DataValidationError, PerformanceError
from posewire.monitor import THRESHOLDS, Alert, AlertManager
from posewire.monitor.thresholds import DEFAULTS, REQUIRED


def states(alerts: list[Alert]) -> list[tuple[str, str]]:
    return [(alert.name, alert.state) for alert in alerts]


def look(manager: AlertManager, now: float, **stats: float) -> list[tuple[str, str]]:
    return states(manager.evaluate(stats, now))


def test_an_alert_begins_and_ends_once() -> None:
    manager = AlertManager(samples=1)
    assert look(manager, 0, latency=0.04) == []
    assert look(manager, 1, latency=0.06) == [("latency", "raised")]
    assert manager.active == ["latency"]
    assert look(manager, 2, latency=0.09) == []
    assert look(manager, 3, latency=0.01) == [("latency", "cleared")]
    assert manager.active == []
    assert look(manager, 4, latency=0.01) == []
    assert states(manager.alerts()) == [("latency", "raised"), ("latency", "cleared")]


def test_one_look_is_an_accident() -> None:
    manager = AlertManager(samples=3)
    seen = [look(manager, now, cpu_usage=cpu) for now, cpu in enumerate((90, 90, 10, 90, 90, 90))]
    assert seen == [[], [], [], [], [], [("cpu_usage", "raised")]]


@pytest.mark.parametrize(
    ("metric", "past", "between", "back"),
    [("latency", 0.051, 0.048, 0.044), ("fps", 23.0, 25.0, 27.0)],
)
def test_hysteresis(metric: str, past: float, between: float, back: float) -> None:
    manager = AlertManager(samples=1, cooldown=0)
    manager.set_thresholds({"min_fps": 24})
    assert look(manager, 0, **{metric: past}) == [(metric, "raised")]
    for now in range(1, 20):
        assert look(manager, now, **{metric: between if now % 2 else past}) == []
    assert look(manager, 20, **{metric: back}) == [(metric, "cleared")]


def test_cooldown() -> None:
    manager = AlertManager(samples=1, cooldown=10)
    assert look(manager, 0, latency=1.0) == [("latency", "raised")]
    assert look(manager, 1, latency=0.0) == [("latency", "cleared")]
    # Again too soon: neither its beginning nor its end is told.
    assert look(manager, 2, latency=1.0) == []
    assert manager.active == ["latency"]
    assert look(manager, 3, latency=0.0) == []
    # And again, but it goes on until the time is over.
    assert look(manager, 4, latency=1.0) == []
    assert look(manager, 9.9, latency=1.0) == []
    assert look(manager, 10, latency=1.0) == [("latency", "raised")]
    assert look(manager, 11, latency=0.0) == [("latency", "cleared")]
    assert manager.suppressed == 2
    # Another alert has a time of its own.
    assert look(manager, 11, cpu_usage=99) == [("cpu_usage", "raised")]


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0, 0.2)), max_size=80), st.integers(1, 3), st.floats(0, 8))
def test_what_is_told_alternates_and_keeps_its_distance(
    looks: list[tuple[float, float]], samples: int, cooldown: float
) -> None:
    manager = AlertManager(samples=samples, cooldown=cooldown)
    now, told = 0.0, []
    for gap, latency in looks:
        now += gap
        for alert in manager.evaluate({"latency": latency}, now):
            told.append(alert)
            assert (alert.value > 0.05) is (alert.state == "raised")
            assert alert.state == "raised" or alert.value <= 0.045 + 1e-12
    assert [alert.state for alert in told] == (["raised", "cleared"] * len(told))[: len(told)]
    raised = [alert.timestamp for alert in told if alert.state == "raised"]
    assert all(after - before >= cooldown for before, after in itertools.pairwise(raised))


@pytest.mark.parametrize("name", THRESHOLDS)
def test_every_threshold_is_looked_at(name: str) -> None:
    threshold = THRESHOLDS[name]
    manager = AlertManager(samples=1)
    manager.set_thresholds(dict.fromkeys(THRESHOLDS) | {name: 10.0})
    good, bad = (20.0, 5.0) if threshold.below else (5.0, 20.0)
    others = {each.metric: 1e9 for each in THRESHOLDS.values()}
    assert manager.evaluate(others | {threshold.metric: good}, 0) == []
    (alert,) = manager.evaluate(others | {threshold.metric: bad}, 1)
    assert (alert.name, alert.metric, alert.value, alert.threshold) == (threshold.alert, threshold.metric, bad, 10.0)
    assert threshold.alert in alert.message
    assert ("below" if threshold.below else "over") in alert.message
    assert isinstance(alert.error, PerformanceError)
    assert (alert.error.metric, alert.error.value, alert.error.threshold) == (threshold.metric, bad, 10.0)


def test_a_pause_is_no_fault() -> None:
    manager = AlertManager(samples=1)
    manager.set_thresholds({"min_fps": 24})
    assert look(manager, 0, fps=0.0, sending=0.0) == []
    assert look(manager, 1, fps=5.0, sending=1.0) == [("fps", "raised")]
    assert look(manager, 2, fps=0.0, sending=0.0) == [("fps", "cleared")]


def test_a_figure_that_is_not_known_changes_nothing() -> None:
    manager = AlertManager(samples=1)
    assert look(manager, 0, age_p95=2.0) == [("age", "raised")]
    assert look(manager, 1) == []
    assert manager.active == ["age"]
    assert look(manager, 2, age_p95=0.1) == [("age", "cleared")]


def test_turning_a_threshold_off_ends_its_alert() -> None:
    manager = AlertManager(samples=1)
    look(manager, 0, latency=1.0)
    manager.set_thresholds({"max_latency": None})
    (alert,) = manager.evaluate({"latency": 1.0}, 1)
    assert (alert.state, alert.threshold, alert.error.threshold) == ("cleared", None, 0.0)
    assert look(manager, 2, latency=9.0) == []


def test_thresholds_are_set_got_and_reset() -> None:
    manager = AlertManager()
    assert manager.get_thresholds() == DEFAULTS
    manager.set_thresholds({"max_latency": 0.2})
    manager.set_thresholds({"min_fps": 25, "max_age": None})
    assert manager.get_thresholds() == DEFAULTS | {"max_latency": 0.2, "min_fps": 25.0, "max_age": None}
    manager.get_thresholds().clear()
    assert manager.get_thresholds()["max_latency"] == 0.2
    manager.reset_thresholds()
    assert manager.get_thresholds() == DEFAULTS


def test_replacing_needs_what_the_specification_looks_at() -> None:
    manager = AlertManager()
    manager.set_thresholds({"max_age": 9.0})
    whole = {"min_fps": 24, "max_latency": 0.1, "max_cpu_usage": 50, "max_memory_growth": 10}
    assert set(whole) == set(REQUIRED)
    manager.replace_thresholds(whole)
    assert manager.get_thresholds() == DEFAULTS | whole
    for name in REQUIRED:
        with pytest.raises(ConfigurationError, match=f"{name}.*missing"):
            manager.replace_thresholds({key: value for key, value in whole.items() if key != name})
    assert manager.get_thresholds() == DEFAULTS | whole


@pytest.mark.parametrize("bad", [-1, float("nan"), float("inf"), True, "0.1", [1]])
def test_a_bad_threshold_leaves_all_as_they_were(bad: object) -> None:
    manager = AlertManager()
    with pytest.raises(ConfigurationError, match=r"max_age=.*expected a number from 0 \(s\)"):
        manager.set_thresholds({"max_latency": 0.2, "max_age": bad})  # type: ignore[dict-item]
    assert manager.get_thresholds() == DEFAULTS


def test_an_unknown_threshold_is_told_with_the_next_best() -> None:
    with pytest.raises(ConfigurationError, match="did you mean 'max_latency'"):
        AlertManager().set_thresholds({"max_latancy": 1})
    with pytest.raises(ConfigurationError, match="allowed: min_fps"):
        AlertManager().set_thresholds({"xyz": 1})


@pytest.mark.parametrize("bad", [{"cooldown": -1.0}, {"cooldown": float("nan")}, {"samples": 0}])
def test_bad_settings(bad: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError):
        AlertManager(**bad)  # type: ignore[arg-type]


def test_whoever_listens_gets_what_is_told() -> None:
    manager, got = AlertManager(samples=1), list[Alert]()
    manager.on_alert = got.append
    told = manager.evaluate({"latency": 1.0, "cpu_usage": 99.0}, 0)
    assert got == told == manager.alerts()
    assert states(told) == [("latency", "raised"), ("cpu_usage", "raised")]


def test_callbacks_come_and_go() -> None:
    manager, words = AlertManager(samples=1), list[tuple[str, str]]()

    def first(alert: Alert) -> None: ...

    manager.add_callback(first)
    manager.set_callback(lambda name, message: words.append((name, message)))
    manager.set_callback(lambda name, message: words.append((name.upper(), message)))
    manager.remove_callback(print)
    one, two = manager.callbacks
    assert one is first
    (alert,) = manager.evaluate({"latency": 1.0}, 0)
    two(alert)
    assert words == [("LATENCY", alert.message)]
    with pytest.raises(DataValidationError, match="expected a function"):
        manager.add_callback(42)  # type: ignore[arg-type]
    with pytest.raises(DataValidationError, match="expected a function"):
        manager.set_callback(42)  # type: ignore[arg-type]
    assert len(manager.callbacks) == 2
    manager.set_callback(None)
    manager.remove_callback(first)
    assert manager.callbacks == []


def test_what_was_told_is_bounded() -> None:
    manager = AlertManager(samples=1, cooldown=0)
    for now in range(3000):
        manager.evaluate({"latency": float(now % 2)}, now)
    assert len(manager.alerts()) == 1000
    assert manager.alerts()[-1].timestamp == 2999
