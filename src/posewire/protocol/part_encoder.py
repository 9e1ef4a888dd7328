"""One part of a pose in body version 3: from quantised values to header bytes and symbols."""

from __future__ import annotations

import math
from typing import Final

import msgspec
import numpy as np

from posewire.protocol.least_squares import Row, dot, inverse_of, times
from posewire.protocol.part_state import (
    AFFINE,
    AFFINE_K,
    AFFINE_LIMIT,
    AFFINE_ONE,
    ALL,
    INTRA,
    MASKED,
    MAX_LEVEL,
    MOTION,
    NOTHING,
    PAIR_LIMIT,
    PAIR_RANKS,
    PAIR_SIDE,
    PAIRS,
    RICE,
    SAME,
    SHARE_BIAS,
    TREE,
    ZERO,
    Bools,
    PartState,
    Shares,
    affine_shift,
    motion_shift,
    pair_parameters,
)
from posewire.protocol.rice import SYMBOL_LIMIT, Ints
from posewire.protocol.topology import LEVEL_BIAS, Floats, Topology

_AFFINE_FROM: Final = 64
"""Landmarks from which on twelve numbers for all of them may pay."""
_AFFINE_BITS: Final = 120
"""What the twelve numbers cost, about."""
_MOTION_BITS: Final = 16
"""What the shares of motion cost."""
_FAR: Final = 64.0
"""Mean residual, in steps, from which on a part is tried without its reference: a cut, another person."""
_PAIRS_BELOW: Final = 1.2
"""Mean residual below which pairs are tried."""
_AFFINE_KS: Final = np.full(12, AFFINE_K, dtype=np.int64)
_UNITS: Final = (1.0, AFFINE_ONE, AFFINE_ONE, AFFINE_ONE)
_RIGID: Final = 1e-9
"""Part of the reference's motion from which on affine motion is all there is of it."""


class CodedPart(msgspec.Struct, gc=False):
    """A part ready to be packed.

    Attributes:
        head: Mode, flags and what goes with them.
        symbols: Groups of symbols.
        ks: Their Rice parameters.
        q: The values as the other side will know them.
    """

    head: bytes
    symbols: list[Ints]
    ks: list[Ints]
    q: Floats


class PartReference(msgspec.Struct, gc=False):
    """A part that others refer to, and what the encoder works out of it once.

    Attributes:
        state: The part as the decoder has it.
        columns: ``[4, N]``: ones, then the basis.
        inverse: A residual times the columns, summed, times it is the affine motion that fits best.
        ways: ``[3, N]``: the motion; for a small part less the parents'.
        affine_ways: The affine motion that fits the motion best.
        lengths: Square of what affine motion leaves of the motion, by channel; 0 where that is nothing.
    """

    state: PartState
    columns: Floats | None = None
    inverse: tuple[Row, ...] = ()
    ways: Floats | None = None
    affine_ways: tuple[Row, ...] = ()
    lengths: tuple[float, ...] = (0.0, 0.0, 0.0)

    def solve(self, topology: Topology) -> None:
        """Work it out; called on first use, since most references of an idle stream are never used."""
        state = self.state
        self.ways = ways = state.motion
        if topology.count >= _AFFINE_FROM:
            self.columns = columns = np.ones((4, topology.count))
            columns[1:] = state.basis
            self.inverse = inverse_of((columns @ columns.T).tolist())
            if ways is not None:
                squares = (ways * ways).sum(axis=1).tolist()
                sums = (ways @ columns.T).tolist()
                self.affine_ways = tuple(times(row, self.inverse) for row in sums)
                left = [
                    square - dot(row, fit) for square, row, fit in zip(squares, sums, self.affine_ways, strict=True)
                ]
                self.lengths = tuple(
                    length if length > _RIGID * square else 0.0 for length, square in zip(left, squares, strict=True)
                )
        elif ways is not None:
            self.ways = ways = topology.differences(ways)
            self.lengths = tuple((ways * ways).sum(axis=1).tolist())


class _Residual(msgspec.Struct, gc=False):
    """What prediction leaves.

    Attributes:
        values: ``[4, N]``; x, y and z less the parent's where ``flags`` say `TREE`.
        flags: How it was predicted.
        extra: Shares of motion, packed.
        coefficients: Of affine motion, ``[3, 4]``.
    """

    values: Floats
    flags: int
    extra: bytes = b""
    coefficients: Floats | None = None


def encode_part(q: Floats, found: Bools | None, reference: PartReference | None, topology: Topology) -> CodedPart:
    """Return a part coded against ``reference``, or without it where that is better.

    Args:
        q: ``[4, N]`` whole numbers within `VALUE_LIMIT`; any where not found. Kept, not copied.
        found: Landmarks and visibilities that are there, ``[2, N]``; None where all are.
        reference: The part in the frame referred to; None in a keyframe.
        topology: How the landmarks hang together.
    """
    if found is not None and not found.any():
        held = np.zeros_like(q) if reference is None else reference.state.q
        return CodedPart(bytes((NOTHING,)), [], [], held)
    mode, mask, masks = ALL, None, b""
    if found is not None:
        mask = found[[0, 0, 0, 1]]
        before = None if reference is None else reference.state.found
        if before is not None and np.array_equal(found, before):
            mode = SAME
        else:
            mode, masks = MASKED, np.packbits(found, axis=1).tobytes()
    if reference is None or not reference.state.known:
        return _intra(q, mask, mode, masks, topology)
    if mask is not None:
        q = np.where(mask, q, reference.state.q)
    if topology.count < _AFFINE_FROM:
        residual = _small_part(q, mask, reference, topology)
    else:
        residual = _large_part(q, mask, reference, topology)
    means = _means(residual, topology)
    if max(means) < _FAR:
        return _finish(q, residual, means, mode, masks, topology)
    alone = _intra(q, mask, mode, masks, topology)
    if np.abs(residual.values).max() >= SYMBOL_LIMIT // 2:
        return alone
    return min(_finish(q, residual, means, mode, masks, topology), alone, key=_bits)


def _intra(q: Floats, mask: Bools | None, mode: int, masks: bytes, topology: Topology) -> CodedPart:
    if mask is not None:
        # Whatever is cheap where nothing was found: the mean of what was.
        fill = np.floor((q * mask).sum(axis=1) / np.maximum(mask.sum(axis=1), 1))
        q = np.where(mask, q, fill[:, None])
    residual = _Residual(topology.differences(q), INTRA | TREE)
    return _finish(q, residual, _means(residual, topology), mode, masks, topology)


def _small_part(q: Floats, mask: Bools | None, reference: PartReference, topology: Topology) -> _Residual:
    """Predict by the reference, its parents' motion, and for a chain as much of the reference's motion as goes on.

    MediaPipe smooths what it sees: the reference's motion would save half a byte in a hundred, and take a fifth of the
    time. Motion capture has 20 % of its bytes from it.
    """
    state = reference.state
    values = q - state.q
    if mask is not None:
        values *= mask
    xyz = values[:3]
    moves = topology.differences(xyz)
    flags, extra = TREE, b""
    if topology.is_chain and state.motion is not None:
        shares = _shares(moves, reference, topology)
        if any(shares):
            shift = motion_shift(state.motion, shares)
            if mask is not None:
                shift *= mask[:3]
            xyz -= shift
            moves = topology.differences(xyz)
            flags, extra = TREE | MOTION, _pack_shares(shares)
    if topology.is_chain and not _smaller(moves, xyz):
        flags ^= TREE
    else:
        values[:3] = moves
    return _Residual(values, flags, extra)


def _large_part(q: Floats, mask: Bools | None, reference: PartReference, topology: Topology) -> _Residual:
    """Predict by the reference, as much of its motion as goes on, and the affine motion that fits best."""
    state = reference.state
    values = q - state.q
    if mask is not None:
        values *= mask
    xyz = values[:3]
    if reference.columns is None:
        reference.solve(topology)
    assert reference.columns is not None
    flags, extra = 0, b""
    sums = (xyz @ reference.columns.T).tolist()
    if state.motion is not None:
        parts = (xyz * state.motion).sum(axis=1).tolist()
        # Only what affine motion does not explain anyhow.
        x, y, z = (
            _share(_eighths(part - dot(row, fit), length))
            for part, row, fit, length in zip(parts, sums, reference.affine_ways, reference.lengths, strict=True)
        )
        shares = (x, y, z)
        if any(shares):
            shift = motion_shift(state.motion, shares)
            xyz -= shift if mask is None else shift * mask[:3]
            flags, extra = MOTION, _pack_shares(shares)
            sums = (xyz @ reference.columns.T).tolist()
    fits = [times(row, reference.inverse) for row in sums]
    coefficients = np.rint(np.array(fits) * _UNITS)
    if np.abs(coefficients).max() < AFFINE_LIMIT:
        left = xyz - affine_shift(state.basis, coefficients)
        if mask is not None:
            left *= mask[:3]
        # Half the logarithm of the variance is what a number costs, but for a constant.
        ratio = (float(np.vdot(xyz, xyz)) + xyz.size) / (float(np.vdot(left, left)) + xyz.size)
        if xyz.size * 0.5 * math.log2(ratio) > _AFFINE_BITS:
            values[:3] = left
            return _Residual(values, flags | AFFINE, extra, coefficients)
    moves = topology.differences(xyz)
    if _smaller(moves, xyz):
        values[:3] = moves
        flags |= TREE
    return _Residual(values, flags, extra)


def _shares(moves: Floats, reference: PartReference, topology: Topology) -> Shares:
    """Return how many eighths of the reference's motion are in ``moves``; none where they would not pay."""
    if reference.ways is None:
        reference.solve(topology)
    assert reference.ways is not None
    energies = [float(row.dot(row)) for row in moves]
    parts = [
        _eighths(float(row.dot(way)), length)
        for row, way, length in zip(moves, reference.ways, reference.lengths, strict=True)
    ]
    shares = (_share(parts[0]), _share(parts[1]), _share(parts[2]))
    saved = 0.0
    for share, part, energy, length in zip(shares, parts, energies, reference.lengths, strict=True):
        after = max(energy - (2 * part - share) * share * length / 64, 0.0)
        saved += math.log2((energy + topology.count) / (after + topology.count))
    return shares if saved * topology.count > 2 * _MOTION_BITS else (0, 0, 0)


def _eighths(part: float, length: float) -> float:
    return 8 * part / length if length > 0 else 0.0


def _share(eighths: float) -> int:
    return min(max(round(eighths), -SHARE_BIAS), SHARE_BIAS - 1)


def _pack_shares(shares: Shares) -> bytes:
    x, y, z = (share + SHARE_BIAS for share in shares)
    return (x | y << 5 | z << 10).to_bytes(2, "little")


def _smaller(moves: Floats, flat: Floats) -> bool:
    """Whether differences from the parents are the smaller numbers."""
    return float(((np.abs(moves).sum(axis=1) + 1) / (np.abs(flat).sum(axis=1) + 1)).prod()) < 1


def _means(residual: _Residual, topology: Topology) -> list[float]:
    """Return the mean size of each channel's numbers, brought to one level by the topology's weights."""
    sizes = np.abs(residual.values)
    if residual.flags & TREE:
        return [float(row.dot(weights)) / topology.count for row, weights in zip(sizes, topology.weights, strict=True)]
    return [float(np.add.reduce(row)) / topology.count for row in sizes]


def _finish(
    q: Floats, residual: _Residual, means: list[float], mode: int, masks: bytes, topology: Topology
) -> CodedPart:
    """Choose the levels of the channels and lay everything out."""
    symbols, ks = [], []
    if residual.coefficients is not None:
        symbols.append(_zigzag(residual.coefficients).ravel())
        ks.append(_AFFINE_KS)
    rows = _zigzag(residual.values)
    levels = 0
    for channel, mean in enumerate(means):
        if mean == 0:
            level = ZERO
        elif mean < _PAIRS_BELOW and (pairs := _paired(residual.values[channel], mean)) is not None:
            ranks, k = pairs
            level = PAIRS + k
            symbols.append(ranks)
            ks.append(pair_parameters(level, topology.count))
        else:
            level = _level(mean)
            symbols.append(rows[channel])
            ks.append(topology.parameters(channel, level, tree=bool(residual.flags & TREE)))
        levels |= level << 6 * channel
    head = bytes((mode | residual.flags,)) + residual.extra + levels.to_bytes(3, "little") + masks
    return CodedPart(head, symbols, ks, q)


def _level(mean: float) -> int:
    """Return the level that is best for numbers of this mean size; the factor was found on the recordings."""
    return min(max(round(4 * math.log2(1.9 * mean)) + LEVEL_BIAS, RICE), MAX_LEVEL)


def _paired(row: Floats, mean: float) -> tuple[Ints, int] | None:
    """Return the ranks of neighbours taken together and their Rice parameter; None where that is no smaller."""
    total = mean * len(row)
    # Weights are at least a quarter, so a small enough total needs no look at the numbers.
    if total > PAIR_LIMIT / 4 and np.abs(row).max() > PAIR_LIMIT:
        return None
    places = np.full((len(row) + 1) // 2, PAIR_RANKS.size / 2)
    places += row[::2] * PAIR_SIDE
    places[: len(row) // 2] += row[1::2]
    ranks = PAIR_RANKS[places.astype(np.int64)]
    together = int(np.add.reduce(ranks))
    k = min(max(round(math.log2(together / len(ranks))), 0), RICE - PAIRS - 1)
    return (ranks, k) if (together >> k) + (1 + k) * len(ranks) < 1.75 * total + len(row) else None


def _zigzag(values: Floats) -> Ints:
    """Return 0, -1, 1, -2 and so on as 0, 1, 2, 3 and so on."""
    whole = values.astype(np.int64)
    signs = whole >> 63
    whole <<= 1
    whole ^= signs
    return whole


def _bits(part: CodedPart) -> int:
    """Return about how many bits a part takes."""
    steps = sum(int(np.minimum(u >> k, 32).sum()) for u, k in zip(part.symbols, part.ks, strict=True))
    return steps + sum(int(k.sum()) + len(k) for k in part.ks)
