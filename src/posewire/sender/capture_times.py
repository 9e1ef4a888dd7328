"""Capture times as receivers can use them: each later than the one before it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from typing import Final

GRAIN: Final = 2e-6
"""Seconds between two frames at least: on the wire times are whole microseconds, on a clock that may be slewed."""
RESTART_SECONDS: Final = 1.0
"""From so far back on, time has begun anew: a camera that was restarted, a recording that begins again."""
AHEAD_SECONDS: Final = 1.0
"""Who says to have captured later than this from now has another clock."""
_MOST_STREAMS: Final = 256
"""Then the one that began first is forgotten."""


class CaptureTimes:
    """Repairs the capture times of streams, by as little as it takes, and counts what it repaired.

    ===============  =================================================================================
    ``ahead``        over 1 s in the future: it is taken for now
    ``repeated``     the same as the one before it: 2 µs later
    ``backwards``    earlier by up to 1 s: 2 µs after the one before it, until the source has caught up
    ``restarted``    earlier by more: taken as it is, and what comes is measured by it
    ===============  =================================================================================

    Pure: the caller says what time it is. Old times are fine, as of a recording.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._newest: dict[Hashable, tuple[float, float]] = {}
        """Of each stream, what came last and what became of it."""

    def repair(self, stream: Hashable, captured: float, now: float, shift: float = 0.0) -> float:
        """Return the time of the next frame of a stream, seconds, at least 0.

        Args:
            stream: What tells streams apart.
            captured: What its source says.
            now: On the same clock.
            shift: Added to it; a time is not ahead because of that.
        """
        if captured > now + AHEAD_SECONDS:
            self.counts["ahead"] += 1
            captured = now
        came = time = max(0.0, captured + shift)
        before, newest = self._newest.get(stream, (time, time - 1.0))
        if time < newest - RESTART_SECONDS:
            self.counts["restarted"] += 1
        elif time < newest + GRAIN:
            self.counts["repeated" if time == before else "backwards"] += 1
            time = newest + GRAIN
        if stream not in self._newest and len(self._newest) >= _MOST_STREAMS:
            del self._newest[next(iter(self._newest))]
        self._newest[stream] = came, time
        return time
