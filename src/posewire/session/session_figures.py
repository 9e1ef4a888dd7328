"""Reads the figures off the parts of a session."""

from __future__ import annotations

import datetime

from posewire.monitor import PerformanceMonitor, PerformanceReport, Readings, build_report
from posewire.receiver import Receiver
from posewire.sender import UnifiedSender
from posewire.sockets import SocketManager
from posewire.version import __version__


class SessionFigures:
    """Looks at the parts; never waits.

    Args:
        socket: The connection.
        sender: What is sent.
        receiver: What is received.
        monitor: Keeps the figures.
    """

    def __init__(
        self, socket: SocketManager, sender: UnifiedSender, receiver: Receiver, monitor: PerformanceMonitor
    ) -> None:
        self._socket = socket
        self._sender = sender
        self._receiver = receiver
        self._monitor = monitor

    def readings(self, loop_lag: float = 0.0, slowest_callback: str = "") -> Readings:
        """Return what the parts show; the ages of what came are handed out once."""
        status, before = self._sender.status(), self._monitor.readings
        streams = self._receiver.stream_stats()
        reports = [report for report in status.streams if report.frames]
        return Readings(
            bytes_sent=status.bytes_sent,
            bytes_received=sum(stream.bytes for stream in streams),
            received=sum(stream.frames for stream in streams),
            lost=sum(stream.lost for stream in streams),
            # The same one while it does not change: an hour of lines shares it.
            drops=before.drops if before.drops == status.drops else status.drops,
            waiting=status.waiting,
            capacity=status.capacity,
            quality_level=status.quality_level,
            quality=status.quality,
            round_trip=status.round_trip or self._socket.status.round_trip,
            ages=[age for stream in streams for age in stream.take_ages()],
            remote_age_p50=max((report.age_p50 / 1000 for report in reports), default=None),
            remote_age_p99=max((report.age_p99 / 1000 for report in reports), default=None),
            receivers=status.receivers,
            receivers_behind=status.receivers_behind,
            link_rate=status.rate,
            loop_lag=loop_lag,
            slowest_callback=slowest_callback,
        )

    def report(self) -> PerformanceReport:
        """Return the report of this moment."""
        return build_report(
            self._monitor,
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            posewire=__version__,
            user_id=self._socket.user_id,
            room=self._socket.room_id or "",
            streams=self._receiver.stats(),
            drops_received=self._receiver.drops,
            protocol_version=f"v{self._socket.protocol.body_version}",
        )
