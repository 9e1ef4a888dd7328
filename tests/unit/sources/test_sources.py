"""Motion from files and from nowhere, at its pace."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from posewire import DataValidationError
from posewire.recording import Recording, load_recording
from posewire.sources import SAMPLES, Playback, SourceFrame, SyntheticMotion, sample_path

TIMES = np.arange(3) / 30


def saved(path: Path, **arrays: Any) -> Path:
    file = path / "recording.npz"
    np.savez(file, **arrays)
    return file


@pytest.mark.parametrize("name", SAMPLES)
def test_samples_ship_and_load(name: str) -> None:
    recording = load_recording(sample_path(name))
    assert len(recording) > 60
    assert recording.duration > 3
    poses = list(recording)
    assert len(poses) == len(recording)
    assert poses[0].pose_landmarks is not None
    assert poses[0].pose_landmarks.shape == (33, 4)
    assert (poses[0].face_landmarks is not None) == (name == "signing")


def test_samples_together_are_under_a_megabyte_and_attributed() -> None:
    assert sum(sample_path(name).stat().st_size for name in SAMPLES) < 1_000_000
    notice = (Path(__file__).parents[3] / "NOTICE").read_text()
    assert all(f"{name}.npz" in notice for name in SAMPLES)
    with pytest.raises(KeyError):
        sample_path("nobody")


def test_fps_instead_of_times(tmp_path: Path) -> None:
    recording = load_recording(saved(tmp_path, landmarks=np.zeros((3, 5, 4)), fps=10))
    assert recording.timestamps.tolist() == [0.0, 0.1, 0.2]
    assert recording.fps == pytest.approx(10)
    assert recording.pose(0).skeleton == "points"


def test_the_kind_names_the_skeleton(tmp_path: Path) -> None:
    recording = load_recording(saved(tmp_path, landmarks=np.zeros((3, 31, 4)), fps=10, kind="mocap31"))
    assert recording.pose(2).skeleton == "mocap31"
    assert Recording(np.zeros((1, 33, 4), dtype=np.float32), np.zeros(1)).fps == 30.0


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"poses": np.zeros((3, 33, 4))}, "landmarks: None - expected an array of this name, found poses"),
        ({"landmarks": np.zeros((3, 33, 4))}, "expected timestamps"),
        ({"landmarks": np.zeros((3, 33, 3)), "fps": 30}, r"shape \[3, 33, 3\] - expected \[T, N, 4\]"),
        ({"landmarks": np.zeros((0, 33, 4)), "fps": 30}, "T at least 1"),
        ({"landmarks": np.zeros((3, 33, 4)), "fps": 0}, "fps: 0.0 - expected more than 0"),
        ({"landmarks": np.zeros((3, 33, 4)), "fps": "fast"}, "fps: 'fast' - expected one number"),
        ({"landmarks": np.zeros((3, 33, 4)), "fps": [30, 30]}, r"fps: \[30, 30\] - expected one number"),
        ({"landmarks": np.zeros((3, 33, 4)), "timestamps": [0, 1]}, r"shape \[2\] - expected \[3\]"),
        ({"landmarks": np.zeros((3, 33, 4)), "timestamps": [0, 2, 1]}, "not rising"),
        ({"landmarks": np.array(["a"] * 3), "fps": 30}, "expected numbers"),
        (
            {"landmarks": np.zeros((3, 33, 4)), "fps": 30, "part_names": ["tail"], "part_offsets": [0, 33]},
            "part_names: tail - expected some of",
        ),
        (
            {"landmarks": np.zeros((3, 33, 4)), "fps": 30, "part_names": ["pose"], "part_offsets": [0]},
            "expected 2: each start, and the end",
        ),
    ],
)
def test_recordings_that_are_none(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    with pytest.raises(DataValidationError, match=message):
        load_recording(saved(tmp_path, **arrays))


def test_files_that_are_no_recordings(tmp_path: Path) -> None:
    with pytest.raises(DataValidationError, match="no such file"):
        load_recording(tmp_path / "nothing.npz")
    text = tmp_path / "text.npz"
    text.write_text("hello")
    with pytest.raises(DataValidationError, match=r"expected an \.npz of arrays"):
        load_recording(text)
    single = tmp_path / "single.npy"
    np.save(single, np.zeros(3))
    with pytest.raises(DataValidationError, match="this is a single array"):
        load_recording(single)
    pickled = tmp_path / "pickled.npz"
    np.savez(pickled, landmarks=np.array([{"a": 1}], dtype=object))
    with pytest.raises(DataValidationError, match=r"expected an \.npz of arrays"):
        load_recording(pickled)


def test_synthetic_motion_is_the_same_for_the_same_seed_and_moves() -> None:
    one, same, other = SyntheticMotion(seed=1), SyntheticMotion(seed=1), SyntheticMotion(seed=2)
    assert one.pose(7) == same.pose(7)
    assert one.pose(7) != other.pose(7)
    landmarks = [one.pose(index).pose_landmarks for index in (0, 8)]
    assert landmarks[0] is not None
    assert landmarks[1] is not None
    assert np.abs(landmarks[1] - landmarks[0]).max() > 0.02
    assert len(one) == 300


async def test_playback_keeps_order_loops_and_ends() -> None:
    motion = Recording(np.arange(12, dtype=np.float32).reshape(3, 1, 4), TIMES, skeleton="points")

    async def firsts(**options: Any) -> list[float]:
        poses = [frame.pose.pose_landmarks async for frame in Playback(motion, fps=1000, **options)]
        return [float(pose[0, 0]) for pose in poses if pose is not None]

    assert await firsts(loop=False) == [0, 4, 8]
    # Three frames last 3 ms at 1,000 a second: six frames lie before 5.5 ms.
    assert await firsts(seconds=0.0055) == [0, 4, 8, 0, 4, 8]


@pytest.mark.parametrize("options", [{"fps": 0}, {"fps": 2000}, {"seconds": 0}, {"seconds": -1}])
def test_paces_that_cannot_be(options: dict[str, float]) -> None:
    with pytest.raises(DataValidationError, match="expected more than 0"):
        Playback(SyntheticMotion(), **options)  # type: ignore[arg-type]


class Time:
    """A clock that the test moves, and sleeping that moves it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds = 50.0
        monkeypatch.setattr("posewire.clock.monotonic", lambda: self.seconds)
        monkeypatch.setattr("posewire.clock.now", lambda: self.seconds + 1e9)
        monkeypatch.setattr("posewire.sources.playback.asyncio.sleep", self.sleep)

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds


def number_of(frame: SourceFrame) -> int:
    assert frame.pose.pose_landmarks is not None
    return int(frame.pose.pose_landmarks[0, 0])


def counting(frames: int) -> Recording:
    landmarks = np.repeat(np.arange(frames, dtype=np.float32), 4).reshape(frames, 1, 4)
    return Recording(landmarks, np.arange(frames) / 10, skeleton="points")


async def test_frames_are_stamped_with_the_time_they_were_due(monkeypatch: pytest.MonkeyPatch) -> None:
    time = Time(monkeypatch)
    stamps = []
    async for frame in Playback(counting(3), seconds=0.55):
        time.seconds += 0.13  # what the consumer does: every frame is later than the one before
        stamps.append(round(frame.timestamp - 50 - 1e9, 3))
    assert stamps == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]


async def test_a_consumer_that_is_far_behind_gets_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    time = Time(monkeypatch)
    playback = Playback(counting(30))
    assert number_of(await anext(playback)) == 0
    time.seconds += 0.45
    assert number_of(await anext(playback)) == 1, "a hiccup loses nothing"
    time.seconds += 0.65
    # 1.1 s: what was due half a second ago is the oldest that goes.
    assert number_of(await anext(playback)) == 6
    assert playback.skipped == 4
    time.seconds += 300 * 3
    assert number_of(await anext(playback)) == 6
    assert playback.skipped == 4 + 300 * 30 - 1


async def test_the_last_frame_is_not_skipped_when_there_is_no_other_round(monkeypatch: pytest.MonkeyPatch) -> None:
    time = Time(monkeypatch)
    playback = Playback(counting(5), loop=False)
    await anext(playback)
    time.seconds += 1000
    assert [number_of(frame) async for frame in playback] == [4]
    assert playback.skipped == 3


async def test_a_closed_playback_is_over_and_a_cancelled_wait_loses_nothing() -> None:
    async with Playback(counting(5)) as playback:
        assert number_of(await anext(playback)) == 0
        waiting = asyncio.create_task(anext(playback))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert number_of(await anext(playback)) == 1
    assert [frame async for frame in playback] == []
