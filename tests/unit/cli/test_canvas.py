"""A pose becomes dots where its joints are."""

from __future__ import annotations

import numpy as np
import pytest

from posewire import PoseData
from posewire.cli.canvas import Canvas
from posewire.cli.skeletons import BONES

BLANK = chr(0x2800)


def inked(lines: list[str]) -> set[tuple[int, int]]:
    return {(row, column) for row, line in enumerate(lines) for column, cell in enumerate(line) if cell != BLANK}


def test_nobody_is_blank() -> None:
    canvas = Canvas(10, 5)
    assert canvas.draw(None) == [BLANK * 10] * 5
    assert canvas.draw(PoseData(np.full((33, 4), np.nan))) == [BLANK * 10] * 5
    assert canvas.draw(PoseData(face_landmarks=np.full((468, 4), np.nan, dtype=np.float32))) == [BLANK * 10] * 5


def test_points_without_bones_are_dots_and_fill_the_picture() -> None:
    corners = np.array([[0, 0, 0, 1], [1, 0, 0, 1], [0, 1, 0, 1], [1, 1, 0, 1]], dtype=np.float32)
    lines = Canvas(20, 10).draw(PoseData(corners, skeleton="points"))
    cells = inked(lines)
    assert len(cells) == 4
    rows, columns = {row for row, _ in cells}, {column for _, column in cells}
    assert len(rows) == len(columns) == 2
    assert max(rows) - min(rows) >= 8
    assert all(len(line) == 20 for line in lines)


def test_bones_join_their_joints_and_missing_joints_leave_a_gap() -> None:
    pose = np.zeros((33, 4), dtype=np.float32)
    pose[:, 0] = np.linspace(0, 1, 33)
    pose[:, 1] = np.linspace(0, 1, 33)
    whole = inked(Canvas(20, 10).draw(PoseData(pose)))
    pose[10:20] = np.nan
    assert inked(Canvas(20, 10).draw(PoseData(pose))) < whole


def test_metres_with_y_up_are_turned_over() -> None:
    points = np.zeros((31, 4), dtype=np.float32)
    points[:, 1] = np.linspace(0, 1, 31)
    points[-1, 0] = 0.9  # a mark at the top
    up = inked(Canvas(20, 10).draw(PoseData(points, skeleton="mocap31")))
    down = inked(Canvas(20, 10).draw(PoseData(points, skeleton="points")))
    assert min(up, key=lambda cell: cell[0])[0] < 3
    assert max(column for row, column in up if row < 3) > 12
    assert max(column for row, column in down if row > 7) > 12


def test_the_view_follows_a_person_who_walks_away() -> None:
    canvas = Canvas(20, 10)
    pose = np.random.default_rng(0).random((33, 4)).astype(np.float32)
    for _ in range(60):
        lines = canvas.draw(PoseData(pose + np.array([5, 0, 0, 0], dtype=np.float32)))
    assert len(inked(lines)) > 10


@pytest.mark.parametrize(("skeleton", "joints"), [("mediapipe33", 33), ("hand21", 21), ("mocap31", 31)])
def test_bones_join_joints_that_exist(skeleton: str, joints: int) -> None:
    assert {joint for bone in BONES[skeleton] for joint in bone} <= set(range(joints))
