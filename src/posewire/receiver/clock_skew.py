"""How far the clock that stamps a sender's sound has run from the one that stamps its poses. Pure."""

from __future__ import annotations

import math
from typing import Final

_WINDOW: Final = 10.0
"""Seconds; the least of so many transits is next to free of jitter."""
_STEP: Final = 0.006
"""Seconds: a change from one window to the next that no clock makes (600 ppm): another route, sound that queues."""
_SHARE: Final = 0.5
"""Of what is not corrected yet, in each window: noise of the least transits is halved."""


class ClockSkew:
    """Follows the difference of the least transits of sound and pose, which a constant network would leave constant.

    A sound card counts samples by its own crystal, up to some 100 ppm from the computer's: 20 ms are gone in minutes.
    What changes slowly is a clock and is corrected; what changes at once is the network, and is not. The windowed
    least is that of D. Fober, Y. Orlarey, S. Letz, "Real Time Clock Skew Estimation over Network Delays" (2005).
    """

    def __init__(self) -> None:
        self.correction = 0.0
        """Seconds to add to the capture times of sound, to have them on the clock of the poses."""
        self._until = -math.inf
        self._least = {"pose": math.inf, "audio": math.inf}
        self._last: float | None = None
        self._drift = 0.0

    def observe(self, kind: str, *, now: float, transit: float) -> None:
        """Take note of a frame: its kind, when it came, and how long after the time it is stamped with; seconds."""
        if now >= self._until:
            self._close()
            self._until = now + _WINDOW
        if transit < self._least[kind]:
            self._least[kind] = transit

    def _close(self) -> None:
        difference = self._least["audio"] - self._least["pose"]
        self._least = {"pose": math.inf, "audio": math.inf}
        if not math.isfinite(difference):  # one of them was silent
            return
        if self._last is not None and abs(change := difference - self._last) < _STEP:
            self._drift += change
            self.correction += _SHARE * (self._drift - self.correction)
        self._last = difference
