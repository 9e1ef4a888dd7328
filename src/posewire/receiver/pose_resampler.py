"""What to release when: poses of one stream at even moments, between those that were captured. Pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from typing import Final

from posewire.protocol import PoseData
from posewire.receiver.playout_buffer import EARLY, PlayoutBuffer, Release, Timeline
from posewire.receiver.pose_interpolation import Moment, extrapolate, hold, interpolate
from posewire.receiver.received import Counts, Received

EXTRAPOLATE: Final = 0.04
"""Seconds that a motion is thought to go on after the newest capture, and not longer than one interval."""
_GAP: Final = 0.25
"""Seconds, or two and a half intervals if that is more: over a longer gap nothing is interpolated."""
_SAME: Final = 1e-4
"""Seconds between two moments that are the same: floats of today's time have a grain of a quarter of a microsecond."""
_FIRST_INTERVAL: Final = 1 / 30
_LONGEST_INTERVAL: Final = 1.0
_INTERVALS: Final = 32
_SETTLED: Final = (2, 8, 32)
"""Intervals seen when the schedule takes their median; after that only when it changed by a tenth."""
_CHANGED: Final = 0.1
_STOPPED: Final = 0.5
"""Seconds without a pose to show after which the schedule stops, until the sender goes on."""


class PoseResampler(PlayoutBuffer):
    """Releases poses on an even schedule: the sender's rate, or ``fps``.

    Each is the pose at exactly the moment that is shown then, interpolated between the captures around it. When the
    newest capture is older than that, the motion is thought to go on for 40 ms, or one interval if that is less; then
    nothing is released, and counted as missing, until there is something to show.

    Args:
        timeline: When what is shown.
        counts: Of the loop.
        size: Frames that may wait; then the oldest goes.
        fps: Releases a second; None for the sender's rate.
    """

    def __init__(self, timeline: Timeline, counts: Counts, *, size: int, fps: float | None = None) -> None:
        super().__init__(timeline, counts, size=max(size, 4))
        self._fps = fps
        self._period = _FIRST_INTERVAL if fps is None else 1 / fps
        self._interval = _FIRST_INTERVAL
        self._intervals: deque[float] = deque(maxlen=_INTERVALS)
        self._seen = 0
        self._next: float | None = None
        """When the next pose is to be released."""
        self._silent = 0
        """Moments since the last pose that there was none for."""
        self._seq_shown = 0

    def put(self, received: Received, now: float) -> None:
        """Take a frame in, at ``now``, seconds on the clock of its `arrived`."""
        self.heard = now
        timestamp = self._observe(received, lead=self._interval)
        due = self._delay.due(timestamp)
        if timestamp < self._newest or due < now - self._period:
            self._count_late(received)
            if self._times and timestamp < self._times[0]:
                return  # else it still is one end of what is to come
        place = bisect_left(self._times, timestamp - _SAME)
        if place < len(self._times) and self._times[place] <= timestamp + _SAME:
            return
        if self._insert(timestamp, received) and len(self._times) > 1:
            self._measure(timestamp - self._times[-2])
        if self._next is None:
            self._next = max(due, now)
            if self._silent and (due < now or received.seq > self._seq_shown + 1):
                self._count_silent(received)  # it came late, or others are lost: the sender did not rest
            self._silent = 0

    def next_time(self) -> float | None:
        """Return when a pose is to be released next; None while the sender is silent."""
        self._renew()
        return self._next

    def take(self, now: float) -> Release | None:
        """Return the pose to release at ``now``, if any is. A loop that comes late gets the newest only."""
        due = self.next_time()
        if due is None or due > now + EARLY:
            return None
        if (behind := int((now - due) / self._period)) > 0:
            self._counts.dropped += min(behind, len(self._times))
            due += behind * self._period
        self._next = due + self._period
        # The moment that belongs to the schedule, not to the time at which the loop comes: so moments are even as well.
        instant = due - self._delay.offset(due)
        if instant <= self._newest:
            return None  # time stands still while the delay grows by a jump
        release = self._at(instant)
        if release is None:
            self._silent += 1
            if not self._times or instant > self._times[-1] + _STOPPED:
                self._next = None
            return None
        if self._silent:
            self._count_silent(release.received)
        self._newest, self._seq_shown = instant, release.received.seq
        return release

    def _count_silent(self, received: Received) -> None:
        """Count the moments without a pose that turn out not to have been the end of the stream, or a pause."""
        self._counts.missing += self._silent
        received.stats.missing += self._silent
        self._silent = 0

    def _renew(self) -> None:
        before = self._epoch
        super()._renew()
        if self._epoch != before:
            self._next = None

    def _measure(self, interval: float) -> None:
        if interval > _LONGEST_INTERVAL:
            return  # a pause
        self._intervals.append(interval)
        self._seen += 1
        median = sorted(self._intervals)[len(self._intervals) // 2]
        if self._seen in _SETTLED or abs(median - self._interval) > _CHANGED * self._interval:
            self._interval = median
            if self._fps is None:
                self._period = median

    def _at(self, instant: float) -> Release | None:
        place = bisect_right(self._times, instant + _SAME)
        if place == 0:
            return None
        if place > 2:  # no more is needed than the capture before, and the one before that
            del self._times[: place - 2], self._frames[: place - 2]
            place = 2
        last = self._moment(place - 1)
        received = self._frames[place - 1]
        if abs(instant - last.time) <= _SAME:
            return Release(received, last.time, last.pose, interpolated=False)
        before = self._moment(place - 2) if place > 1 else None
        if place < len(self._times) and self._times[place] - last.time <= self._longest_gap():
            after = self._moment(place + 1) if place + 1 < len(self._times) else None
            pose = interpolate(last, self._moment(place), instant, before=before, after=after)
        elif instant - last.time <= min(EXTRAPOLATE, self._interval):
            pose = self._beyond(before, last, instant)
        else:
            return None
        return Release(received, instant, pose, interpolated=True)

    def _beyond(self, before: Moment | None, last: Moment, instant: float) -> PoseData:
        if before is None or last.time - before.time > self._longest_gap():
            return hold(last, instant)
        return extrapolate(before, last, instant)

    def _longest_gap(self) -> float:
        return max(_GAP, 2.5 * self._interval)

    def _moment(self, place: int) -> Moment:
        pose = self._frames[place].pose
        assert pose is not None
        return Moment(self._times[place], pose)
