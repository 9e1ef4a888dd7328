"""Which frames of a stream were here already."""

from __future__ import annotations

import bisect
from typing import Final

WINDOW: Final = 1024
"""How far behind the newest a packet may come and still be told from a replay."""
_MASK: Final = (1 << WINDOW) - 1


class ReplayWindow:
    """The newest seq of a stream, and which of the 1,024 up to it were seen: a sliding bitmap, as in RFC 4303, 3.4.3.

    To be asked about authenticated packets only: a forged one must not move it.
    """

    __slots__ = ("_newest", "_seen")

    def __init__(self) -> None:
        self._newest = -1
        self._seen = 0
        """Bit n: whether ``newest - n`` was seen."""

    def accept(self, seq: int) -> bool:
        """Note ``seq``; False when it was here already, or is too far behind to know."""
        ahead = seq - self._newest
        if ahead > 0:
            # Not shifted further than the window is wide: the number is a stranger's.
            self._seen = (self._seen << ahead | 1) & _MASK if ahead < WINDOW else 1
            self._newest = seq
            return True
        bit = 1 << -ahead if -ahead < WINDOW else 0
        new = bool(bit) and not self._seen & bit
        self._seen |= bit
        return new

    def is_new(self, seq: int) -> bool:
        """Return what `accept` would, and note nothing."""
        behind = self._newest - seq
        return behind < 0 or (behind < WINDOW and not self._seen >> behind & 1)


class TimeWindow:
    """The 1,024 newest signed times of a stream: each is good for one message, in whatever order they come."""

    __slots__ = ("_times",)

    def __init__(self) -> None:
        self._times: list[int] = []

    def accept(self, time_us: int) -> bool:
        """Note ``time_us``; False when it was here already, or is too old to know."""
        at = bisect.bisect_left(self._times, time_us)
        full = len(self._times) >= WINDOW
        if (at < len(self._times) and self._times[at] == time_us) or (full and at == 0):
            return False
        self._times.insert(at, time_us)
        if full:
            del self._times[0]
        return True
