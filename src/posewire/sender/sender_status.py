"""A look at the pipeline."""

from __future__ import annotations

import msgspec

from posewire.protocol.control import StreamReport


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
