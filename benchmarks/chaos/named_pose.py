"""Poses that say who sent them and which they are, and that no other pose is like."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float32]

_LANDMARKS: Final = 33
_STEPS: Final = 2048
"""Of the default precision in x and y, a unit."""
_HALF_STEPS: Final = np.array((0.5 / 2048, 0.5 / 2048, 0.5 / 128, 0.5 / 32))
"""z at its coarsest: on a bad link the quality ladder takes two bits of it."""
MAX_NUMBER: Final = _STEPS * _STEPS


def named_pose(sender: int, number: int) -> Points:
    """Return the pose ``number`` of ``sender``, both from 0: always the same one."""
    points = np.random.default_rng((sender, number)).random((_LANDMARKS, 4)).astype(np.float32)
    points[0, 0], points[0, 1] = number % _STEPS / _STEPS, number // _STEPS / _STEPS
    points[1, 0] = sender / _STEPS
    return points


def read_name(points: Points) -> tuple[int, int]:
    """Return sender and number."""
    x, y, sender = (round(float(value) * _STEPS) for value in (points[0, 0], points[0, 1], points[1, 0]))
    return sender, x + _STEPS * y


def is_pose(points: Points, sender: int, number: int) -> bool:
    """Return whether these are the points of that pose, each within half a step of the codec."""
    if points.shape != (_LANDMARKS, 4) or sender < 0 or not 0 <= number < MAX_NUMBER:
        return False
    error = np.abs(points.astype(np.float64) - named_pose(sender, number))
    return bool((error <= _HALF_STEPS + 1e-7).all())
