"""Which landmark moves with which: what body version 3 takes differences along.

A joint carries its parent's motion, so what is left of its own motion after its parent's is small. How small, joint by
joint, is much the same for every person: `offsets` says it, in quarters of a doubling, as measured on the recordings.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from posewire.limits import MAX_LANDMARKS
from posewire.protocol.pose_data import MEDIAPIPE_HAND, MEDIAPIPE_POSE

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

LEVEL_BIAS: Final = 11
"""Levels on the wire are this much higher, so that they are not negative."""

# MediaPipe's 33: nose; eyes, ears and mouth; then left and right by turns from the shoulders to the toes.
_POSE_PARENTS: Final = (
    *(-1, 0, 1, 2, 0, 4, 5, 3, 6, 0, 9),
    *(0, 11, 11, 12, 13, 14, 15, 16, 17, 18, 15, 16),
    *(11, 12, 23, 24, 25, 26, 27, 28, 29, 30),
)
_POSE_XY: Final = (
    *(3, -5, -7, -7, -5, -7, -7, -4, -4, -5, -5),
    *(1, 1, 4, 4, 7, 7, 2, 2, -1, -1, 2, 2),
    *(3, 3, 5, 5, 4, 4, -1, -1, 2, 2),
)
_POSE_Z: Final = (
    *(7, -5, -11, -11, -5, -11, -11, 2, 2, -4, -4),
    *(5, 5, 5, 5, 6, 6, -2, -2, -1, -1, -4, -4),
    *(6, 6, 6, 6, 6, 6, -4, -4, 1, 1),
)
# A hand: wrist, then four joints of each finger.
_HAND_PARENTS: Final = (-1, 0, 1, 2, 3, 0, 5, 6, 7, 0, 9, 10, 11, 0, 13, 14, 15, 0, 17, 18, 19)
_HAND_XY: Final = (5, 0, 0, 0, 0, 3, 0, -2, -2, 2, 0, -1, -2, 3, 0, -2, -2, 3, -2, -3, -2)
_HAND_Z: Final = (-6, 0, -1, -1, -1, 4, 0, 0, -1, 4, 1, -1, -2, 4, 1, -1, -2, 4, 0, -1, -2)


class Topology:
    """Parents of a part's landmarks: the first has none, each other comes after its own.

    Attributes:
        count: Landmarks.
        offsets: int64 ``[4, count]``: log2 of how much a landmark's differences are above or below the part's, in
            quarters, for x, y, z and visibility.
        is_chain: Whether nobody said how they hang together, so each follows the last.
        weights: ``2 ** (-offsets / 4)``, which makes them comparable.
    """

    def __init__(self, parents: tuple[int, ...], xy: tuple[int, ...], z: tuple[int, ...]) -> None:
        self.count = len(parents)
        self.offsets = np.array([xy, xy, z, (0,) * self.count], dtype=np.int64)
        self.weights: Floats = 2.0 ** (-self.offsets / 4)
        self._parents = np.maximum(np.array(parents, dtype=np.intp), 0)
        self.is_chain = parents == _chain(self.count)
        self._parameters: dict[tuple[int, int], Ints] = {}
        self._path: Floats | None = None
        if not self.is_chain:
            path = np.eye(self.count)
            for joint, parent in enumerate(parents):
                if parent >= 0:
                    path[joint] += path[parent]
            self._path = np.ascontiguousarray(path.T)

    @property
    def tables(self) -> tuple[bytes, bytes, bytes]:
        """Parents (uint8), offsets (int8) and weights (float64), for the compiled codec; nothing for a chain."""
        if self.is_chain:
            return b"", b"", b""
        return self._parents.astype(np.uint8).tobytes(), self.offsets.astype(np.int8).tobytes(), self.weights.tobytes()

    def differences(self, values: Floats) -> Floats:
        """Return each landmark's values ``[..., count]`` less its parent's."""
        if self.is_chain:
            result = values.copy()
            result[..., 1:] -= values[..., :-1]
            return result
        result = values - values.take(self._parents, axis=-1)
        result[..., 0] = values[..., 0]
        return result

    def parameters(self, channel: int, level: int, *, tree: bool) -> Ints:
        """Return the Rice parameter of each landmark, ``[count]``, of a channel with this level.

        The array is shared and must not be changed.
        """
        if not tree or self.is_chain:
            return _SAME[max((level - LEVEL_BIAS) >> 2, 0)][: self.count]
        ks = self._parameters.get((channel, level))
        if ks is None:
            ks = np.maximum((self.offsets[channel] + (level - LEVEL_BIAS)) >> 2, 0)
            self._parameters[channel, level] = ks
        return ks

    def sums(self, differences: Floats) -> Floats:
        """Return what `differences` came from; whole numbers stay exact."""
        return differences.cumsum(axis=-1) if self._path is None else differences @ self._path


_SAME: Final = [np.full(MAX_LANDMARKS, k, dtype=np.int64) for k in range(16)]
"""Rows of one Rice parameter, to slice from."""


def _chain(count: int) -> tuple[int, ...]:
    return tuple(range(-1, count - 1))


@lru_cache(maxsize=64)
def topology(part: Literal["pose", "hand", "other"], count: int) -> Topology:
    """Return how a part hangs together: MediaPipe's body, its hand, or a chain where each landmark follows the last."""
    if part == "pose" and count == MEDIAPIPE_POSE:
        return Topology(_POSE_PARENTS, _POSE_XY, _POSE_Z)
    if part == "hand" and count == MEDIAPIPE_HAND:
        return Topology(_HAND_PARENTS, _HAND_XY, _HAND_Z)
    flat = (0,) * count
    return Topology(_chain(count), flat, flat)
