"""What is given up, in which order, when the link does not take everything."""

from __future__ import annotations

from typing import Final, Literal

import msgspec


class Quality(msgspec.Struct, frozen=True, kw_only=True):
    """A step of the ladder: what of the poses is sent."""

    name: str
    divisor: int = 1
    """Every so manyeth pose of a stream."""
    coarser: int = 0
    """Bits less for z, and for all of the face."""
    face: bool = True
    hands: bool = True
    interval: float = 0.0
    """Least seconds between two poses of a stream."""
    about: Literal["all", "face", "hands"] = "all"
    """Which parts must be there for the step to save anything."""


LADDER: Final = (
    Quality(name="full"),
    Quality(name="half rate", divisor=2),
    Quality(name="coarse", divisor=2, coarser=2),
    Quality(name="no face", divisor=2, coarser=2, face=False, about="face"),
    Quality(name="no hands", divisor=2, coarser=2, face=False, hands=False, about="hands"),
    Quality(name="keyframe rate", coarser=2, face=False, hands=False, interval=0.5),
)
"""Audio is on none of the steps: it keeps its share to the end."""

_DOWN_SECONDS: Final = 0.6
"""For so long must it be too much at a step, before the next one."""
_UP_CLEAR_SECONDS: Final = 0.3
"""The same for the way up, when packets do not wait on the link at all."""
_UP_SECONDS: Final = 8.0
"""The same when everything goes through, but only just; twice as long after each step up that was too much."""
_UP_LONGEST_SECONDS: Final = 32.0
_TRIAL_SECONDS: Final = 4.0
"""A step down so soon after a step up says that the step up was too much."""


class QualityLadder:
    """Steps down while less goes through than there is, and up again when the link is clear: with hysteresis.

    Pure: the caller says what time it is, and what happened.
    """

    def __init__(self) -> None:
        self.level = 0
        self._changed_at = 0.0
        self._raised_at = -_TRIAL_SECONDS
        self._hold = _UP_SECONDS
        self._bad_since: float | None = None
        self._good_since: float | None = None
        self._clear_since: float | None = None

    @property
    def quality(self) -> Quality:
        """The step we are on."""
        return LADDER[self.level]

    def observe(self, now: float, *, too_much: bool, clear: bool, face: bool = True, hands: bool = True) -> bool:
        """Take in how it goes; returns whether the step changed.

        Args:
            now: Monotonic seconds.
            too_much: Less of the poses goes through than this step has.
            clear: Packets do not wait on the link at all.
            face: Whether faces are sent.
            hands: Whether hands are sent.
        """
        self._bad_since = (self._bad_since or now) if too_much else None
        self._good_since = None if too_much else (self._good_since or now)
        self._clear_since = (self._clear_since or now) if clear and not too_much else None
        if self._bad_since is not None and now - max(self._bad_since, self._changed_at) >= _DOWN_SECONDS:
            if now - self._raised_at < _TRIAL_SECONDS:
                self._hold = min(2 * self._hold, _UP_LONGEST_SECONDS)
            return self._go(+1, now, face=face, hands=hands)
        if self._clear_since is not None and now - max(self._clear_since, self._changed_at) >= _UP_CLEAR_SECONDS:
            self._hold = _UP_SECONDS
            return self._go(-1, now, face=face, hands=hands)
        if self._good_since is not None and now - max(self._good_since, self._changed_at) >= self._hold:
            return self._go(-1, now, face=face, hands=hands)
        return False

    def _go(self, step: int, now: float, *, face: bool, hands: bool) -> bool:
        level = self.level + step
        while 0 < level < len(LADDER) and not {"all": True, "face": face, "hands": hands}[LADDER[level].about]:
            level += step  # it would save nothing
        if not 0 <= level < len(LADDER):
            return False
        self.level = level
        self._changed_at = now
        if step < 0:
            self._raised_at = now
        return True
