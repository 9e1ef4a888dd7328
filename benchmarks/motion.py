"""The poses that are sent: a real recording when it is there, else synthetic motion; each tells its number.

The number of run and frame is written into the visibilities of the last landmarks, so that a subscriber of any system
knows a frame by the decoded pose alone. A digit takes the middle of a sixteenth: coarse enough to survive a codec that
quantises visibility to 1/32.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Final

import numpy as np

from posewire.protocol.pose_data import Landmarks

ROOT: Final = Path(__file__).resolve().parents[1]
RECORDINGS: Final = (
    ROOT.parent / "shared" / "data" / "pose_jump_swing_90fps.npz",
    ROOT / "src" / "posewire" / "samples" / "jump.npz",
)
"""The same motion twice: beside the repository, and as it ships in the package."""

RUNS: Final = 16
MAX_FRAMES: Final = 16**5
_DIGITS: Final = 6
_FIRST_DIGIT: Final = 33 - _DIGITS


class Motion:
    """An endless loop of poses, float32 ``[33, 4]``.

    Args:
        landmarks: ``[T, 33, 4]``.
        source: Where they come from, for the report.
    """

    def __init__(self, landmarks: Landmarks, source: str) -> None:
        self.source = source
        self._landmarks = landmarks

    def frame(self, run: int, number: int) -> Landmarks:
        """Return a copy of the pose for frame ``number`` of run ``run``, numbered."""
        pose: Landmarks = self._landmarks[number % len(self._landmarks)].copy()
        code = run % RUNS * MAX_FRAMES + number
        for place in range(_DIGITS):
            pose[_FIRST_DIGIT + place, 3] = ((code >> 4 * place & 15) + 0.5) / 16
        return pose


def load_motion(seed: int) -> Motion:
    """Return the recording, or without it synthetic motion made of ``seed``."""
    for file in RECORDINGS:
        if file.exists():
            with np.load(file, allow_pickle=False) as data:
                landmarks = np.asarray(data["landmarks"], dtype=np.float32)
            return Motion(landmarks, f"recorded: {file.stem}")
    return Motion(_synthetic(seed), f"synthetic, seed {seed}")


def read_number(pose: Landmarks) -> tuple[int, int]:
    """Return run and number of a pose that `Motion.frame` made."""
    code = 0
    for place, visibility in enumerate(pose[_FIRST_DIGIT:, 3].tolist()):
        code |= int(visibility * 16) << 4 * place
    return divmod(code, MAX_FRAMES)


def _synthetic(seed: int, frames: int = 300) -> Landmarks:
    """Joints that swing about random places, with a tracker's noise."""
    rng = np.random.default_rng(seed)
    turn = 2 * math.pi * np.arange(frames)[:, None, None] / frames
    place, swing, phase = rng.uniform(0.2, 0.8, (33, 3)), rng.uniform(0, 0.1, (33, 3)), rng.uniform(0, 6.3, (33, 3))
    xyz = place + swing * np.sin(3 * turn + phase) + rng.normal(0, 0.0008, (frames, 33, 3))
    return np.concatenate([xyz, np.ones((frames, 33, 1))], axis=2).astype(np.float32)
