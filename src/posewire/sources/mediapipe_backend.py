"""Video and cameras through OpenCV, landmarks through MediaPipe. Runs in the tracker's process only."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import math
from pathlib import Path
from typing import Any, Final

from posewire.errors import ConfigurationError, DataValidationError
from posewire.protocol import to_pose_data
from posewire.sources.backend import Track
from posewire.sources.messages import Job

_MODELS: Final = ("lite", "full", "heavy")
_INSTALL: Final = "pip install 'posewire[mediapipe]', on Python 3.11 or 3.12"


def open_capture(job: Job) -> OpenCvCapture:
    """Open a video or a camera.

    Raises:
        DataValidationError: There is none, or it is no video.
        ConfigurationError: OpenCV is not installed.
    """
    if job.video is not None and not Path(job.video).is_file():
        raise DataValidationError("video", job.video, "no such file")
    try:
        import cv2
    except ImportError:
        raise ConfigurationError("tracker", "opencv", f"not installed: {_INSTALL}") from None
    opened = cv2.VideoCapture(job.camera if job.video is None else job.video)
    if not opened.isOpened():
        if job.video is None:
            raise DataValidationError(
                "camera", job.camera, "no such camera, or another program has it; 0 is the first one"
            )
        raise DataValidationError(
            "video", job.video, "expected a video that OpenCV can read; it is damaged, or is none"
        )
    if job.video is None:
        opened.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        if job.fps is not None:
            opened.set(cv2.CAP_PROP_FPS, job.fps)
    return OpenCvCapture(cv2, opened, live=job.video is None)


class OpenCvCapture:
    """See `Capture`. Times that are missing or do not rise are made of the frame rate."""

    def __init__(self, cv2: Any, opened: Any, *, live: bool) -> None:
        self._cv2 = cv2
        self._opened = opened
        self._live = live
        self._last: float | None = None
        self.width = int(opened.get(cv2.CAP_PROP_FRAME_WIDTH))
        self.height = int(opened.get(cv2.CAP_PROP_FRAME_HEIGHT))
        fps = float(opened.get(cv2.CAP_PROP_FPS))
        self.fps = fps if 0 < fps <= 1000 else 30.0
        frames = float(opened.get(cv2.CAP_PROP_FRAME_COUNT))
        self.frames = int(frames) if not live and math.isfinite(frames) and frames > 0 else 0

    def grab(self) -> float | None:
        """Wait for the next frame and return its time."""
        if not self._opened.grab():
            return None
        if self._live:
            return 0.0
        at = float(self._opened.get(self._cv2.CAP_PROP_POS_MSEC)) / 1000
        if self._last is not None and not self._last < at < math.inf:
            at = self._last + 1 / self.fps
        elif not math.isfinite(at):
            at = 0.0
        self._last = at
        return at

    def image(self) -> Any:
        """Return the frame, RGB; None when it is damaged."""
        whole, image = self._opened.retrieve()
        return self._cv2.cvtColor(image, self._cv2.COLOR_BGR2RGB) if whole else None

    def close(self) -> None:
        """Let go of it."""
        self._opened.release()


def open_tracker(job: Job) -> Track:
    """Load MediaPipe's models.

    Raises:
        ConfigurationError: MediaPipe is not installed, or is one without models.
        DataValidationError: It has no model of that complexity.
    """
    try:
        from mediapipe.python.solutions import holistic, pose
    except ImportError:
        raise ConfigurationError("tracker", _found(), f"expected one that ships its models: {_INSTALL}") from None
    _check_model(job.complexity)
    if job.holistic:
        tracker = holistic.Holistic(model_complexity=job.complexity, refine_face_landmarks=True)
    else:
        tracker = pose.Pose(model_complexity=job.complexity)

    def track(image: Any) -> Any:
        image.flags.writeable = False  # MediaPipe need not copy it then
        return to_pose_data(tracker.process(image))

    return track


def _found() -> str:
    try:
        return f"mediapipe {importlib.metadata.version('mediapipe')}"
    except importlib.metadata.PackageNotFoundError:
        return "no mediapipe"


def _check_model(complexity: int) -> None:
    """See that the model is there: MediaPipe would try to download it, and say nothing else."""
    spec = importlib.util.find_spec("mediapipe")
    assert spec is not None
    assert spec.origin is not None
    file = Path(spec.origin).parent / "modules" / "pose_landmark" / f"pose_landmark_{_MODELS[complexity]}.tflite"
    if not file.is_file():
        raise DataValidationError("complexity", complexity, f"expected 1, or MediaPipe's model at {file}")
