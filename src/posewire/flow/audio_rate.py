"""How many bits a second sound is coded with, and whether it is sent twice."""

from __future__ import annotations

import math
from typing import Final, Literal

Redundancy = Literal["auto", "always", "never"]

_STEP: Final = 1.35
"""From one bit rate to the next."""
_SHARE: Final = 0.5
"""Of what the link takes: the rest is for poses."""
_OVERHEAD: Final = 50 * 8 * 54
"""Bits a second that are no sound: 50 packets of header, seal and what tells the body."""
_DOWN_SECONDS: Final = 0.5
"""Between two steps down: the first must show before there is a second."""
_UP_SECONDS: Final = 3.0
"""For so long must there be room for the next step up."""
_LOSS_SECONDS: Final = 4.0
"""Time constant of the loss: reports come once a second, and of 50 packets one is two per cent."""
_LOSS_ON: Final = 0.01
_LOSS_OFF: Final = 0.003
"""From which loss on each packet carries the one before it too, and below which it does not any more."""


class AudioRate:
    """Follows the rate controller and the quality ladder down at once, and up slowly. Pure: time is an argument.

    A copy of the packet before is sent when packets are lost and the link has room for both at their best: where it has
    not, they are lost for that, and more bytes would lose more. (At half the bit rate each the copy would pay only from
    7 % of loss on: what is heard all the time gets worse for what is heard seldom.)

    Args:
        least: Bits a second, at worst.
        most: Bits a second on a link that takes everything.
        redundancy: ``auto``: as above; ``always``; ``never``.
    """

    def __init__(self, least: int, most: int, redundancy: Redundancy = "auto") -> None:
        count = max(1, math.ceil(math.log(most / least) / math.log(_STEP) - 1e-9)) if most > least else 0
        self._steps = [round(most * (least / most) ** (step / count)) for step in range(count + 1)] if count else [most]
        self._redundancy = redundancy
        self._step = 0
        self._changed_at = -math.inf
        self._roomy_since: float | None = None
        self._observed_at: float | None = None
        self._lossy = False
        self.loss = 0.0
        """Share of the packets that are lost, smoothed."""
        self.redundant = redundancy == "always"
        """Whether each packet is to carry the one before it."""

    @property
    def bit_rate(self) -> int:
        """Bits a second to code with."""
        return self._steps[self._step]

    def observe(self, now: float, *, rate: float | None, level: int, loss: float) -> None:
        """Take in how it goes.

        Args:
            now: Monotonic seconds.
            rate: Bytes a second that may be sent, poses and all; None for no limit.
            level: Step of the quality ladder: each takes a step of sound.
            loss: Share of our packets of sound that did not come, by the last report.
        """
        elapsed = 0.0 if self._observed_at is None else max(0.0, now - self._observed_at)
        self._observed_at = now
        self.loss += (1 - math.exp(-elapsed / _LOSS_SECONDS)) * (loss - self.loss)
        wanted = max(self._for_rate(rate), min(level, len(self._steps) - 1))
        if wanted > self._step:
            self._roomy_since = None
            if now - self._changed_at >= _DOWN_SECONDS:
                self._step, self._changed_at = wanted, now
        elif wanted < self._step:
            self._roomy_since = now if self._roomy_since is None else self._roomy_since
            if now - max(self._roomy_since, self._changed_at) >= _UP_SECONDS:
                self._step, self._changed_at = self._step - 1, now
        else:
            self._roomy_since = None
        self._lossy = self.loss >= (_LOSS_OFF if self._lossy else _LOSS_ON)
        if self._redundancy == "auto":
            self.redundant = self._lossy and level == 0 and _room(rate) >= 2 * self._steps[0]

    def _for_rate(self, rate: float | None) -> int:
        room = _room(rate) / (2 if self.redundant else 1)
        return next((step for step, bits in enumerate(self._steps) if bits <= room), len(self._steps) - 1)


def _room(rate: float | None) -> float:
    """Return the bits a second there are for sound on a link that takes ``rate`` bytes a second."""
    return math.inf if rate is None else max(_SHARE * 8 * rate, 8 * rate - 4 * _OVERHEAD) - _OVERHEAD
