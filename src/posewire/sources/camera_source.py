"""Poses in front of a camera."""

from __future__ import annotations

from posewire.errors import DataValidationError
from posewire.sources.messages import Job
from posewire.sources.tracked_source import TrackedSource
from posewire.sources.video_source import MEDIAPIPE


class CameraSource(TrackedSource):
    """A `Source`: a camera, and the landmarks MediaPipe finds in its newest image. Needs the extra ``mediapipe``.

    Images that came while the one before was looked at are left out but the newest, counted in ``skipped``.

    Args:
        number: Of the camera, 0 is the first.
        holistic: Find face (478 landmarks) and hands too; slower.
        complexity: Of the pose model, 0, 1 or 2; MediaPipe's wheel ships that of 1.
        fps: Ask the driver for this rate.
        seconds: Stop after this time.
        open_timeout: Seconds that opening the camera and loading the models may take.
        backend: A module that finds landmarks another way; see `posewire.sources.backend.Backend`.

    Raises:
        DataValidationError: An argument that cannot be.
    """

    def __init__(
        self,
        number: int = 0,
        *,
        holistic: bool = False,
        complexity: int = 1,
        fps: float | None = None,
        seconds: float | None = None,
        open_timeout: float = 60.0,
        backend: str = MEDIAPIPE,
    ) -> None:
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= 99:
            raise DataValidationError("camera", number, "expected a number from 0 to 99; 0 is the first camera")
        job = Job(camera=number, backend=backend, holistic=holistic, complexity=complexity, fps=fps, seconds=seconds)
        super().__init__(job, open_timeout=open_timeout)
