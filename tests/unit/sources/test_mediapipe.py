"""Real videos through the real MediaPipe and OpenCV; `make test-mediapipe` runs these."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import random
from pathlib import Path

import numpy as np
import psutil
import pytest

from posewire import clock
from posewire.errors import DataValidationError
from posewire.protocol import PoseData
from posewire.recording import load_recording
from posewire.sources import CameraSource, VideoSource
from posewire.sources.mediapipe_backend import open_capture
from posewire.sources.messages import Job

DATA = Path(__file__).parents[3].parent / "shared" / "data"
SQUATS = DATA / "video" / "pose_squats_5fps.mp4"
JUMP = DATA / "video" / "pose_jump_swing_90fps.mp4"

pytestmark = [
    pytest.mark.mediapipe,
    pytest.mark.skipif(importlib.util.find_spec("mediapipe") is None, reason="the extra mediapipe is not installed"),
    pytest.mark.skipif(not DATA.is_dir(), reason=f"no folder of recordings at {DATA}"),
]


def body(pose: PoseData) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    assert pose.pose_landmarks is not None
    return pose.pose_landmarks


async def test_landmarks_are_those_of_the_recording_of_the_same_video() -> None:
    recording = load_recording(DATA / "pose_squats_5fps.npz")
    async with VideoSource(SQUATS, every_frame=True) as source:
        assert source.opened is not None
        assert (source.opened.width, source.opened.height, source.opened.frames) == (720, 1280, 65)
        frames = [frame async for frame in source]
    assert len(frames) == len(recording) == 65
    times = np.array([frame.timestamp for frame in frames])
    assert np.allclose(times - times[0], recording.timestamps, atol=2e-3)
    error = np.abs(np.stack([body(frame.pose) for frame in frames]) - recording.landmarks)
    assert error[..., :2].mean() < 0.002, "image widths and heights"
    assert error[..., :2].max() < 0.05
    assert error[..., 3].mean() < 0.01


async def test_in_real_time_what_is_late_is_skipped_and_what_comes_is_fresh() -> None:
    async with VideoSource(JUMP, seconds=1.5) as source:
        frames = [(clock.now(), frame) async for frame in source]
    assert len(frames) + source.skipped == pytest.approx(135, abs=2)
    assert all(0 <= came - frame.timestamp < 5 for came, frame in frames)


async def test_holistic_has_face_and_hands() -> None:
    async with VideoSource(SQUATS, holistic=True, every_frame=True, seconds=0.7) as source:
        poses = [frame.pose async for frame in source]
    assert len(poses) == 4
    for pose in poses:
        assert body(pose).shape == (33, 4)
        assert pose.face_landmarks is not None
        assert pose.face_landmarks.shape == (478, 4)
        assert pose.hand_landmarks is not None
        assert pose.hand_landmarks.shape == (2, 21, 4)
    assert np.isfinite(body(poses[-1])).all()


@pytest.mark.parametrize("container", ["mp4", "mkv"])
def test_times_of_a_variable_rate_are_those_of_the_container(container: str) -> None:
    # Six grey squares, written by PyAV with these times.
    capture = open_capture(Job(video=str(Path(__file__).parent / f"variable_rate.{container}"), backend=""))
    times: list[float] = []
    while (at := capture.grab()) is not None:
        times.append(round(at, 3))
    assert times == [0.0, 0.01, 0.5, 0.6, 0.633, 2.0]


@pytest.mark.parametrize("container", ["mp4", "mkv"])
async def test_nobody_in_a_video_is_nan_and_no_error(container: str) -> None:
    async with VideoSource(Path(__file__).parent / f"variable_rate.{container}", every_frame=True) as source:
        frames = [frame async for frame in source]
    assert len(frames) == 6
    assert all(np.isnan(body(frame.pose)).all() for frame in frames)
    assert frames[5].timestamp - frames[0].timestamp == pytest.approx(2.0, abs=1e-3)


async def test_files_that_are_no_videos(tmp_path: Path) -> None:
    whole = SQUATS.read_bytes()
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "noise.mp4").write_bytes(random.Random(1).randbytes(50_000))
    (tmp_path / "text.mp4").write_text("no video\n" * 100)
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    for name in ("empty.mp4", "noise.mp4", "text.mp4", "folder.mp4", "cut.mp4", "missing.mp4"):
        with pytest.raises(DataValidationError, match=r"Invalid video: .*(expected a video|no such file|damaged)"):
            async for _ in VideoSource(tmp_path / name, every_frame=True):
                pass


async def test_no_camera() -> None:
    if os.path.exists("/dev/video9"):  # noqa: ASYNC240
        pytest.skip("this machine has ten cameras")
    with pytest.raises(DataValidationError, match="Invalid camera: 9 - no such camera"):
        await anext(CameraSource(9))


async def test_a_complexity_without_a_model_is_said_and_nothing_is_downloaded() -> None:
    with pytest.raises(DataValidationError, match="Invalid complexity: 2 - expected 1"):
        await anext(VideoSource(SQUATS, complexity=2))


async def test_closing_in_the_middle_of_an_inference() -> None:
    async with VideoSource(JUMP, loop=True) as source:
        await anext(source)
        waiting = asyncio.create_task(anext(source))
        await asyncio.sleep(0)
        began = clock.monotonic()
        await source.aclose()
        assert clock.monotonic() - began < 5
        await asyncio.wait([waiting])
        assert isinstance(waiting.exception(), StopAsyncIteration)
    assert not psutil.Process().children(recursive=True)
