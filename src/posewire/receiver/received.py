"""A decoded frame on its way to the loops that want it."""

from __future__ import annotations

import msgspec

from posewire.monitor import StreamStats
from posewire.protocol import AudioChunk, PoseData
from posewire.receiver.frame import FrameKind


class Received(msgspec.Struct, frozen=True, gc=False):
    """A decoded frame, not yet delivered; shared by all subscriptions that want it."""

    user_id: str
    kind: FrameKind
    stream: str
    seq: int
    timestamp: float
    size: int
    arrived: float
    """Seconds on the scale of ``time.time()``."""
    stats: StreamStats
    pose: PoseData | None
    audio: AudioChunk | None


class Counts(msgspec.Struct):
    """What one loop did not get as it was sent; see `Subscription`."""

    dropped: int = 0
    late: int = 0
    missing: int = 0
