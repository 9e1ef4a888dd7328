"""A person who walks on the spot and waves: motion when there is no recording at hand."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from posewire.protocol import PoseData
from posewire.protocol.pose_data import Landmarks

# A standing person, x and y as in an image (y down), in MediaPipe's order of joints.
_STANDING: Final = np.array(
    [
        (0.500, 0.150), (0.508, 0.138), (0.513, 0.138), (0.519, 0.138), (0.492, 0.138), (0.487, 0.138),
        (0.481, 0.138), (0.529, 0.145), (0.471, 0.145), (0.511, 0.165), (0.489, 0.165), (0.570, 0.250),
        (0.430, 0.250), (0.605, 0.370), (0.395, 0.370), (0.620, 0.480), (0.380, 0.480), (0.628, 0.510),
        (0.372, 0.510), (0.620, 0.512), (0.380, 0.512), (0.612, 0.500), (0.388, 0.500), (0.540, 0.510),
        (0.460, 0.510), (0.545, 0.680), (0.455, 0.680), (0.545, 0.850), (0.455, 0.850), (0.540, 0.875),
        (0.460, 0.875), (0.560, 0.890), (0.440, 0.890),
    ],
    dtype=np.float32,
)  # fmt: skip

_LEFT_ARM: Final = [13, 15, 17, 19, 21]
_RIGHT_FOREARM: Final = [16, 18, 20, 22]
_LEFT_LEG: Final = [25, 27, 29, 31]
_RIGHT_LEG: Final = [26, 28, 30, 32]
_STEPS_PER_SECOND: Final = 0.9


class SyntheticMotion:
    """Endless-looking motion, the same for the same seed: a loop of ten seconds.

    Args:
        fps: Frames a second.
        seed: Of the tracker's noise.
    """

    skeleton = "mediapipe33"

    def __init__(self, fps: float = 30.0, *, seed: int = 0) -> None:
        self.fps = fps
        self.timestamps: npt.NDArray[np.float64] = np.arange(max(1, round(10 * fps))) / fps
        self._noise = np.random.default_rng(seed).normal(0, 0.0008, (len(self.timestamps), 33, 3)).astype(np.float32)

    def __len__(self) -> int:
        return len(self.timestamps)

    def pose(self, index: int) -> PoseData:
        """Return one frame; its timestamp is 0, "when it is sent"."""
        return PoseData(self._landmarks(index))

    def _landmarks(self, index: int) -> Landmarks:
        phase = 2 * math.pi * _STEPS_PER_SECOND * float(self.timestamps[index])
        xyz = np.zeros((33, 3), dtype=np.float32)
        xyz[:, :2] = _STANDING
        xyz[:, 1] += 0.008 * abs(math.sin(phase))  # the body sinks a little with each step
        for leg, side in ((_LEFT_LEG, 1.0), (_RIGHT_LEG, -1.0)):
            lift = max(0.0, side * math.sin(phase))
            xyz[leg, 1] -= lift * np.array([0.06, 0.10, 0.09, 0.08], dtype=np.float32)
            xyz[leg, 2] -= 0.25 * lift
        xyz[_LEFT_ARM, 2] -= 0.2 * math.sin(phase)
        xyz[_LEFT_ARM, 0] += 0.02 * math.sin(phase)
        self._wave(xyz, phase)
        xyz += self._noise[index]
        return np.hstack([xyz, np.ones((33, 1), dtype=np.float32)])

    @staticmethod
    def _wave(xyz: Landmarks, phase: float) -> None:
        """Raise the right forearm and turn it about the elbow."""
        xyz[14] = (0.345, 0.300, -0.05)
        angle = math.pi / 2 + 0.5 * math.sin(2 * phase)
        for joint, length in zip(_RIGHT_FOREARM, (0.11, 0.14, 0.145, 0.13), strict=True):
            xyz[joint] = xyz[14] + np.array([-length * math.cos(angle), -length * math.sin(angle), 0], dtype=np.float32)
