"""The age of a pose, told by the pose itself: when it was sent is in its first landmark. Pure."""

from __future__ import annotations

import time
from typing import Final

import numpy as np
import numpy.typing as npt

from posewire.protocol.pose_data import Landmarks

AGE_STEP: Final = 1e-4
"""Seconds: the grain of the ages."""
AGE_STEPS: Final = 100_000
"""Ten seconds."""
_HALF: Final = 2048
"""x and y have 11 bits each at the default precision: what lies on the grid comes out as it went in."""
_TURN: Final = _HALF * _HALF
"""The clock of the poses begins again after 419 seconds."""


def stamp(pose: Landmarks, now_ns: int | None = None) -> Landmarks:
    """Write the time (`time.monotonic_ns`, one clock for all processes of the machine) into a pose; returns it."""
    step = _step(now_ns)
    pose[0, 0], pose[0, 1] = step % _HALF / _HALF, step // _HALF / _HALF
    return pose


def age(pose: Landmarks, now_ns: int | None = None) -> int:
    """Return how old a pose is, in steps of `AGE_STEP`."""
    sent = round(float(pose[0, 0]) * _HALF) + round(float(pose[0, 1]) * _HALF) * _HALF
    return (_step(now_ns) - sent) % _TURN


class Ages:
    """Counts poses by age; of fixed size, whatever comes."""

    def __init__(self) -> None:
        self._counts = np.zeros(AGE_STEPS, dtype=np.uint32)

    def add(self, steps: int) -> None:
        """Count one."""
        self._counts[min(steps, AGE_STEPS - 1)] += 1

    def take(self) -> bytes:
        """Return the counts, and begin anew."""
        counts = self._counts.tobytes()
        self._counts[:] = 0
        return counts


def read(counts: bytes) -> npt.NDArray[np.int64]:
    """Return what `Ages.take` gave as numbers that can be added up."""
    return np.frombuffer(counts, dtype=np.uint32).astype(np.int64)


def percentile(counts: npt.NDArray[np.int64], share: float) -> float | None:
    """Return the age, in seconds, that so many in a hundred are under; None of nothing."""
    total = int(counts.sum())
    if not total:
        return None
    return float((np.searchsorted(np.cumsum(counts), share / 100 * total) + 1) * AGE_STEP)


def _step(now_ns: int | None) -> int:
    return (time.monotonic_ns() if now_ns is None else now_ns) // round(AGE_STEP * 1e9) % _TURN
