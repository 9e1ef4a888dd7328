"""Which landmarks are joined by a bone."""

from __future__ import annotations

from typing import Final

Bones = tuple[tuple[int, int], ...]

# MediaPipe's POSE_CONNECTIONS and HAND_CONNECTIONS.
POSE: Final[Bones] = (
    (0, 1), (1, 2), (2, 3), (3, 7), (0, 4), (4, 5), (5, 6), (6, 8), (9, 10), (11, 12), (11, 13), (13, 15), (15, 17),
    (15, 19), (15, 21), (17, 19), (12, 14), (14, 16), (16, 18), (16, 20), (16, 22), (18, 20), (11, 23), (12, 24),
    (23, 24), (23, 25), (24, 26), (25, 27), (26, 28), (27, 29), (28, 30), (29, 31), (30, 32), (27, 31), (28, 32),
)  # fmt: skip
HAND: Final[Bones] = (
    (0, 1), (1, 2), (2, 3), (3, 4), (0, 5), (5, 6), (6, 7), (7, 8), (5, 9), (9, 10), (10, 11), (11, 12), (9, 13),
    (13, 14), (14, 15), (15, 16), (13, 17), (0, 17), (17, 18), (18, 19), (19, 20),
)  # fmt: skip

_CMU_PARENTS: Final = (
    -1, 0, 0, 0, 1, 4, 5, 6, 2, 8, 9, 10, 3, 12, 13, 13, 13, 14, 17, 15, 19, 20, 21, 21, 22, 16, 25, 26, 27, 27, 28,
)  # fmt: skip
CMU: Final[Bones] = tuple((parent, joint) for joint, parent in enumerate(_CMU_PARENTS) if parent >= 0)

BONES: Final[dict[str, Bones]] = {"mediapipe33": POSE, "hand21": HAND, "mocap31": CMU}
Y_UP: Final = frozenset({"mocap31"})
"""Skeletons in metres with y pointing up; images have y pointing down."""
