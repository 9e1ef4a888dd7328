"""The recordings a benchmark runs on: a folder of them, frame by frame."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

import posewire
from benchmarks.motion import ROOT
from posewire.errors import DataValidationError
from posewire.protocol import PoseData
from posewire.protocol.pose_data import DEFAULT_SKELETON, MEDIAPIPE_POSE
from posewire.recording import Recording, load_recording

_FOLDERS: Final = (ROOT.parent / "shared" / "data", Path(posewire.__file__).parent / "samples")
_EPOCH: Final = 1.0
"""Time of the first frame, seconds: 0 would mean "when it is sent"."""


class RecordingError(Exception):
    """There is no such recording, or it is none; says which file and why."""


@dataclasses.dataclass(frozen=True, slots=True)
class Clip:
    """The frames of a recording.

    Attributes:
        name: Of its file, without the extension.
        kind: Such as ``pose33``, ``holistic553``, ``hand21``.
        poses: Each with its capture time.
    """

    name: str
    kind: str
    poses: tuple[PoseData, ...]


def default_folder() -> Path:
    """Return the recordings beside the repository when they are there, else those that ship in the package."""
    return next((folder for folder in _FOLDERS if folder.is_dir()), _FOLDERS[-1])


def load_clips(folder: Path, *, names: Sequence[str] = (), frames: int | None = None) -> list[Clip]:
    """Read the recordings of ``folder``, in the order of their names.

    Args:
        folder: Every ``.npz`` in it is taken for a recording; other files are passed over.
        names: Only these; all when empty.
        frames: At most this many of each, from its start.

    Raises:
        RecordingError: A file is no recording, a name has no file, or there is nothing to read.
    """
    files = sorted(folder.glob("*.npz")) if folder.is_dir() else []
    if not files:
        raise RecordingError(f"{folder}: expected a folder of recordings (.npz)")
    known = {file.stem: file for file in files}
    if strange := [name for name in names if name not in known]:
        raise RecordingError(f"{folder}: no recording {strange[0]!r}; there are: {', '.join(known)}")
    return [_load_clip(file, frames) for name, file in known.items() if not names or name in names]


def _load_clip(file: Path, frames: int | None) -> Clip:
    try:
        recording = load_recording(file)
        count = min(frames or len(recording), len(recording))
        poses = tuple(_pose(recording, index) for index in range(count))
    except (DataValidationError, ValueError, zlib.error) as exc:
        raise RecordingError(f"{file}: {exc}") from exc
    return Clip(file.stem, _kind(recording, poses[0]), poses)


def _pose(recording: Recording, index: int) -> PoseData:
    time = _EPOCH + float(recording.timestamps[index] - recording.timestamps[0])
    try:
        return dataclasses.replace(recording.pose(index), timestamp=time)
    except ValueError as exc:
        raise ValueError(f"frame {index}: {exc}") from exc


def _kind(recording: Recording, pose: PoseData) -> str:
    count = np.shape(recording.landmarks)[1]
    if pose.skeleton != DEFAULT_SKELETON:
        return pose.skeleton
    return f"pose{count}" if count == MEDIAPIPE_POSE else f"holistic{count}"
