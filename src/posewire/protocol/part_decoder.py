"""One part of a pose in body version 3: from header bytes and symbols back to quantised values."""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np

from posewire.errors import ProtocolError
from posewire.protocol.part_state import (
    ABSENT,
    AFFINE,
    AFFINE_K,
    AFFINE_LIMIT,
    ALL,
    INTRA,
    MASKED,
    MOTION,
    NOTHING,
    PAIRS_BY_RANK,
    RICE,
    SAME,
    SHARE_BIAS,
    TREE,
    VALUE_LIMIT,
    ZERO,
    Bools,
    PartState,
    Shares,
    affine_shift,
    motion_shift,
    pair_parameters,
)
from posewire.protocol.rice import Ints
from posewire.protocol.topology import Floats, Topology

_AFFINE_KS: Final = np.full(12, AFFINE_K, dtype=np.int64)
_UNUSED: Final = 128


class _Group(msgspec.Struct, gc=False):
    """Symbols of a channel: one for each landmark, or one for two."""

    channel: int
    count: int
    pairs: bool


class PartPlan(msgspec.Struct, gc=False):
    """What the header bytes of a part say; `finish_part` wants its symbols.

    Attributes:
        mode: What there is of the part.
        found: Landmarks and visibilities that are there; None where all are, or the part is absent.
        flags: How it was predicted.
        shares: Of the reference's motion.
        groups: What its symbols are, apart from the coefficients of affine motion, which come first.
        ks: Rice parameters of its symbols, group after group.
    """

    mode: int
    found: Bools | None
    flags: int = 0
    shares: Shares = (0, 0, 0)
    groups: list[_Group] = []
    ks: list[Ints] = []

    @property
    def absent(self) -> bool:
        """Whether the part is not sent at all."""
        return self.mode == ABSENT


def plan_part(data: bytes, at: int, reference: PartState | None, topology: Topology) -> tuple[PartPlan, int]:
    """Read a part's header bytes at ``at``; returns also where the next part's begin.

    Raises:
        ProtocolError: They have no meaning, or none with this reference.
    """
    first = _take(data, at, 1)[0]
    at += 1
    mode, flags = first & 7, first & ~7
    if mode in (ABSENT, NOTHING) and not flags:
        found = None if mode == ABSENT else np.zeros((2, topology.count), np.bool_)
        return PartPlan(mode, found), at
    usable = reference is not None and reference.known
    moving = reference is not None and reference.motion is not None
    if (
        mode not in (ALL, SAME, MASKED)
        or flags & _UNUSED
        or (mode == SAME and (reference is None or reference.found is None or not reference.found.any()))
        or (flags & INTRA and flags & (AFFINE | MOTION))
        or not (flags & INTRA or usable)
        or (flags & MOTION and not moving)
    ):
        raise ProtocolError("3", f"part byte {first:#04x} has no meaning here")
    shares = (0, 0, 0)
    if flags & MOTION:
        bits = int.from_bytes(_take(data, at, 2), "little")
        if bits >> 15:
            raise ProtocolError("3", f"shares of motion {bits:#06x} have no meaning")
        shares = ((bits & 31) - SHARE_BIAS, (bits >> 5 & 31) - SHARE_BIAS, (bits >> 10) - SHARE_BIAS)
        at += 2
    packed = int.from_bytes(_take(data, at, 3), "little")
    levels = [packed >> shift & 63 for shift in (0, 6, 12, 18)]
    at += 3
    found = reference.found if mode == SAME and reference is not None else None
    if mode == MASKED:
        size = -(-topology.count // 8)
        found = np.stack([_bits(data, start, topology.count) for start in (at, at + size)])
        if found.all() or not found.any():
            raise ProtocolError("3", "masks that say what another mode says")
        at += 2 * size
    plan = PartPlan(mode, found, flags, shares, [], [_AFFINE_KS] if flags & AFFINE else [])
    tree = bool(flags & TREE)
    for channel, level in enumerate(levels):
        if level == ZERO:
            continue
        pairs = level < RICE
        ks = pair_parameters(level, topology.count) if pairs else topology.parameters(channel, level, tree=tree)
        plan.groups.append(_Group(channel, len(ks), pairs))
        plan.ks.append(ks)
    return plan, at


def finish_part(plan: PartPlan, symbols: Ints, reference: PartState | None, topology: Topology) -> PartState:
    """Return the part that ``symbols`` complete.

    Raises:
        ProtocolError: Values that no encoder makes.
    """
    if plan.mode in (ABSENT, NOTHING):
        if reference is None:
            return PartState(np.zeros((4, topology.count)), found=plan.found, known=False)
        return PartState(reference.q, found=plan.found, known=reference.known)
    numbers = _unzigzag(symbols)
    coefficients = None
    at = 0
    if plan.flags & AFFINE:
        coefficients, at = numbers[:12].reshape(3, 4), 12
    values = np.zeros((4, topology.count))
    for group in plan.groups:
        end = at + group.count
        values[group.channel] = _unpair(symbols[at:end], topology.count) if group.pairs else numbers[at:end]
        at = end
    if plan.flags & TREE:
        # Visibilities hang together only where nothing better is known of them.
        channels = 4 if plan.flags & INTRA else 3
        values[:channels] = topology.sums(values[:channels])
    if plan.flags & INTRA:
        q, before = values, None
    else:
        assert reference is not None
        q, before = _add_prediction(values, plan, coefficients, reference), reference.q
    flat = q.ravel()
    # One product tells that none is large, which is nearly always so.
    if flat.dot(flat) > VALUE_LIMIT**2 and np.abs(q).max() > VALUE_LIMIT:
        raise ProtocolError("3", f"a value beyond {VALUE_LIMIT:.0f} steps")
    return PartState(q, before, plan.found)


def _add_prediction(values: Floats, plan: PartPlan, coefficients: Floats | None, reference: PartState) -> Floats:
    if coefficients is not None:
        if np.abs(coefficients).max() >= AFFINE_LIMIT:
            raise ProtocolError("3", f"an affine motion beyond {AFFINE_LIMIT:.0f}")
        values[:3] += affine_shift(reference.basis, coefficients)
    if plan.flags & MOTION and reference.motion is not None:
        values[:3] += motion_shift(reference.motion, plan.shares)
    values += reference.q
    if plan.found is None:
        return values
    return np.where(plan.found[[0, 0, 0, 1]], values, reference.q)


def _unpair(ranks: Ints, count: int) -> Floats:
    try:
        return PAIRS_BY_RANK[ranks].ravel()[:count]
    except IndexError:
        raise ProtocolError("3", f"a pair of rank {ranks.max()}, of {len(PAIRS_BY_RANK)}") from None


def _unzigzag(symbols: Ints) -> Floats:
    signs = -(symbols & 1)
    return ((symbols >> 1) ^ signs).astype(np.float64)


def _take(data: bytes, at: int, count: int) -> bytes:
    taken = data[at : at + count]
    if len(taken) < count:
        raise ProtocolError("3", f"body of {len(data)} bytes is cut short")
    return taken


def _bits(data: bytes, at: int, count: int) -> Bools:
    taken = _take(data, at, -(-count // 8))
    bits = np.unpackbits(np.frombuffer(taken, np.uint8)).view(np.bool_)
    if bits[count:].any():
        raise ProtocolError("3", "a mask with more bits than landmarks")
    return bits[:count]
