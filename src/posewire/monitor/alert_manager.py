"""Says when something begins to go wrong, and when it is over."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

import msgspec

from posewire.errors import ConfigurationError, DataValidationError, PerformanceError
from posewire.monitor.thresholds import DEFAULTS, REQUIRED, THRESHOLDS, Threshold, checked
from posewire.values import is_number, is_whole, plain, shown

HYSTERESIS: Final = 0.1
_MOST_ALERTS: Final = 1000


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """Something began to go wrong, or is well again."""

    name: str
    """``latency``, ``fps``, ``cpu_usage`` … ; one for each threshold."""
    state: Literal["raised", "cleared"]
    metric: str
    """Name of the figure in `PerformanceMonitor.get_stats`."""
    value: float
    threshold: float | None
    """None when it was turned off, which clears an alert too."""
    timestamp: float
    """Monotonic seconds."""
    message: str

    @property
    def error(self) -> PerformanceError:
        """The same as an exception, for whoever wants to raise it."""
        return PerformanceError(self.metric, self.value, 0.0 if self.threshold is None else self.threshold)


Callback = Callable[[Alert], Any]
"""Gets each alert; sync, or async."""


class _State(msgspec.Struct):
    bad: int = 0
    """Looks in a row that were past the threshold."""
    raised: bool = False
    told: bool = False
    told_at: float | None = None


class AlertManager:
    """Compares figures with thresholds and tells the edges: one alert when it begins, one when it is over.

    An alert begins when a figure was past its threshold for ``samples`` looks in a row, and is over when the figure is
    back by a tenth of the threshold: one that lies at it does not flap. The same alert is told once in ``cooldown``
    seconds at most; one that begins sooner is told when that time is over, if it is still going on.

    Pure: it says what is to be told, in `evaluate` and to ``on_alert``; a session's `AlertRunner` calls the callbacks.

    Args:
        cooldown: Seconds.
        samples: Looks.

    Attributes:
        on_alert: Gets each alert that is to be told.
        suppressed: Alerts that began within the cooldown of the one before.
    """

    def __init__(self, *, cooldown: float = 10.0, samples: int = 2) -> None:
        cooldown, samples = plain(cooldown), plain(samples)
        if not is_number(cooldown) or cooldown < 0:
            raise ConfigurationError("cooldown", shown(cooldown), "expected seconds, 0 or more")
        if not is_whole(samples) or samples < 1:
            raise ConfigurationError("samples", shown(samples), "expected a whole number from 1")
        self.on_alert: Callable[[Alert], None] | None = None
        self.suppressed = 0
        self._cooldown = cooldown
        self._samples = samples
        self._thresholds = dict(DEFAULTS)
        self._states = {name: _State() for name in THRESHOLDS}
        self._alerts: deque[Alert] = deque(maxlen=_MOST_ALERTS)
        self._callbacks: list[Callback] = []
        self._two_words: Callback | None = None

    # Thresholds ------------------------------------------------------------------------------------------------------

    def get_thresholds(self) -> dict[str, float | None]:
        """Return the thresholds in force, by name; None is off."""
        return dict(self._thresholds)

    def set_thresholds(self, thresholds: Mapping[str, float | None]) -> None:
        """Change some thresholds, from the next look on; the others stay. All names are in `THRESHOLDS`.

        Raises:
            ConfigurationError: There is none of that name, or a value is no number from 0; all stay as they were.
        """
        self._thresholds |= checked(thresholds)

    def replace_thresholds(self, thresholds: Mapping[str, float | None]) -> None:
        """Set all thresholds: those of `REQUIRED` must be there, what is not given goes back to its default.

        Raises:
            ConfigurationError: One is missing, unknown or no number from 0; all stay as they were.
        """
        values = checked(thresholds)
        if missing := [name for name in REQUIRED if name not in values]:
            raise ConfigurationError(f"thresholds.{missing[0]}", None, f"missing; required: {', '.join(REQUIRED)}")
        self._thresholds = dict(DEFAULTS) | values

    def reset_thresholds(self) -> None:
        """Go back to the defaults."""
        self._thresholds = dict(DEFAULTS)

    # Callbacks -------------------------------------------------------------------------------------------------------

    def add_callback(self, callback: Callback) -> None:
        """Call ``callback(Alert)``, sync or async, for every alert from here on.

        Raises:
            DataValidationError: It cannot be called.
        """
        _check_callable(callback)
        self._callbacks.append(callback)

    def remove_callback(self, callback: Callback) -> None:
        """Call it no more; nothing happens when it was not there."""
        if callback in self._callbacks:
            self._callbacks.remove(callback)

    def set_callback(self, callback: Callable[[str, str], Any] | None) -> None:
        """Call ``callback(name, message)``, the specification's, beside the others; it replaces the one set before.

        Raises:
            DataValidationError: It cannot be called; the one before stays.
        """
        if callback is None:
            self._two_words = None
            return
        _check_callable(callback)
        self._two_words = lambda alert: callback(alert.name, alert.message)

    @property
    def callbacks(self) -> list[Callback]:
        """Whom to tell."""
        return self._callbacks if self._two_words is None else [*self._callbacks, self._two_words]

    # Looking ---------------------------------------------------------------------------------------------------------

    @property
    def active(self) -> list[str]:
        """Names of the alerts that go on, told or not."""
        return [THRESHOLDS[name].alert for name, state in self._states.items() if state.raised]

    def alerts(self) -> list[Alert]:
        """Return the last thousand alerts that were told, the oldest first."""
        return list(self._alerts)

    def evaluate(self, stats: Mapping[str, float], now: float) -> list[Alert]:
        """Compare the figures of ``now`` (monotonic seconds) with the thresholds; returns what is to be told.

        A figure that is not among ``stats`` changes nothing. The rate counts only while something is sent: a pause is
        no fault.
        """
        told = [
            alert
            for name, threshold in THRESHOLDS.items()
            if (value := stats.get(threshold.metric)) is not None
            and (alert := self._judge(name, threshold, value, now, idle=not stats.get("sending", 1.0))) is not None
        ]
        self._alerts.extend(told)
        if self.on_alert is not None:
            for alert in told:
                self.on_alert(alert)
        return told

    def _judge(self, name: str, threshold: Threshold, value: float, now: float, *, idle: bool) -> Alert | None:
        limit, state = self._thresholds[name], self._states[name]
        off = threshold.below and idle
        if limit is None or off or not _past(threshold, value, limit):
            state.bad = 0
            if not state.raised or not (limit is None or off or _back(threshold, value, limit)):
                return None
            state.raised = False
            return self._alert("cleared", threshold, value, limit, now) if state.told else None
        if not state.raised:
            state.bad += 1
            if state.bad < self._samples:
                return None
            state.raised, state.told = True, False
            self.suppressed += self._cools_down(state, now)
        if state.told or self._cools_down(state, now):
            return None
        state.told, state.told_at = True, now
        return self._alert("raised", threshold, value, limit, now)

    def _cools_down(self, state: _State, now: float) -> bool:
        return state.told_at is not None and now - state.told_at < self._cooldown

    @staticmethod
    def _alert(
        state: Literal["raised", "cleared"], threshold: Threshold, value: float, limit: float | None, now: float
    ) -> Alert:
        compared = "off" if limit is None else f"threshold {limit:g}"
        word = ("below" if threshold.below else "over") if state == "raised" else "back within"
        return Alert(
            name=threshold.alert,
            state=state,
            metric=threshold.metric,
            value=value,
            threshold=limit,
            timestamp=now,
            message=f"{threshold.alert} {word} its threshold: {value:.4g} {threshold.unit} ({compared})",
        )


def _past(threshold: Threshold, value: float, limit: float) -> bool:
    return value < limit if threshold.below else value > limit


def _back(threshold: Threshold, value: float, limit: float) -> bool:
    return value >= limit * (1 + HYSTERESIS) if threshold.below else value <= limit * (1 - HYSTERESIS)


def _check_callable(callback: object) -> None:
    if not callable(callback):
        raise DataValidationError("callback", repr(callback), "expected a function")
