"""Plays motion as a camera would deliver it: each frame at its time."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol, Self

import numpy as np
import numpy.typing as npt

from posewire import clock
from posewire.protocol import PoseData
from posewire.sources.source import SourceFrame, check_pace

_LATE: Final = 0.5
"""Seconds: a consumer that is further behind is slow, and gets the newest frame; less is a hiccup of the machine."""


class Motion(Protocol):
    """Poses with their times."""

    timestamps: npt.NDArray[np.float64]

    def __len__(self) -> int: ...

    def pose(self, index: int) -> PoseData:
        """Return one frame."""
        ...


class Playback:
    """A `Source` of recorded or made motion. Due times are absolute, so that the pace does not drift.

    Args:
        motion: What to play.
        fps: Play at this rate instead of the recorded times.
        loop: Begin again at the end.
        seconds: Stop after this time.

    Raises:
        DataValidationError: A rate or time that cannot be.
    """

    def __init__(
        self, motion: Motion, *, fps: float | None = None, loop: bool = True, seconds: float | None = None
    ) -> None:
        check_pace(fps, seconds)
        self.skipped = 0
        self._motion = motion
        times = np.arange(len(motion)) / fps if fps is not None else motion.timestamps - motion.timestamps[0]
        self._times: npt.NDArray[np.float64] = times
        # One more mean step between the last frame and the first of the next round.
        self._length = float(times[-1]) + (float(times[-1]) / (len(times) - 1) if len(times) > 1 else 1 / 30)
        self._loop = loop
        self._seconds = seconds
        self._next = 0
        """Frames before the next one, over all rounds."""
        self._start: float | None = None
        self._captured = 0.0
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SourceFrame:
        if self._start is None:
            self._start, self._captured = clock.monotonic(), clock.now()
        self._skip(clock.monotonic() - self._start - _LATE)
        lap, index = divmod(self._next, len(self._times))
        due = lap * self._length + float(self._times[index])
        if self._closed or (lap and not self._loop) or (self._seconds is not None and due >= self._seconds):
            raise StopAsyncIteration
        await asyncio.sleep(max(0.0, self._start + due - clock.monotonic()))
        # No await after this line: a frame counts as played only by being returned.
        self._next += 1
        return SourceFrame(pose=self._motion.pose(index), timestamp=self._captured + due)

    async def aclose(self) -> None:
        """Play no more. Does not wait."""
        self._closed = True

    def _skip(self, elapsed: float) -> None:
        """Go on to the newest frame that was due ``elapsed`` seconds after the start."""
        lap, rest = divmod(elapsed, self._length)
        newest = int(lap) * len(self._times) + int(np.searchsorted(self._times, rest, side="right")) - 1
        if not self._loop:
            newest = min(newest, len(self._times) - 1)
        if newest > self._next:
            self.skipped += newest - self._next
            self._next = newest
