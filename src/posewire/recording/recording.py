"""Recorded motion in a file."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from posewire.errors import DataValidationError
from posewire.protocol import PoseData
from posewire.protocol.pose_data import DEFAULT_SKELETON, MEDIAPIPE_POSE, Landmarks
from posewire.values import path_of, shown

_PARTS: Final = ("pose", "face", "left_hand", "right_hand")


class Recording:
    """Poses with their times, seconds from 0.

    Args:
        landmarks: ``[T, N, 4]`` float32.
        timestamps: ``[T]`` seconds, rising.
        parts: Where each part begins on the N axis, by name (``pose``, ``face``, ``left_hand``, ``right_hand``), and
            where the last one ends as the last value; None when all of it is one body.
        skeleton: What the joints are when they are not MediaPipe's.

    Raises:
        DataValidationError: The shapes do not fit, or times go backwards.
    """

    def __init__(
        self,
        landmarks: Landmarks,
        timestamps: npt.NDArray[np.float64],
        *,
        parts: dict[str, slice] | None = None,
        skeleton: str = DEFAULT_SKELETON,
    ) -> None:
        if landmarks.ndim != 3 or landmarks.shape[2] != 4 or not len(landmarks):
            raise DataValidationError("landmarks", f"shape {list(landmarks.shape)}", "expected [T, N, 4], T at least 1")
        if timestamps.shape != landmarks.shape[:1]:
            raise DataValidationError(
                "timestamps", f"shape {list(timestamps.shape)}", f"expected [{len(landmarks)}], one for each frame"
            )
        if not np.isfinite(timestamps).all() or (np.diff(timestamps) <= 0).any():
            raise DataValidationError("timestamps", "not rising", "expected finite seconds, each more than the last")
        self.landmarks = landmarks
        self.timestamps = timestamps
        self.skeleton = skeleton
        self._parts = parts

    def __len__(self) -> int:
        return len(self.landmarks)

    def __iter__(self) -> Iterator[PoseData]:
        return (self.pose(index) for index in range(len(self)))

    @property
    def fps(self) -> float:
        """Mean frames a second."""
        return (len(self) - 1) / self.duration if len(self) > 1 else 30.0

    @property
    def duration(self) -> float:
        """Seconds from the first frame to the last."""
        return float(self.timestamps[-1] - self.timestamps[0])

    def pose(self, index: int) -> PoseData:
        """Return one frame; its timestamp is 0, "when it is sent"."""
        frame = self.landmarks[index]
        if self._parts is None:
            return PoseData(frame, skeleton=self.skeleton)
        named = {name: frame[where] for name, where in self._parts.items()}
        hands = None
        if "left_hand" in named and "right_hand" in named:
            hands = np.stack([named["left_hand"], named["right_hand"]])
        return PoseData(named.get("pose"), named.get("face"), hands, skeleton=self.skeleton)


def load_recording(path: str | os.PathLike[str]) -> Recording:
    """Read an ``.npz`` of ``landmarks`` ``[T, N, 4]`` with ``timestamps`` ``[T]`` (seconds) or ``fps``.

    ``part_names`` and ``part_offsets`` tell body, face and hands apart; ``kind`` names a skeleton not of MediaPipe.

    Raises:
        DataValidationError: No such file, not an ``.npz``, or not that in it; it names field, value and what was
            expected.
    """
    file = path_of(path)
    if file is None:
        raise DataValidationError("recording", shown(path), "expected the name of a file")
    try:
        data = np.load(file, allow_pickle=False)
        if not isinstance(data, np.lib.npyio.NpzFile):
            raise DataValidationError("recording", str(file), "expected an .npz, this is a single array")
        with data:
            found = {name: data[name] for name in data.files}
    except DataValidationError:
        raise
    except FileNotFoundError:
        raise DataValidationError("recording", str(file), "no such file") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as exc:
        raise DataValidationError("recording", str(file), f"expected an .npz of arrays: {exc}") from None
    landmarks = _landmarks(found)
    return Recording(
        landmarks, _times(found, len(landmarks)), parts=_parts(found), skeleton=_skeleton(found, landmarks)
    )


def _landmarks(found: dict[str, Any]) -> Landmarks:
    if "landmarks" not in found:
        raise DataValidationError("landmarks", None, f"expected an array of this name, found {', '.join(found)}")
    try:
        return np.asarray(found["landmarks"], dtype=np.float32)
    except (TypeError, ValueError):
        raise DataValidationError("landmarks", str(found["landmarks"].dtype), "expected numbers") from None


def _times(found: dict[str, Any], count: int) -> npt.NDArray[np.float64]:
    try:
        if "timestamps" in found:
            return np.asarray(found["timestamps"], dtype=np.float64)
    except (TypeError, ValueError):
        raise DataValidationError("timestamps", "not numbers", "expected timestamps [T], or fps") from None
    if "fps" not in found:
        raise DataValidationError("timestamps", None, "expected timestamps [T], or fps")
    try:
        fps = float(found["fps"])
    except (TypeError, ValueError):
        raise DataValidationError("fps", shown(found["fps"].tolist()), "expected one number") from None
    if not 0 < fps <= 1000:
        raise DataValidationError("fps", fps, "expected more than 0, at most 1000")
    return np.arange(count) / fps


def _parts(found: dict[str, Any]) -> dict[str, slice] | None:
    if "part_names" not in found or "part_offsets" not in found:
        return None
    names: Sequence[str] = [str(name) for name in found["part_names"]]
    offsets = [int(offset) for offset in found["part_offsets"]]
    if strange := [name for name in names if name not in _PARTS]:
        raise DataValidationError("part_names", strange[0], f"expected some of {', '.join(_PARTS)}")
    if len(offsets) != len(names) + 1:
        raise DataValidationError("part_offsets", offsets, f"expected {len(names) + 1}: each start, and the end")
    return {name: slice(offsets[index], offsets[index + 1]) for index, name in enumerate(names)}


def _skeleton(found: dict[str, Any], landmarks: Landmarks) -> str:
    if landmarks.ndim != 3 or landmarks.shape[1] == MEDIAPIPE_POSE or "part_names" in found:
        return DEFAULT_SKELETON
    return str(found.get("kind", "points"))
