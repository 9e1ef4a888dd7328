"""How a pose sender does: figures, thresholds, alerts, and what is done about it while it is monitored."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from typing import Any, Final

from posewire import clock
from posewire.errors import ConfigurationError
from posewire.monitor import (
    PerformanceMonitor,
    PerformanceReport,
    build_report,
    load_performance_data,
    save_performance_data,
)
from posewire.sender.adaptation import Look
from posewire.sender.pose_controls import PoseControls
from posewire.sender.unified_sender import UnifiedSender
from posewire.sockets import Event, SocketManager
from posewire.values import is_number, plain

logger = logging.getLogger(__name__)

_ENOUGH: Final = 5
"""Poses from which on the share of them that left means something."""
_STALE: Final = 2.0
"""Seconds; when there were fewer in so long, nobody sends."""
_NO_LIMIT: Final = 1e9


class PoseFigures(PoseControls):
    """The figures of a `PoseSender`, and its adaptation to what they say.

    Args:
        socket: The connection.
        sender: The pipeline.
        monitor: Counts what is sent, and compares it with thresholds.
    """

    def __init__(self, socket: SocketManager, sender: UnifiedSender, monitor: PerformanceMonitor) -> None:
        super().__init__(socket, sender)
        self._monitor = monitor
        self._alerts = monitor.alerts
        self._wanted = asyncio.Event()
        self._interval = 0.5
        self._looked: tuple[float, int, int, int, int] = (0.0, 0, 0, 0, 0)

    # Monitoring ------------------------------------------------------------------------------------------------------

    def start_monitoring(self, interval: float = 0.5) -> None:
        """Look every ``interval`` seconds from now on: adapt the sampling rate, check the thresholds. Idempotent.

        Raises:
            ConfigurationError: No number of seconds from 0.001 to 60; nothing changes.
        """
        interval = plain(interval)
        if not is_number(interval) or not 0.001 <= interval <= 60:
            raise ConfigurationError("interval", interval, "expected 0.001 to 60 seconds")
        self._interval = interval
        self._monitor.start()
        if not self._wanted.is_set():
            self._note()
            self._wanted.set()

    def stop_monitoring(self) -> None:
        """Look no more, count no more, and send again what was taken off. Idempotent."""
        self._monitor.stop()
        self._cease()

    @property
    def monitoring(self) -> bool:
        """Whether `start_monitoring` is in force."""
        return self._wanted.is_set()

    def check_performance(self) -> None:
        """Compare the figures of now with the thresholds; what is past one for two looks in a row raises an alert."""
        self._monitor.check_performance()

    def set_alert_callback(self, callback: Callable[[str, str], Any] | None) -> None:
        """Call ``callback(name, message)``, sync or async, when something begins to go wrong and when it is over.

        None calls nobody any more.

        Raises:
            DataValidationError: It cannot be called; the one before stays.
        """
        self._alerts.set_callback(callback)

    def set_alert_thresholds(self, **thresholds: float | None) -> None:
        """Set all thresholds; what is not given goes back to its default. None turns one off.

        ``min_fps``, ``max_latency`` (seconds), ``max_cpu_usage`` (percent of a core) and ``max_memory_growth`` (MB)
        must be given.

        Raises:
            ConfigurationError: One is missing, unknown or no number; all stay as they were.
        """
        self._alerts.replace_thresholds(thresholds)

    def set_performance_thresholds(self, thresholds: Mapping[str, float | None]) -> None:
        """Change some thresholds; the others stay. ``max_latency`` is what the sampling rate follows, too.

        Raises:
            ConfigurationError: One is unknown or no number; all stay as they were.
        """
        self._alerts.set_thresholds(thresholds)

    def get_performance_thresholds(self) -> dict[str, float | None]:
        """Return the thresholds by name; None is off."""
        return self._alerts.get_thresholds()

    def reset_performance_thresholds(self) -> None:
        """Go back to the default thresholds."""
        self._alerts.reset_thresholds()

    # Figures ---------------------------------------------------------------------------------------------------------

    def get_stats(self) -> dict[str, float]:
        """Return the monitor's figures by name, and how the poses fare.

        ``current_fps`` and ``current_latency`` are the specification's names of ``fps`` and ``latency`` (seconds);
        ``sampling_rate``, ``quality_level``, ``degraded`` (1 or 0), ``queue_size``.
        """
        stats = self._monitor.get_stats()
        return {
            **stats,
            "current_fps": stats["fps"],
            "current_latency": stats["latency"],
            "sampling_rate": self.get_sampling_rate(),
            "quality_level": float(self.current_quality_level),
            "degraded": float(self.is_degraded()),
            "queue_size": float(self.get_queue_size()),
        }

    def get_real_time_stats(self) -> dict[str, float]:
        """Return ``fps``, ``latency`` (seconds), ``cpu_usage`` (percent of a core) and ``memory_usage`` (MB) of now."""
        return self._monitor.get_real_time_stats()

    def get_history_stats(self) -> dict[str, float]:
        """Return means and extremes of the last hour; see `PerformanceMonitor.get_history_stats`."""
        return self._monitor.get_history_stats()

    def generate_performance_report(self) -> dict[str, Any]:
        """Return all figures: latency, resource usage, reliability …, ``real_time``, ``history``, ``recommendations``.

        The recommendations are the specification's four rules, judged by the target fps and the thresholds, and more.
        `Session.generate_performance_report` returns it as a Struct, with what is received.
        """
        return {
            **self._report().to_dict(),
            "real_time": self.get_real_time_stats(),
            "history": self.get_history_stats(),
        }

    async def save_performance_data(self, filename: str | os.PathLike[str]) -> None:
        """Write the report of now, with the figures of the last hour, to a JSON file. Cancelling may still write it.

        Raises:
            MonitoringError: The file cannot be written.
        """
        await asyncio.to_thread(save_performance_data, self._report(), filename)

    async def load_performance_data(self, filename: str | os.PathLike[str]) -> dict[str, Any]:
        """Return what `save_performance_data` wrote, as `generate_performance_report` has it; nothing here changes.

        Raises:
            MonitoringError: The file cannot be read, or is no report.
        """
        report = await asyncio.to_thread(load_performance_data, filename)
        return report.to_dict()

    # Inside ----------------------------------------------------------------------------------------------------------

    def _aim(self, fps: float | None) -> None:
        super()._aim(fps)
        self._monitor.set_target_fps(fps)

    def _report(self) -> PerformanceReport:
        return build_report(
            self._monitor,
            user_id=self._socket.user_id,
            room=self._socket.room_id or "",
            protocol_version=self._socket.protocol.version,
        )

    def _note(self) -> None:
        """Remember where the counts are, for the next look."""
        offered, left = self._sender.quality.counts
        self._looked = (clock.monotonic(), offered, left, self._monitor.total, self._monitor.failed)

    def _look(self) -> Look | None:
        """Return what was seen since the last look; None when it is too early to tell."""
        now = clock.monotonic()
        since, offered, left, total, failed = self._looked
        all_offered, all_left = self._sender.quality.counts
        offered, left = all_offered - offered, all_left - left
        total, failed = self._monitor.total - total, self._monitor.failed - failed
        elapsed = max(now - since, 1e-6)
        if offered < _ENOUGH and elapsed < _STALE:
            return None
        self._note()
        waits = list(self._sender.waits)[-max(left, 1) :] if left else []
        wanted = offered / elapsed
        latency = self._alerts.get_thresholds()["max_latency"]
        return Look(
            fps=left / elapsed if offered >= _ENOUGH else None,
            wanted_fps=wanted if self._kept.target_fps is None else min(wanted, self._kept.target_fps),
            latency=sum(waits) / len(waits) if waits else 0.0,
            max_latency=_NO_LIMIT if latency is None else latency,
            error_rate=failed / total if total else 0.0,
        )

    def _adapt(self) -> None:
        if self._kept.optimization_level == "none" or (look := self._look()) is None:
            return
        before = self.get_sampling_rate()
        if not (reason := self._adaptation.observe(look)):
            return
        self._sample()
        rate, status = self.get_sampling_rate(), self._sender.status()
        logger.info("sending %.0f %% of the poses: %s", 100 * rate, reason)
        data = {
            "level": status.quality_level,
            "name": f"{rate:.0%} of the poses",
            "before": f"{before:.0%} of the poses",
            "degraded": self.is_degraded(),
            "rate": status.delivered_rate,
            "queueing": status.queueing,
            "reason": reason,
        }
        self._socket.dispatch(Event(name="quality", data=data))

    def _cease(self) -> None:
        if self._wanted.is_set():
            self._wanted.clear()
            self._adaptation.reset()
            self._sample()

    def _forget(self) -> None:
        """Begin the figures of the adaptation anew."""
        self._adaptation.reset()
        self._sample()
        self._note()
