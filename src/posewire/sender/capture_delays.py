"""How long frames take from their capture until they are handed in: no receiver can tell that from a slow link."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from typing import Final

_SPELL_SECONDS: Final = 1.0
_SPELLS: Final = 15
"""Receivers measure by the least of their last ten seconds, and what they report may be three seconds old."""
_LATELY: Final = 5
_MOST_STREAMS: Final = 256
"""Then the one that was heard of first is forgotten."""


class CaptureDelays:
    """Remembers the delays of all streams for a quarter of a minute. Pure: the caller says what time it is."""

    def __init__(self) -> None:
        self._streams: dict[Hashable, deque[tuple[float, float, float]]] = {}
        """When a spell began, its least and its longest delay."""

    def note(self, stream: Hashable, delay: float, now: float) -> None:
        """Take in a frame that was handed in ``delay`` seconds after its capture. ``now``: monotonic seconds."""
        spells = self._streams.get(stream)
        if spells is None:
            if len(self._streams) >= _MOST_STREAMS:
                del self._streams[next(iter(self._streams))]
            spells = self._streams[stream] = deque(maxlen=_SPELLS)
        if not spells or now - spells[-1][0] >= _SPELL_SECONDS:
            spells.append((now, delay, delay))
            return
        began, least, longest = spells[-1]
        if delay < least or delay > longest:
            spells[-1] = began, min(least, delay), max(longest, delay)

    def spread(self, now: float) -> float:
        """Return how much longer frames of a stream took lately than at best before, seconds; the most of all."""
        most = 0.0
        for spells in self._streams.values():
            lately = [longest for began, _, longest in spells if now - began < _LATELY * _SPELL_SECONDS]
            if lately:
                most = max(most, max(lately) - min(least for _, least, _ in spells))
        return most
