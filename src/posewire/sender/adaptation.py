"""When to send fewer poses, and when more again. Pure: what was seen is an argument."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

RecoveryStrategy = Literal["immediate", "gradual", "adaptive"]

ENOUGH_FPS: Final = 0.8
"""Of the rate there should be; the specification's 80 %."""
MAX_ERROR_RATE: Final = 0.1
"""The specification's 10 %."""
LEAST_RATE: Final = 0.1
_DOWN_AFTER: Final = 2
"""Bad looks in a row before a step down: one may be chance."""
_UP_AFTER: Final = 4
"""Good looks in a row before the first step up."""
_MOST_PATIENCE: Final = 64
_STEP_DOWN: Final = 0.7
_STEP_UP: Final = 0.1
_LEEWAY: Final = (0.9, 0.7, 0.5)
"""What counts as good: of the wanted rate, of the latency threshold, of the most errors. In between nothing moves."""


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen since the last look."""

    fps: float | None
    """Poses a second that left; None when there were too few to tell."""
    wanted_fps: float
    """Poses a second that should have: the target, or those handed in when they are fewer."""
    latency: float
    """Seconds from handing in to leaving."""
    max_latency: float
    """Its threshold."""
    error_rate: float
    """0..1."""


class Adaptation:
    """The share of the poses to send: down when it is too much, up slowly, nothing in between.

    Down when fewer than 80 % of the wanted rate leave, when the latency is over its threshold, or when more than 10 %
    fail; twice in a row. Up by ``strategy`` once it was well for a while: ``immediate`` takes all at once, ``gradual``
    a tenth after each good look, ``adaptive`` doubles, but waits twice as long after each step up that was too much.
    """

    def __init__(self) -> None:
        self.share = 1.0
        self.strategy: RecoveryStrategy = "gradual"
        self._bad = self._good = 0
        self._patience = _UP_AFTER
        self._raised = False

    @property
    def degraded(self) -> bool:
        """Whether less than everything is to be sent."""
        return self.share < 1.0

    def reset(self) -> None:
        """Begin anew, with everything."""
        self.share = 1.0
        self._bad = self._good = 0
        self._patience = _UP_AFTER
        self._raised = False

    def observe(self, look: Look) -> str:
        """Take in a look; returns why the share changed, ``""`` when it did not."""
        if reason := _trouble(look):
            self._bad, self._good = self._bad + 1, 0
            return self._down(reason) if self._bad >= _DOWN_AFTER else ""
        self._bad = 0
        self._good = self._good + 1 if _well(look) else 0
        if self._good < self._patience or not self.degraded:
            return ""
        return self._up()

    def _down(self, reason: str) -> str:
        self._bad = 0  # the step must show before there is another
        if self._raised and self.strategy == "adaptive":
            self._patience = min(2 * self._patience, _MOST_PATIENCE)
        self._raised = False
        if self.share <= LEAST_RATE:
            return ""
        self.share = max(LEAST_RATE, self.share * _STEP_DOWN)
        return reason

    def _up(self) -> str:
        match self.strategy:
            case "immediate":
                self.share = 1.0
            case "gradual":
                self.share = min(1.0, self.share + _STEP_UP)
            case "adaptive":
                self.share = min(1.0, 2 * self.share)
                self._good = 0
        self._raised = True
        if not self.degraded:
            self._good = 0
        return "all is well"


def _trouble(look: Look) -> str:
    if look.fps is not None and look.fps < ENOUGH_FPS * look.wanted_fps:
        return f"{look.fps:.1f} of {look.wanted_fps:.1f} poses a second left"
    if look.latency > look.max_latency:
        return f"latency {look.latency:.3f} s is over {look.max_latency:g} s"
    if look.error_rate > MAX_ERROR_RATE:
        return f"{look.error_rate:.0%} of the sends failed"
    return ""


def _well(look: Look) -> bool:
    fps, latency, errors = _LEEWAY
    return (
        (look.fps is None or look.fps >= fps * look.wanted_fps)
        and look.latency <= latency * look.max_latency
        and look.error_rate <= errors * MAX_ERROR_RATE
    )
