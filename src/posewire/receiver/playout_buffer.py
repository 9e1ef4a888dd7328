"""What to release when: frames of one stream, each at its moment. Pure: time is an argument."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable
from typing import Final

import msgspec

from posewire.protocol import PoseData
from posewire.receiver.alignment import Alignment
from posewire.receiver.clock_skew import ClockSkew
from posewire.receiver.playout_delay import PlayoutDelay
from posewire.receiver.received import Counts, Received

EARLY: Final = 0.0005
"""Seconds before its time that something may be released: timers have a grain of a millisecond."""
LATE: Final = 0.015
"""Seconds after its moment until which a frame is still released: 5 ms within what sound and pose may be apart, for a
loop is late, too."""
_MAX_GAP: Final = 100_000
"""Numbers: more of them passed over are no loss, the sender began anew."""


class Release(msgspec.Struct, frozen=True, gc=False):
    """What is shown now.

    Attributes:
        received: The frame it is, or the last one before the moment that is shown.
        timestamp: The moment, seconds on this machine's clock.
        pose: The pose at that moment, when it is one.
        interpolated: Whether it was made of the frames around the moment.
    """

    received: Received
    timestamp: float
    pose: PoseData | None
    interpolated: bool


class Timeline(msgspec.Struct, weakref=True):
    """What the streams of one sender share that are shown together; a stream that is shown by itself has its own."""

    delay: PlayoutDelay
    skew: ClockSkew | None = None
    """Of sound and pose; None when only one of them is shown by it."""


class PlayoutBuffer:
    """Holds the frames of one stream until their moment, in the order of their capture.

    A frame that comes more than 15 ms after its moment, or after a later one was released, is left out and counted
    as late. Of poses whose moment has passed, only the newest is released; of sound all, in order.

    Args:
        timeline: When what is shown.
        counts: Of the loop.
        size: Frames that may wait; then the oldest goes.
        aligned: Told when the stream cannot be held on its time line any more, or again. Meanwhile its frames are
            released as they come. None: there is nothing to be held against.
    """

    def __init__(
        self,
        timeline: Timeline,
        counts: Counts,
        *,
        size: int,
        aligned: Callable[[Received, Alignment], None] | None = None,
    ) -> None:
        self.heard = -math.inf
        """When a frame came last, seconds."""
        self._timeline = timeline
        self._delay = timeline.delay
        self._key = object()
        """Of the stream on the time line; not the buffer, which would never be collected."""
        self._counts = counts
        self._size = size
        self._aligned = aligned
        self._alignment = Alignment()
        self._times: list[float] = []
        """Capture times of the frames that wait, rising, on the clock of the time line."""
        self._frames: list[Received] = []
        self._epoch = 0
        self._newest = -math.inf
        """The moment that was shown last."""
        self._seq: int | None = None
        """Of the frame released last."""

    @property
    def delay(self) -> float:
        """Seconds that are added to the least transit."""
        return self._delay.delay

    def put(self, received: Received, now: float) -> None:
        """Take a frame in, at ``now``, seconds on the clock of its `arrived`."""
        self.heard = now
        timestamp = self._observe(received, lead=0.0)
        lateness = now - self._delay.due(timestamp)
        if self._aligned is not None and self._alignment.observe(lateness, now):
            self._aligned(received, self._alignment)
        if timestamp <= self._newest or (lateness > LATE and self._alignment.held):
            self._count_late(received)
            return
        self._insert(timestamp, received)

    def next_time(self) -> float | None:
        """Return when something is to be released next; None while nothing waits."""
        self._renew()
        return self._delay.due(self._times[0]) if self._times else None

    def take(self, now: float) -> Release | None:
        """Return what is to be released at ``now``, if anything is. What it returns has left the buffer."""
        due = self.next_time()
        if due is None or due > now + EARLY:
            return None
        while self._frames[0].kind == "pose" and len(self._times) > 1 and self._delay.due(self._times[1]) <= now:
            del self._times[0], self._frames[0]  # the loop comes late, and there is a newer one
            self._counts.dropped += 1
        timestamp, received = self._times.pop(0), self._frames.pop(0)
        self._newest = timestamp
        self._count_missing(received)
        return Release(received, timestamp, received.pose, interpolated=False)

    def _observe(self, received: Received, *, lead: float) -> float:
        """Tell the time line of a frame; returns its capture time on it."""
        timestamp = received.timestamp
        transit = received.arrived - timestamp
        if (skew := self._timeline.skew) is not None:
            skew.observe(received.kind, now=received.arrived, transit=transit)
            if received.kind == "audio":
                timestamp += skew.correction
                transit -= skew.correction
        # Sound that the decoder made up for a lost packet has no bytes; it tells nothing of the way.
        if received.size or not self._delay.known:
            self._delay.observe(self._key, now=received.arrived, transit=transit, lead=lead)
        self._renew()
        return timestamp

    def _renew(self) -> None:
        """Forget what was meant for another time."""
        if self._epoch != self._delay.epoch:
            self._epoch = self._delay.epoch
            self._counts.dropped += len(self._times)
            self._times.clear()
            self._frames.clear()
            self._newest = -math.inf

    def _insert(self, timestamp: float, received: Received) -> bool:
        """Put a frame in its place; returns whether it is the newest."""
        if len(self._times) >= self._size:
            del self._times[0], self._frames[0]
            self._counts.dropped += 1
        place = bisect_right(self._times, timestamp)
        self._times.insert(place, timestamp)
        self._frames.insert(place, received)
        return place == len(self._times) - 1

    def _count_late(self, received: Received) -> None:
        self._counts.late += 1
        received.stats.late += 1

    def _count_missing(self, received: Received) -> None:
        if self._seq is not None and 1 < (gap := received.seq - self._seq) < _MAX_GAP:
            self._counts.missing += gap - 1
            received.stats.missing += gap - 1
        self._seq = received.seq
