"""How one received stream does."""

from __future__ import annotations

from collections import deque

import msgspec

from posewire.monitor.percentiles import percentiles

_OVERTAKEN = 64
"""Frames a packet may be behind and still count as one that was missed."""


_JUMP = 100_000
"""A gap of so many frames is no loss: the sender began anew, or lies."""
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


class StreamStats:
    """Counts the packets of one stream of one member. Pure: the caller says what time it is."""

    def __init__(self, user_id: str, stream: str, *, window: int = 1000) -> None:
        self.user_id = user_id
        self.stream = stream
        self.frames = 0
        self.lost = 0
        self._bytes = 0
        self._first = 0.0
        self._member = 0
        self._next_seq: int | None = None
        self._missing: set[int] = set()
        """Of the numbers that were passed over, those that may still come."""
        self._ages: deque[float] = deque(maxlen=window)
        self._times: deque[float] = deque(maxlen=90)

    def observe(self, *, now: float, age: float, size: int, seq: int, member: int = 0) -> None:
        """Count one packet: ``now`` in monotonic seconds, ``age`` in seconds, ``size`` in bytes.

        ``member`` is the sender's number; with a new one (it came back) the sequence starts anew.
        """
        if member != self._member:
            self._member, self._next_seq = member, None
            self._missing.clear()
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
        self._bytes += size
        if _AGES[0] < age < _AGES[1]:
            self._ages.append(age)
        if self.frames == 1:
            self._first = now
        self._times.append(now)

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
            bytes_per_frame=self._bytes / self.frames if self.frames else 0.0,
            age_p50=p50,
            age_p95=p95,
            age_p99=p99,
        )
