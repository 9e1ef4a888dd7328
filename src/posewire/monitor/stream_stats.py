"""How one received stream does."""

from __future__ import annotations

import itertools
import math
from collections import deque

import msgspec

from posewire.monitor.percentiles import jitter_of, percentiles

_OVERTAKEN = 64
"""Frames a packet may be behind and still count as one that was missed."""


_JUMP = 100_000
"""A gap of so many frames is no loss: the sender began anew, or lies."""
_LEAST_SECONDS = 5.0
"""The least age is of the last five to ten seconds: clocks drift, routes change."""
_RECENT = 4
"""Frames that tell how it is now."""
_AGES = (-60.0, 3600.0)
"""Seconds; an age outside says that a clock is wrong, not how old the frame is."""


class StreamFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One look at a received stream; ages in seconds over the window."""

    user_id: str
    stream: str
    frames: int
    lost: int
    """Sequence numbers that never came."""
    fps: float
    """Over the last 90 frames, up to now: falls when the stream stops."""
    mean_fps: float
    """From the first frame to the last."""
    bytes_per_frame: float
    age_p50: float
    age_p95: float
    age_p99: float
    late: int = 0
    """Frames that came after the moment a playout buffer had for them; over all loops that have one."""
    missing: int = 0
    """Moments at which such a buffer had nothing to show."""
    jitter: float = 0.0
    """Mean difference of the ages of two frames that follow each other (RFC 3550, section 6.4.1, not smoothed)."""


class StreamInterval(msgspec.Struct, frozen=True, kw_only=True):
    """A received stream since the last look; times in seconds."""

    member: int
    number: int
    seq: int
    """The newest frame's."""
    frames: int
    lost: int
    age_p50: float
    age_p99: float
    queueing: float
    render_lag: float


class StreamStats:
    """Counts the packets of one stream of one member. Pure: the caller says what time it is."""

    def __init__(self, user_id: str, stream: str, *, number: int = 0, window: int = 1000) -> None:
        self.user_id = user_id
        self.stream = stream
        self.frames = 0
        self.lost = 0
        self.number = number
        self.render_lag = 0.0
        """Longest that a frame waited for its reader since the last look, seconds; whoever delivers frames sets it."""
        self.late = 0
        self.missing = 0
        """Both are counted by playout buffers."""
        self.newest_queueing = 0.0
        """Seconds that the newest frame was older than the youngest of the last ten seconds."""
        self.bytes = 0
        """All that came."""
        self._reported = (0, 0)
        self._aged = self._aged_taken = 0
        """Ages that were noted, and how many of them `take_ages` has returned."""
        self._least = (math.inf, math.inf)
        self._least_until = 0.0
        self._first = 0.0
        self._member = 0
        self._next_seq: int | None = None
        self._missing: set[int] = set()
        """Of the numbers that were passed over, those that may still come."""
        self._ages: deque[float] = deque(maxlen=window)
        self._times: deque[float] = deque(maxlen=90)

    def is_newest(self, member: int, seq: int) -> bool:
        """Return whether that frame is the newest there was."""
        return member == self._member and self._next_seq == seq + 1

    def observe(self, *, now: float, age: float, size: int, seq: int, member: int = 0) -> None:
        """Count one packet: ``now`` in monotonic seconds, ``age`` in seconds, ``size`` in bytes.

        ``member`` is the sender's number; with a new one (it came back) the sequence starts anew.
        """
        if member != self._member:
            self._member, self._next_seq = member, None
            self._missing.clear()
            self._least = (math.inf, math.inf)  # it may be another camera, and another clock
        if self._next_seq is None or seq >= self._next_seq:
            if self._next_seq is not None and seq > self._next_seq:
                gap = seq - self._next_seq
                counted = gap < _JUMP
                self.lost += gap if counted else 0
                recent = range(max(self._next_seq, seq + 1 - _OVERTAKEN), seq if counted else 0)
                self._missing = {old for old in self._missing if old > seq - _OVERTAKEN}.union(recent)
            self._next_seq = seq + 1
        elif seq in self._missing and seq > self._next_seq - 1 - _OVERTAKEN:
            self._missing.discard(seq)
            self.lost -= 1  # it came after all, overtaken by another
        self.frames += 1
        self.bytes += size
        if _AGES[0] < age < _AGES[1]:
            self._ages.append(age)
            self._aged += 1
            if now >= self._least_until:
                self._least, self._least_until = (age, self._least[0]), now + _LEAST_SECONDS
            elif age < self._least[0]:
                self._least = (age, self._least[1])
            self.newest_queueing = age - min(self._least)
        if self.frames == 1:
            self._first = now
        self._times.append(now)

    @property
    def queueing(self) -> float:
        """Seconds that even the youngest of the last frames was older than the youngest of the last ten seconds."""
        if not self._ages:
            return 0.0
        return max(0.0, min(itertools.islice(reversed(self._ages), _RECENT)) - min(self._least))

    def take_ages(self) -> list[float]:
        """Return the ages since this was called last, the newest first; of very many, those of the window."""
        new, self._aged_taken = self._aged - self._aged_taken, self._aged
        return list(itertools.islice(reversed(self._ages), new))

    def interval(self) -> StreamInterval:
        """Return the figures since this was called last."""
        frames, lost = self.frames - self._reported[0], self.lost - self._reported[1]
        self._reported = (self.frames, self.lost)
        ages = list(itertools.islice(reversed(self._ages), frames))
        p50, _, p99 = percentiles(ages)
        render_lag, self.render_lag = self.render_lag, 0.0
        return StreamInterval(
            member=self._member,
            number=self.number,
            seq=max((self._next_seq or 0) - 1, 0),
            frames=frames,
            lost=max(lost, 0),
            age_p50=p50,
            age_p99=p99,
            queueing=self.queueing,
            render_lag=render_lag,
        )

    def figures(self, *, now: float) -> StreamFigures:
        """Return the figures at ``now``, monotonic seconds."""
        span = now - self._times[0] if self._times else 0.0
        whole = self._times[-1] - self._first if self._times else 0.0
        p50, p95, p99 = percentiles(self._ages)
        return StreamFigures(
            user_id=self.user_id,
            stream=self.stream,
            frames=self.frames,
            lost=self.lost,
            fps=(len(self._times) - 1) / span if span > 0 else 0.0,
            mean_fps=(self.frames - 1) / whole if whole > 0 else 0.0,
            bytes_per_frame=self.bytes / self.frames if self.frames else 0.0,
            age_p50=p50,
            age_p95=p95,
            age_p99=p99,
            late=self.late,
            missing=self.missing,
            jitter=jitter_of(self._ages),
        )
