"""What a `TrackedSource` needs of the libraries that see: `mediapipe_backend` is one, yours may be another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

from posewire.protocol import PoseData
from posewire.sources.messages import Job

Track: TypeAlias = Callable[[Any], PoseData]
"""Finds the landmarks in an image; NaN where there is nobody."""


class Capture(Protocol):
    """An opened video or camera."""

    width: int
    height: int
    fps: float
    frames: int
    """In the file, 0 where nobody knows."""

    def grab(self) -> float | None:
        """Wait for the next frame; return its time in the file (seconds, rising; 0 for a camera), None at the end."""
        ...

    def image(self) -> Any:
        """Return the frame that was grabbed, as the tracker takes it; None when it is damaged."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class Backend(Protocol):
    """A module with these two functions. They run in a process of their own, and may block as they like."""

    def open_capture(self, job: Job, /) -> Capture:
        """Open what the job names.

        Raises:
            PosewireError: It cannot be; it names field, value and what was expected.
        """
        ...

    def open_tracker(self, job: Job, /) -> Track:
        """Load the models.

        Raises:
            PosewireError: They are not there.
        """
        ...
