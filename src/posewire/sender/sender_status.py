"""A look at the pipeline."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from posewire.flow import CreditWindow, SendQueue
from posewire.protocol.control import StreamReport
from posewire.sender.quality_control import QualityControl
from posewire.sockets import Lane


class SenderStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The pipeline at one moment; rates in bytes a second, times in seconds."""

    waiting: int
    """Frames in the queue."""
    capacity: int
    """Frames that may be in it."""
    sent: int
    bytes_sent: int
    bandwidth_limit: float | None
    """The ceiling that was set; None for none."""
    drops: dict[str, int]
    """Frames that did not leave, by reason."""
    repaired: dict[str, int] = {}
    """Frames whose capture time was repaired, by reason; see `CaptureTimes`."""
    quality_level: int = 0
    """Step of the quality ladder, 0 for full quality."""
    quality: str = "full"
    """Its name."""
    rate: float | None = None
    """What the rate controller allows; None while the link takes all there is."""
    delivered_rate: float = 0.0
    """What came through lately, at best."""
    in_flight: int = 0
    """Bytes sent and not acknowledged yet."""
    window: int = 0
    """Bytes that may be."""
    round_trip: float = 0.0
    """Of the last packets, the quickest."""
    queueing: float = 0.0
    """For how long that one waited on the link."""
    receivers: int = 0
    """Members that get our streams, when one of them told lately how they come through."""
    receivers_behind: int = 0
    """Of them, those for whom frames come late, or wait on the server."""
    streams: list[StreamReport] = []
    """How our streams come through to them, the worst of each figure."""


def look(
    queue: SendQueue,
    quality: QualityControl,
    lane: Lane | None,
    *,
    sent: tuple[int, int],
    ceiling: float | None,
    repaired: Mapping[str, int],
) -> SenderStatus:
    """Return the pipeline of these parts as it is now; ``sent`` is frames and bytes."""
    credit = lane.credit if lane is not None else CreditWindow()
    report = quality.report
    return SenderStatus(
        waiting=len(queue),
        capacity=queue.capacity,
        sent=sent[0],
        bytes_sent=sent[1],
        bandwidth_limit=ceiling,
        drops={reason: count for reason, count in queue.drops.items() if count},
        repaired=dict(repaired),
        quality_level=quality.level,
        quality=quality.quality.name,
        rate=quality.rate,
        delivered_rate=credit.rate,
        in_flight=credit.in_flight,
        window=round(credit.window),
        round_trip=credit.round_trip,
        queueing=credit.queueing,
        receivers=report.receivers if report is not None else 0,
        receivers_behind=report.behind if report is not None else 0,
        streams=report.streams if report is not None else [],
    )
