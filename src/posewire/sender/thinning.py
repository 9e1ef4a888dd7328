"""Which poses of a capture loop are sent when not all of them are to be. Pure; capture times are arguments."""

from __future__ import annotations

from typing import Final

_MAX_STREAMS: Final = 256
_TOLERANCE: Final = 0.4
"""Of a period: a pose that is early by less still counts as the next one. Cameras do not tick evenly."""


class Thinning:
    """Lets a share of the poses through, and no more than so many a second: evenly, and each stream for itself."""

    def __init__(self) -> None:
        self.rate = 1.0
        """The share that goes through, 0..1."""
        self.fps: float | None = None
        """At most so many of a stream a second, by capture time; None for all."""
        self._owed: dict[str, float] = {}
        self._due: dict[str, float] = {}

    def set_rate(self, rate: float) -> None:
        """Let this share through; the next pose of each stream is due at once, unless none is to go."""
        self.rate = rate
        self._owed.clear()

    def set_fps(self, fps: float | None) -> None:
        """Let at most so many a second through."""
        self.fps = fps
        self._due.clear()

    def admits(self, stream: str, captured: float) -> bool:
        """Return whether a pose of ``stream``, captured at ``captured`` seconds, is to be sent."""
        if not isinstance(stream, str):
            return True  # what is wrong with it is found where streams are made
        return (self.fps is None or self._in_time(stream, captured, 1 / self.fps)) and self._sampled(stream)

    def _in_time(self, stream: str, captured: float, period: float) -> bool:
        if len(self._due) >= _MAX_STREAMS:
            self._due.clear()  # costs a pose too many
        due = self._due.get(stream, captured)
        # A clock that was set back, or a recording that starts anew, must not silence the stream.
        if due - captured > 2 * period:
            due = captured
        if due - captured > _TOLERANCE * period:
            return False
        # From when it was due, not from when it came: else jitter would cost frames. But pauses are not made up for.
        self._due[stream] = max(due, captured - period) + period
        return True

    def _sampled(self, stream: str) -> bool:
        if self.rate >= 1.0:
            return True
        if len(self._owed) >= _MAX_STREAMS:
            self._owed.clear()
        # Accumulated, so that a rate of 0.3 sends three of ten frames evenly.
        owed = self._owed.get(stream, 1.0 - self.rate if self.rate else 0.0) + self.rate
        admitted = owed >= 1.0
        self._owed[stream] = owed - admitted
        return admitted
