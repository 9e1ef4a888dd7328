"""Draws poses with Braille dots: two across and four down in every character cell."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from posewire.cli.skeletons import BONES, HAND, Y_UP, Bones
from posewire.protocol import PoseData

_BLANK: Final = 0x2800
# The bit of each dot in a cell, rows from above, left and right: Unicode, "Braille Patterns".
_BITS: Final = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]], dtype=np.int32)
_FOLLOW: Final = 0.15
"""Share of the way the view moves to where the person is, each frame: it follows without shaking."""

Points = npt.NDArray[np.float32]


class Canvas:
    """One person's picture; it keeps the person in view.

    Args:
        columns: Characters across.
        rows: Lines.
    """

    def __init__(self, columns: int, rows: int) -> None:
        self.columns = columns
        self.rows = rows
        self._centre: Points | None = None
        self._size = 0.0

    def draw(self, pose: PoseData | None) -> list[str]:
        """Return the lines of the picture; blank when nobody is there."""
        dots = np.zeros((self.rows * 4, self.columns * 2), dtype=bool)
        if pose is not None:
            self._draw_parts(dots, pose)
        cells = dots.reshape(self.rows, 4, self.columns, 2).transpose(0, 2, 1, 3)
        codes = _BLANK + (cells * _BITS).sum(axis=(2, 3))
        return ["".join(map(chr, row)) for row in codes.tolist()]

    def _draw_parts(self, dots: npt.NDArray[np.bool_], pose: PoseData) -> None:
        flip = -1.0 if pose.skeleton in Y_UP else 1.0
        parts: list[tuple[Points, Bones]] = []
        if pose.pose_landmarks is not None:
            parts.append((pose.pose_landmarks[:, :2], BONES.get(pose.skeleton, ())))
        if pose.face_landmarks is not None:
            parts.append((pose.face_landmarks[:, :2], ()))
        if pose.hand_landmarks is not None:
            parts += [(hand[:, :2], HAND) for hand in pose.hand_landmarks]
        parts = [(points * np.array([1.0, flip], dtype=np.float32), bones) for points, bones in parts]
        if not parts or not self._look_at(parts[0][0]):
            return
        for points, bones in parts:
            placed = self._place(points, dots.shape)
            if bones:
                starts, ends = np.array(bones).T
                _lines(dots, placed[starts], placed[ends])
            else:
                _lines(dots, placed, placed)

    def _look_at(self, points: Points) -> bool:
        """Follow the person; False when there is nobody to follow."""
        found = points[~np.isnan(points).any(axis=1)]
        if not len(found):
            return False
        low, high = found.min(axis=0), found.max(axis=0)
        centre, size = (low + high) / 2, float(max(high[1] - low[1], high[0] - low[0], 1e-3))
        if self._centre is None:
            self._centre, self._size = centre, size
        self._centre = self._centre + _FOLLOW * (centre - self._centre)
        # Growing at once, shrinking slowly: raised arms stay inside the picture.
        self._size = max(size, self._size + 0.02 * (size - self._size))
        return True

    def _place(self, points: Points, shape: tuple[int, ...]) -> Points:
        """Turn coordinates into dots: (column, row)."""
        assert self._centre is not None
        height, width = shape
        scale = 0.92 * min(height, width) / self._size
        placed: Points = (points - self._centre) * scale + np.array([width / 2, height / 2], dtype=np.float32)
        return placed


def _lines(dots: npt.NDArray[np.bool_], starts: Points, ends: Points) -> None:
    """Set the dots of straight lines; those with an end that was not found are left out."""
    known = ~(np.isnan(starts).any(axis=1) | np.isnan(ends).any(axis=1))
    starts, ends = starts[known], ends[known]
    if not len(starts):
        return
    length = min(512, int(np.abs(ends - starts).max()) + 2)
    along = np.linspace(0.0, 1.0, length, dtype=np.float32)[:, np.newaxis, np.newaxis]
    path = np.rint(starts + (ends - starts) * along).astype(np.int64).reshape(-1, 2)
    height, width = dots.shape
    inside = (path[:, 0] >= 0) & (path[:, 0] < width) & (path[:, 1] >= 0) & (path[:, 1] < height)
    dots[path[inside, 1], path[inside, 0]] = True
