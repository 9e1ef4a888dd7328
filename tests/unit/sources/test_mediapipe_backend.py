"""The backend of OpenCV and MediaPipe, with stand-ins for both. `test_mediapipe.py` runs the real ones."""

from __future__ import annotations

import importlib.machinery
import importlib.metadata
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from posewire.errors import ConfigurationError, DataValidationError
from posewire.sources.mediapipe_backend import open_capture, open_tracker
from posewire.sources.messages import Job

PROPERTIES = {name: number for number, name in enumerate(("WIDTH", "HEIGHT", "FPS", "COUNT", "POS", "BUFFERSIZE"))}


class FakeVideo:
    """A ``cv2.VideoCapture`` of frames at given milliseconds."""

    def __init__(self, times: list[float], *, opens: bool = True, whole: bool = True, **properties: float) -> None:
        self.set_to: dict[int, float] = {}
        self.released = False
        self._times = times
        self._at = -1
        self._opens = opens
        self._whole = whole
        self._properties = {"WIDTH": 640.0, "HEIGHT": 360.0, "FPS": 25.0, "COUNT": float(len(times)), **properties}

    def isOpened(self) -> bool:  # noqa: N802  # cv2's name
        return self._opens

    def get(self, number: int) -> float:
        if number == PROPERTIES["POS"]:
            return self._times[self._at]
        return next(self._properties[name] for name, value in PROPERTIES.items() if value == number)

    def set(self, number: int, value: float) -> None:
        self.set_to[number] = value

    def grab(self) -> bool:
        self._at += 1
        return self._at < len(self._times)

    def retrieve(self) -> tuple[bool, Any]:
        return self._whole, np.zeros((2, 2, 3), dtype=np.uint8) if self._whole else None

    def release(self) -> None:
        self.released = True


@pytest.fixture
def cv2(monkeypatch: pytest.MonkeyPatch) -> Callable[[FakeVideo], list[Any]]:
    """Return a function that makes cv2 open this, and a list of what it was asked to open."""

    def install(video: FakeVideo) -> list[Any]:
        asked: list[Any] = []

        def opened(what: Any) -> FakeVideo:
            asked.append(what)
            return video

        names = {"WIDTH": "FRAME_WIDTH", "HEIGHT": "FRAME_HEIGHT", "COUNT": "FRAME_COUNT", "POS": "POS_MSEC"}
        constants = {f"CAP_PROP_{names.get(name, name)}": number for name, number in PROPERTIES.items()}
        fake = SimpleNamespace(
            VideoCapture=opened, cvtColor=lambda image, how: image + how, COLOR_BGR2RGB=4, **constants
        )
        monkeypatch.setitem(sys.modules, "cv2", fake)
        return asked

    return install


@pytest.fixture
def clip(tmp_path: Path) -> Job:
    (tmp_path / "clip.mp4").write_bytes(b"")
    return Job(video=str(tmp_path / "clip.mp4"), backend="")


def times(job: Job) -> list[float]:
    capture = open_capture(job)
    found: list[float] = []
    while (at := capture.grab()) is not None:
        found.append(round(at, 6))
    return found


def test_a_video(clip: Job, cv2: Callable[[FakeVideo], list[Any]]) -> None:
    video = FakeVideo([0.0, 40.0, 95.0])
    asked = cv2(video)
    capture = open_capture(clip)
    assert asked == [clip.video]
    assert (capture.width, capture.height, capture.fps, capture.frames) == (640, 360, 25.0, 3)
    assert capture.grab() == 0.0
    assert capture.image().tolist() == np.full((2, 2, 3), 4).tolist(), "turned to RGB"
    assert (capture.grab(), capture.grab(), capture.grab()) == (0.04, 0.095, None)
    capture.close()
    assert video.released
    assert video.set_to == {}


@pytest.mark.parametrize(
    ("reported", "expected"),
    [
        ([0, 0, 0], [0.0, 0.04, 0.08]),
        ([0, 40, 20, 130], [0.0, 0.04, 0.08, 0.13]),
        ([float("nan"), float("nan")], [0.0, 0.04]),
    ],
)
def test_times_that_are_missing_are_made_of_the_rate(
    clip: Job, cv2: Callable[[FakeVideo], list[Any]], reported: list[float], expected: list[float]
) -> None:
    cv2(FakeVideo(reported))
    assert times(clip) == expected


@pytest.mark.parametrize("fps", [0.0, -1.0, float("nan"), 90_000.0])
def test_a_container_that_does_not_know_its_rate_or_length(
    clip: Job, cv2: Callable[[FakeVideo], list[Any]], fps: float
) -> None:
    cv2(FakeVideo([0.0], FPS=fps, COUNT=-9.2e18))
    capture = open_capture(clip)
    assert (capture.fps, capture.frames) == (30.0, 0)


def test_a_frame_that_cannot_be_decoded(clip: Job, cv2: Callable[[FakeVideo], list[Any]]) -> None:
    cv2(FakeVideo([0.0], whole=False))
    capture = open_capture(clip)
    assert capture.grab() == 0.0
    assert capture.image() is None


def test_a_camera_keeps_no_queue_and_is_asked_for_a_rate(cv2: Callable[[FakeVideo], list[Any]]) -> None:
    video = FakeVideo([0.0, 0.0], COUNT=-1)
    asked = cv2(video)
    capture = open_capture(Job(camera=3, backend="", fps=60))
    assert asked == [3]
    assert video.set_to == {PROPERTIES["BUFFERSIZE"]: 1, PROPERTIES["FPS"]: 60}
    assert (capture.grab(), capture.grab(), capture.grab()) == (0.0, 0.0, None)
    assert capture.frames == 0


def test_what_cannot_be_opened(
    clip: Job, cv2: Callable[[FakeVideo], list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    cv2(FakeVideo([], opens=False))
    with pytest.raises(
        DataValidationError, match=r"Invalid video: .*clip\.mp4 - expected a video that OpenCV can read"
    ):
        open_capture(clip)
    with pytest.raises(DataValidationError, match="Invalid camera: 7 - no such camera, or another program has it"):
        open_capture(Job(camera=7, backend=""))
    with pytest.raises(DataValidationError, match=r"Invalid video: nothing\.mp4 - no such file"):
        open_capture(Job(video="nothing.mp4", backend=""))
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'posewire\[mediapipe\]'"):
        open_capture(clip)


@pytest.fixture
def mediapipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """A MediaPipe that ships the model of complexity 1 and finds one landmark; a list of what was made of it."""
    made: list[tuple[str, dict[str, Any]]] = []
    models = tmp_path / "mediapipe" / "modules" / "pose_landmark"
    models.mkdir(parents=True)
    (models / "pose_landmark_full.tflite").write_bytes(b"")
    landmark = SimpleNamespace(x=0.5, y=0.25, z=0.125, visibility=1.0)

    def solution(name: str) -> Any:
        def make(**options: Any) -> Any:
            made.append((name, options))
            found: dict[str, Any] = {"pose_landmarks": SimpleNamespace(landmark=[landmark] * 33)}
            if name == "Holistic":
                found |= {"face_landmarks": None, "left_hand_landmarks": None, "right_hand_landmarks": None}
            return SimpleNamespace(process=lambda image: SimpleNamespace(**found, writeable=image.flags.writeable))

        return SimpleNamespace(**{name: make})

    solutions = ModuleType("mediapipe.python.solutions")
    solutions.pose, solutions.holistic = solution("Pose"), solution("Holistic")  # type: ignore[attr-defined]
    package = ModuleType("mediapipe")
    package.__spec__ = importlib.machinery.ModuleSpec("mediapipe", None, origin=str(tmp_path / "mediapipe" / "x.py"))
    for module in (package, ModuleType("mediapipe.python"), solutions):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return made


@pytest.mark.parametrize("holistic", [False, True])
def test_a_tracker(mediapipe: list[tuple[str, dict[str, Any]]], holistic: bool) -> None:
    track = open_tracker(Job(backend="", holistic=holistic))
    pose = track(np.zeros((2, 2, 3), dtype=np.uint8))
    assert pose.pose_landmarks is not None
    assert pose.pose_landmarks.tolist() == [[0.5, 0.25, 0.125, 1.0]] * 33
    assert (pose.face_landmarks is not None) == (pose.hand_landmarks is not None) == holistic
    name, options = mediapipe[0]
    assert name == ("Holistic" if holistic else "Pose")
    assert options == {"model_complexity": 1} | ({"refine_face_landmarks": True} if holistic else {})


def test_a_model_that_the_wheel_has_not(mediapipe: list[tuple[str, dict[str, Any]]]) -> None:
    with pytest.raises(DataValidationError, match=r"Invalid complexity: 2 - expected 1, .*pose_landmark_heavy\.tflite"):
        open_tracker(Job(backend="", complexity=2))
    assert mediapipe == []


def test_no_mediapipe_or_one_without_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mediapipe.python.solutions", None)
    monkeypatch.setitem(sys.modules, "mediapipe.python", ModuleType("mediapipe.python"))
    monkeypatch.setitem(sys.modules, "mediapipe", ModuleType("mediapipe"))
    for version in ("1.2.2", None):

        def metadata(name: str, version: str | None = version) -> str:
            if version is None:
                raise importlib.metadata.PackageNotFoundError(name)
            return version

        monkeypatch.setattr("importlib.metadata.version", metadata)
        with pytest.raises(ConfigurationError) as caught:
            open_tracker(Job(backend=""))
        assert "pip install 'posewire[mediapipe]', on Python 3.11 or 3.12" in str(caught.value)
        assert ("mediapipe 1.2.2" if version else "no mediapipe") in str(caught.value)
