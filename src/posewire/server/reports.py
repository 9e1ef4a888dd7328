"""Gathers the receivers' reports and tells each sender how its streams come through."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from posewire import clock
from posewire.protocol import control
from posewire.protocol.control import SenderReport, StreamReport
from posewire.server.connection import Connection
from posewire.server.fast_path import outgoing_event
from posewire.server.room import Room

_SPACING: Final = 1.0
"""Seconds between two reports to a sender while everyone keeps up."""
_SPACING_BEHIND: Final = 0.1
"""The same while somebody does not."""
_LATELY: Final = 3.0
"""Seconds a receiver's report counts."""
_LATE_MS: Final = 50.0
_LOST_SHARE: Final = 0.2


class Reports:
    """Passes on what matters to a sender: the worst of each figure, and how many of all are behind. No task, no timer.

    Whoever does not report counts as keeping up, unless something waits for it here: else the only one who does could
    have everybody's quality reduced.
    """

    def take(self, connection: Connection, room: Room | None, report: control.ReceiverReport) -> None:
        """Take in a member's report, and tell the senders it is about, at most ten times a second each."""
        if room is None or not connection.subscribe:
            return
        now = clock.monotonic()
        senders: dict[str, Connection] = {}
        for stream in report.streams:
            known = room.state.streams.get((stream.member, stream.stream))
            sender = None if known is None else room.connections.get(known.user_id)
            if sender is not None and sender is not connection:
                room.reports.setdefault((stream.member, stream.stream), {})[connection.number] = (now, stream)
                senders[sender.user_id] = sender
        for sender in senders.values():
            self._tell(sender, room, now)

    def _tell(self, sender: Connection, room: Room, now: float) -> None:
        if now - sender.looked_at < _SPACING_BEHIND:
            return
        sender.looked_at = now
        streams: list[StreamReport] = []
        told: set[int] = set()
        behind: set[int] = set()
        for (member, _), reports in room.reports.items():
            if member != sender.number:
                continue
            lately = {number: report for number, (when, report) in reports.items() if now - when < _LATELY}
            if lately:
                streams.append(_worst(lately.values()))
            told.update(lately)
            behind.update(number for number, report in lately.items() if _is_behind(report))
        others = [each for each in room.connections.values() if each is not sender and each.subscribe and not each.lost]
        behind.update(each.number for each in others if each.number not in told and each.waiting)
        if not behind and now - sender.reported_at < _SPACING:
            return
        sender.reported_at = now
        message = SenderReport(receivers=len(others), behind=len(behind), streams=streams)
        sender.outlet.tell_at_once(outgoing_event(control.REPORT, control.to_plain(message)))


def _is_behind(report: StreamReport) -> bool:
    return report.queueing >= _LATE_MS or report.lost > _LOST_SHARE * (report.frames + report.lost)


def _worst(reports: Iterable[StreamReport]) -> StreamReport:
    every = list(reports)
    return StreamReport(
        stream=every[0].stream,
        member=every[0].member,
        seq=min(report.seq for report in every),
        frames=min(report.frames for report in every),
        lost=max(report.lost for report in every),
        age_p50=max(report.age_p50 for report in every),
        age_p99=max(report.age_p99 for report in every),
        queueing=max(report.queueing for report in every),
        render_lag=max(report.render_lag for report in every),
    )
