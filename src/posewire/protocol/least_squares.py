"""The affine motion that fits best: least squares for four unknowns, in plain floats.

What goes in are sums of whole numbers over landmarks, exact in any order below 2 ** 53. What is reckoned here with the
handful of numbers they make has one order that is written down. So the compiled encoder, which takes its sums otherwise
than numpy, chooses the same to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

Row: TypeAlias = tuple[float, float, float, float]

_RIDGE: Final = 1e-3


def inverse_of(normal: list[list[float]]) -> tuple[Row, ...]:
    """Return the inverse of a normal matrix ``[4, 4]``, by Cholesky's factors without roots."""
    # Keeps it solvable when all landmarks lie in a plane, on a line or in a point.
    trace = normal[0][0] + normal[1][1] + normal[2][2] + normal[3][3]
    ridge = _RIDGE * (1 + 1e-7 * trace)
    lower = [[0.0] * 4 for _ in range(4)]
    pivots = [0.0] * 4
    for i in range(4):
        for j in range(i):
            rest = normal[i][j]
            for k in range(j):
                rest -= lower[i][k] * lower[j][k] * pivots[k]
            lower[i][j] = rest / pivots[j]
        pivot = normal[i][i] + ridge if i else normal[0][0]
        for k in range(i):
            pivot -= lower[i][k] * lower[i][k] * pivots[k]
        pivots[i] = pivot
    rows = []
    for column in range(4):
        row = [0.0] * 4
        for i in range(4):
            rest = 1.0 if i == column else 0.0
            for k in range(i):
                rest -= lower[i][k] * row[k]
            row[i] = rest
        for i in range(4):
            row[i] /= pivots[i]
        for i in (2, 1, 0):
            for k in range(i + 1, 4):
                row[i] -= lower[k][i] * row[k]
        rows.append((row[0], row[1], row[2], row[3]))
    return tuple(rows)


def times(row: Sequence[float], inverse: tuple[Row, ...]) -> Row:
    """Return a row times the inverse, which is symmetric."""
    return dot(row, inverse[0]), dot(row, inverse[1]), dot(row, inverse[2]), dot(row, inverse[3])


def dot(one: Sequence[float], other: Sequence[float]) -> float:
    """Return the sum of the products of four numbers."""
    # Not sum(): from Python 3.12 on it rounds otherwise.
    return one[0] * other[0] + one[1] * other[1] + one[2] * other[2] + one[3] * other[3]
