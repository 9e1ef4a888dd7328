"""Plays motion as a camera would deliver it: each frame at its time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Protocol

import numpy as np
import numpy.typing as npt

from posewire import clock
from posewire.errors import DataValidationError
from posewire.protocol import PoseData


class Motion(Protocol):
    """Poses with their times."""

    timestamps: npt.NDArray[np.float64]

    def __len__(self) -> int: ...

    def pose(self, index: int) -> PoseData:
        """Return one frame."""
        ...


async def play(
    motion: Motion, *, fps: float | None = None, loop: bool = True, seconds: float | None = None
) -> AsyncIterator[PoseData]:
    """Yield the frames of ``motion``, each at its time; waits between them. Cancelling is safe.

    Deadlines are absolute, so a slow consumer gets late frames at once and the pace does not drift.

    Args:
        motion: What to play.
        fps: Play at this rate instead of the recorded times.
        loop: Begin again at the end.
        seconds: Stop after this time.

    Raises:
        DataValidationError: A rate or time that cannot be.
    """
    if fps is not None and not 0 < fps <= 1000:
        raise DataValidationError("fps", fps, "expected more than 0, at most 1000")
    if seconds is not None and not seconds > 0:
        raise DataValidationError("seconds", seconds, "expected more than 0")
    times = np.arange(len(motion)) / fps if fps is not None else motion.timestamps - motion.timestamps[0]
    # One more mean step between the last frame and the first of the next round.
    length = float(times[-1]) + (float(times[-1]) / (len(times) - 1) if len(times) > 1 else 1 / 30)
    start = clock.monotonic()
    lap = 0.0
    while True:
        for index in range(len(motion)):
            due = lap + float(times[index])
            if seconds is not None and due >= seconds:
                return
            await asyncio.sleep(max(0.0, start + due - clock.monotonic()))
            yield motion.pose(index)
        if not loop:
            return
        lap += length
