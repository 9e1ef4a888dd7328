"""What both sides of body version 3 know of a part of a pose, and what they predict from it.

Everything is a whole number held in float64, far below 2 ** 53: sums, products and floors are exact, and the two sides
agree to the last bit in any language with doubles.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from posewire.limits import MAX_LANDMARKS
from posewire.protocol.topology import Floats, Ints

Bools: TypeAlias = npt.NDArray[np.bool_]
Shares: TypeAlias = tuple[int, int, int]
"""Eighths, of x, y and z."""

VALUE_LIMIT: Final = float((1 << 23) - 1)
"""Quantised values lie within it, either side of zero; a pose with larger ones travels as float32."""

ABSENT, NOTHING, ALL, SAME, MASKED = range(5)
"""Modes of a part, bits 0 to 2 of its first byte: not sent; nothing found; all found; the same landmarks found as in
the reference; masks follow."""
INTRA, TREE, AFFINE, MOTION = 8, 16, 32, 64
"""Flags beside the mode: without its reference; differences from parents; affine motion; the reference's own motion."""

SHARE_BIAS: Final = 16
"""Shares of motion, -16 to 15 eighths, are this much higher on the wire."""

AFFINE_ONE: Final = 4096.0
"""Unit of the matrices of affine motion."""
AFFINE_K: Final = 6
"""Rice parameter of their symbols."""
AFFINE_LIMIT: Final = float(1 << 22)

ZERO: Final = 0
"""The six bits of a channel: nothing but zeros; from 1, pairs with Rice parameter 0 …; from `RICE`, its level."""
PAIRS: Final = 1
RICE: Final = 6
MAX_LEVEL: Final = 63
PAIR_LIMIT: Final = 15
"""Largest number in a pair."""
PAIR_SIDE: Final = 2 * PAIR_LIMIT + 1


class PartState:
    """One part in a frame that others refer to.

    Attributes:
        q: ``[4, N]`` quantised x, y, z and visibility; where missing, what they were before.
        before: ``q`` of the frame it referred to; None where that tells nothing.
        found: ``[2, N]``: landmarks and visibilities that are there; None where all are.
        known: Whether ``q`` was ever coded; before, it is zero and no help.
    """

    __slots__ = ("_basis", "_motion", "before", "found", "known", "q")

    def __init__(
        self, q: Floats, before: Floats | None = None, found: Bools | None = None, *, known: bool = True
    ) -> None:
        self.q = q
        self.before = before
        self.found = found
        self.known = known
        self._basis: Floats | None = None
        self._motion: Floats | None = None

    @property
    def motion(self) -> Floats | None:
        """x, y and z less those before, ``[3, N]``; worked out on first use, for most frames are never referred to."""
        if self._motion is None and self.before is not None:
            self._motion = self.q[:3] - self.before[:3]
        return self._motion

    @property
    def basis(self) -> Floats:
        """x, y and z around their mean, ``[3, N]``: what affine motion turns."""
        if self._basis is None:
            xyz = self.q[:3]
            self._basis = xyz - np.floor(xyz.sum(axis=1, keepdims=True) / xyz.shape[1])
        return self._basis


def motion_shift(motion: Floats, shares: Shares) -> Floats:
    """Return ``shares`` of a motion, ``[3, N]``.

    A positive share goes on as before; a negative one goes back, which averages out the tracker's noise.
    """
    shift = motion * np.array(shares, dtype=np.float64)[:, None]
    # floor(x / 8 + 1 / 2) by one division.
    shift += 4
    shift /= 8
    return np.floor(shift, out=shift)


def affine_shift(basis: Floats, coefficients: Floats) -> Floats:
    """Return the motion ``[3, N]`` of ``coefficients`` ``[3, 4]``: in each row a translation, then a matrix's."""
    shift = coefficients[:, 1:] @ basis
    shift += AFFINE_ONE / 2
    shift /= AFFINE_ONE
    np.floor(shift, out=shift)
    shift += coefficients[:, :1]
    return shift


def _pair_ranks() -> tuple[npt.NDArray[np.int64], Floats]:
    side = np.arange(-PAIR_LIMIT, PAIR_LIMIT + 1)
    first, second = (part.ravel() for part in np.meshgrid(side, side, indexing="ij"))
    order = np.lexsort((second, first, first * first + second * second))
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.arange(len(order))
    return ranks, np.stack((first[order], second[order]), axis=1).astype(np.float64)


def pair_parameters(level: int, count: int) -> Ints:
    """Return the Rice parameters of the pairs of ``count`` landmarks at a level from `PAIRS` to below `RICE`."""
    return _PAIR_KS[level - PAIRS][: (count + 1) // 2]


_PAIR_KS: Final = [np.full(MAX_LANDMARKS // 2, k, dtype=np.int64) for k in range(RICE - PAIRS)]
PAIR_RANKS, PAIRS_BY_RANK = _pair_ranks()
"""Pairs of small numbers by their distance from zero, then the first, then the second. Two numbers of a bell shape make
a rank of a geometric one, which Rice codes are made for; alone, each would cost a bit at least."""
