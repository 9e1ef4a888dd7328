"""What every source of poses is."""

from __future__ import annotations

from typing import Protocol, Self

import msgspec

from posewire.errors import DataValidationError
from posewire.protocol import PoseData


class SourceFrame(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One capture.

    Attributes:
        pose: What was seen; its own timestamp is 0.
        timestamp: Capture time, seconds on the scale of ``time.time()``: when light fell on it, not when it was found.
        tracking: Seconds that finding the landmarks took; 0 where they were there already.
    """

    pose: PoseData
    timestamp: float
    tracking: float = 0.0


class Source(Protocol):
    """An async iterator of poses, each at its time. It never blocks the event loop; whoever is slow gets the newest.

    Cancelling a wait loses nothing. ``async with`` opens it early, so that what is wrong is said before anything else
    begins, and closes it in bounded time; iterating alone opens it too, and closes it at its end.
    """

    @property
    def skipped(self) -> int:
        """Frames that nobody got, because a newer one was there."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *_: object) -> None: ...

    def __aiter__(self) -> Self: ...

    async def __anext__(self) -> SourceFrame: ...

    async def aclose(self) -> None:
        """Stop. Idempotent; leaves no process, thread or task behind."""
        ...


def check_pace(fps: float | None, seconds: float | None) -> None:
    """Accept a rate and a length that can be.

    Raises:
        DataValidationError: One of them cannot.
    """
    if fps is not None and not 0 < fps <= 1000:
        raise DataValidationError("fps", fps, "expected more than 0, at most 1000")
    if seconds is not None and not seconds > 0:
        raise DataValidationError("seconds", seconds, "expected more than 0")
