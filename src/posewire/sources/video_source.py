"""Poses in a video file."""

from __future__ import annotations

import os

from posewire.sources.messages import Job
from posewire.sources.tracked_source import TrackedSource

MEDIAPIPE = "posewire.sources.mediapipe_backend"


class VideoSource(TrackedSource):
    """A `Source`: a video file, played in real time by its own timestamps, with the landmarks MediaPipe finds in it.

    A frame is left out when the next one is due already, counted in ``skipped``. Needs the extra ``mediapipe``.

    Args:
        path: Any container that OpenCV reads.
        holistic: Find face (478 landmarks) and hands too; slower.
        complexity: Of the pose model, 0, 1 or 2; MediaPipe's wheel ships that of 1.
        fps: Play at this rate instead of the file's own times.
        loop: Begin again at the end.
        seconds: Stop after this much of the video.
        every_frame: Leave none out, as fast as they can be looked at and are taken: to convert a file, not to send it.
            Timestamps are those of real time.
        open_timeout: Seconds that loading the models may take.
        backend: A module that finds landmarks another way; see `posewire.sources.backend.Backend`.

    Raises:
        DataValidationError: An argument that cannot be.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        holistic: bool = False,
        complexity: int = 1,
        fps: float | None = None,
        loop: bool = False,
        seconds: float | None = None,
        every_frame: bool = False,
        open_timeout: float = 60.0,
        backend: str = MEDIAPIPE,
    ) -> None:
        job = Job(
            video=os.fspath(path),
            backend=backend,
            holistic=holistic,
            complexity=complexity,
            fps=fps,
            loop=loop,
            seconds=seconds,
            every_frame=every_frame,
        )
        super().__init__(job, open_timeout=open_timeout)
