"""Whether a stream can be shown together with the others of its sender. Pure: time is an argument."""

from __future__ import annotations

from typing import Final

TOLERANCE: Final = 0.02
"""Seconds that sound and pose may be apart: from 45 ms (sound first) and 125 ms (picture first) on people notice it
(ITU-R BT.1359-1), and Posewire promises 20."""
_BACK: Final = 0.01
"""Seconds: nearer than this they must be for a second before they count as together again."""
_SECONDS: Final = 1.0
_FRAMES: Final = 5


class Alignment:
    """One stream's place on the time line of its sender: held, or not.

    It is not held any more when for a second every frame came more than 20 ms after its moment, and held again when
    for a second all came within 10 ms of it.
    """

    def __init__(self) -> None:
        self.held = True
        self.offset = 0.0
        """Seconds by which even the best frame of the last second was late, when `held` became false; else 0."""
        self._since = 0.0
        self._count = 0
        self._least = 0.0

    def observe(self, lateness: float, now: float) -> bool:
        """Take note of a frame; returns whether `held` changed.

        Args:
            lateness: Seconds from its moment until it came; negative when it came in time.
            now: Seconds.
        """
        if (lateness <= TOLERANCE) if self.held else (lateness > _BACK):
            self._count = 0
            return False
        if self._count == 0:
            self._since, self._least = now, lateness
        self._count += 1
        self._least = min(self._least, lateness)
        if self._count < _FRAMES or now - self._since < _SECONDS:
            return False
        self.held = not self.held
        self.offset = 0.0 if self.held else self._least
        self._count = 0
        return True
