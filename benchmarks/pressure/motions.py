"""The poses and the sound that are sent, each telling its number.

The number is written into the visibilities of the body's last landmarks, a digit in the middle of a sixteenth, so that
a frame is known by the decoded pose alone; the last digit is a check on the others.
"""

from __future__ import annotations

import dataclasses
import functools
import random
from typing import Final

import numpy as np

from benchmarks.recordings import Clip, default_folder, load_clips
from posewire.protocol import PoseData

_RECORDINGS: Final = {"holistic": "holistic_face_talk_a", "pose33": "pose_taichi"}
_PACKAGED: Final = {"holistic": "signing", "pose33": "jump"}
_DIGITS: Final = 5
_FIRST: Final = 33 - _DIGITS
MAX_FRAMES: Final = 16 ** (_DIGITS - 1)

AUDIO_BYTES: Final = 60
"""Of a chunk of 20 ms: 24 kbit/s, a stand-in for Opus."""
CHUNKS_PER_SECOND: Final = 50
_NUMBER_BYTES: Final = 4


@functools.cache
def clip(stream: str) -> Clip:
    """Return the recording behind a stream: the one beside the repository, else what ships in the package.

    Raises:
        RecordingError: Neither is there.
    """
    folder = default_folder()
    name = _RECORDINGS[stream]
    return load_clips(folder, names=[name if (folder / f"{name}.npz").exists() else _PACKAGED[stream]])[0]


def pose(stream: str, number: int) -> PoseData:
    """Return frame ``number`` of a stream's endless loop, numbered."""
    poses = clip(stream).poses
    given = poses[number % len(poses)]
    body = np.full((33, 4), 0.5, np.float32) if given.pose_landmarks is None else given.pose_landmarks.copy()
    # A body that was not found could not tell its number.
    body[_FIRST:] = np.nan_to_num(body[_FIRST:], nan=0.5)
    digits = [number >> 4 * place & 15 for place in range(_DIGITS - 1)]
    body[_FIRST:, 3] = (np.array([*digits, sum(digits) % 16]) + 0.5) / 16
    return dataclasses.replace(given, pose_landmarks=body, timestamp=0.0)


def number_of(given: PoseData) -> int | None:
    """Return the number of a pose; None when it cannot be read."""
    if given.pose_landmarks is None:
        return None
    values = given.pose_landmarks[_FIRST:, 3].tolist()
    if not all(0 <= value < 1 for value in values):
        return None
    *digits, check = (int(value * 16) for value in values)
    return sum(digit << 4 * place for place, digit in enumerate(digits)) if sum(digits) % 16 == check else None


def errors(sent: PoseData, got: PoseData) -> tuple[float, float]:
    """Return the largest error of x and y, and of z, in default steps; infinite where a part is missing."""
    worst_xy = worst_z = 0.0
    for name in ("pose_landmarks", "face_landmarks", "hand_landmarks"):
        one, other = getattr(sent, name), getattr(got, name)
        if one is None:
            continue
        if other is None or other.shape != one.shape:
            return float("inf"), float("inf")
        found = ~np.isnan(one[..., 0])
        difference = np.abs(one - other)[found]
        if np.isnan(difference[:, :3]).any():
            return float("inf"), float("inf")
        if len(difference):
            worst_xy = max(worst_xy, float(difference[:, :2].max()) * 2048)
            worst_z = max(worst_z, float(difference[:, 2].max()) * 512)
    return worst_xy, worst_z


class Sound:
    """Chunks of random int16 that begin with their number."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)

    def chunk(self, number: int) -> bytes:
        """Return the next chunk, with ``number``."""
        return number.to_bytes(_NUMBER_BYTES, "little") + self._chance.randbytes(AUDIO_BYTES - _NUMBER_BYTES)


def chunk_number(data: bytes) -> int:
    """Return the number of a chunk."""
    return int.from_bytes(data[:_NUMBER_BYTES], "little")
