"""Tells the server, and through it the senders, how everything comes through here."""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
import random
from typing import Final

from posewire.errors import PosewireError
from posewire.monitor import StreamStats
from posewire.protocol import control
from posewire.sockets import SocketManager

logger = logging.getLogger(__name__)

_SECONDS: Final = 1.0
"""Until a frame is reported, at most, while all is well."""
_SECONDS_LATE: Final = 0.2
"""The same while frames come late; half of it at least."""
_MOST_STREAMS: Final = 256
LATE: Final = 0.05
"""Seconds of queueing from which on frames come late."""


class Reporter:
    """Reports how everything came through: within a second of each frame, within a fifth of one while they come late.

    By a timer, not with the frame, and not at the same moment as everybody else: whoever watches the same stream would
    report when its next frame is on its way. Who gets nothing has nothing to report.

    Args:
        socket: The connection.
        stats: Figures of every stream, by member and stream.
    """

    def __init__(self, socket: SocketManager, stats: dict[tuple[str, str], StreamStats]) -> None:
        self._socket = socket
        self._stats = stats
        self._due = math.inf
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def observe(self, stats: StreamStats, now: float) -> None:
        """Take note of a frame's stream after the frame was counted. ``now``: monotonic seconds."""
        if stats.newest_queueing >= LATE and stats.queueing >= LATE:
            self._socket.confirm_now()
            if self._due > now + _SECONDS_LATE:
                self._report_in(_SECONDS_LATE, now)
        elif self._timer is None:
            self._report_in(_SECONDS, now)

    def heard(self, now: float) -> None:
        """Take note of a packet that could not be opened: the server must not take silence about it for not reading."""
        if self._timer is None:
            self._report_in(_SECONDS, now)

    def close(self) -> None:
        """Report no more."""
        self._stop()
        self._closed = True

    def _stop(self) -> None:
        self._due = math.inf
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _report_in(self, seconds: float, now: float) -> None:
        self._stop()
        if self._closed:
            return
        seconds *= 0.5 + random.random() / 2  # noqa: S311  # spreads reports, guards nothing
        self._due = now + seconds
        self._timer = asyncio.get_running_loop().call_later(seconds, self._report)

    def _report(self) -> None:
        self._stop()
        lane = self._socket.lane
        if lane is None:
            return
        streams = [
            control.StreamReport(
                member=report.member,
                stream=report.number,
                seq=report.seq,
                frames=report.frames,
                lost=report.lost,
                age_p50=report.age_p50 * 1000,
                age_p99=report.age_p99 * 1000,
                queueing=report.queueing * 1000,
                render_lag=report.render_lag * 1000,
            )
            for report in (each.interval() for each in itertools.islice(self._stats.values(), _MOST_STREAMS))
            if report.frames
        ]
        message = control.ReceiverReport(streams=streams)
        try:
            lane.tell(control.REPORT, control.to_plain(message))
        except PosewireError as exc:
            logger.debug("not reported: %s", exc)
