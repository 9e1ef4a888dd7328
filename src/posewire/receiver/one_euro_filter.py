"""Takes the tremble out of landmarks and leaves the motion in. Pure: time is an argument."""

from __future__ import annotations

import math
from typing import Final

import msgspec
import numpy as np

from posewire.errors import DataValidationError
from posewire.protocol.pose_data import Landmarks
from posewire.values import is_number, plain

_GAP: Final = 0.5
"""Seconds without a value after which the filter begins anew."""


class OneEuro(msgspec.Struct, frozen=True, kw_only=True):
    """How much is smoothed: give it to ``session.frames(smoothing=…)``.

    Lower ``min_cutoff`` until a person at rest does not tremble, then raise ``beta`` until quick motion does not lag.

    Attributes:
        min_cutoff: Hz; what is quicker is taken for noise while the joint rests.
        beta: Hz that are added for each unit a second that the joint moves. Landmarks of MediaPipe are in image widths.
        derivative_cutoff: Hz of the low-pass on the speed; the paper has 1.

    Raises:
        DataValidationError: A number that is not in its range.
    """

    min_cutoff: float = 1.5
    beta: float = 10.0
    derivative_cutoff: float = 1.0

    def __post_init__(self) -> None:
        for name, least in (("min_cutoff", "more than 0"), ("beta", "0 or more"), ("derivative_cutoff", "more than 0")):
            value = plain(getattr(self, name))
            msgspec.structs.force_setattr(self, name, value)
            if not is_number(value) or value < 0 or (value == 0 and name != "beta"):
                raise DataValidationError(f"smoothing.{name}", repr(value), f"expected a finite number, {least}")


class OneEuroFilter:
    """The 1 € filter on all landmarks of one part at once.

    G. Casiez, N. Roussel, D. Vogel, "1 € Filter: A Simple Speed-based Low-pass Filter for Noisy Input in Interactive
    Systems", CHI 2012. For each coordinate, with ``dt`` seconds since the last value::

        a(fc) = 1 / (1 + 1 / (2 pi fc dt))
        speed = a(derivative_cutoff) (x - y_last) / dt + (1 - a(derivative_cutoff)) speed_last
        a     = a(min_cutoff + beta |speed|)
        y     = a x + (1 - a) y_last

    A landmark that is missing (NaN) stays missing and touches no other; when it is back, it begins where it is. So
    does everything after half a second without a value, and when time goes back. Visibility is not filtered.

    Args:
        settings: How much.
    """

    def __init__(self, settings: OneEuro) -> None:
        self._settings = settings
        self._last: Landmarks | None = None
        self._speed: Landmarks | None = None
        self._time = -math.inf

    def filter(self, part: Landmarks, time: float) -> Landmarks:
        """Return ``part`` (``[..., 4]``) smoothed, a new array; ``time`` in seconds."""
        now = part[..., :3]
        last, speed, step = self._last, self._speed, time - self._time
        self._time = time
        if last is None or speed is None or last.shape != now.shape or not 0 < step <= _GAP:
            self._last, self._speed = now.copy(), np.zeros_like(now)
            return part.copy()
        unknown = np.isnan(last)
        if unknown.any():
            last, speed = np.where(unknown, now, last), np.where(unknown, np.float32(0), speed)
        settings = self._settings
        slowly = np.float32(_weight(settings.derivative_cutoff, step))
        speed = speed + ((now - last) / np.float32(step) - speed) * slowly
        # a = k / (1 + k) with k = 2 pi fc dt
        k = (np.abs(speed) * np.float32(settings.beta) + np.float32(settings.min_cutoff)) * np.float32(math.tau * step)
        smooth = part.copy()
        smooth[..., :3] = last + (now - last) * (k / (1 + k))
        self._last, self._speed = smooth[..., :3], speed
        return smooth


def _weight(cutoff: float, step: float) -> float:
    k = math.tau * cutoff * step
    return k / (1 + k)
