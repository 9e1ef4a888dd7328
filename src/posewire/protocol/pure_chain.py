"""The frames of a chain of body version 3, to bytes and back, in Python.

What the compiled codec (`_speedups.c`) does too, faster; this is what it is measured against.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np

from posewire.errors import ProtocolError
from posewire.protocol.part_decoder import PartPlan, finish_part, plan_part
from posewire.protocol.part_encoder import CodedPart, PartReference, encode_part
from posewire.protocol.part_state import ABSENT, INTRA, NOTHING, VALUE_LIMIT, Bools, PartState
from posewire.protocol.pose_data import Landmarks, PoseData
from posewire.protocol.pose_shape import PoseShape
from posewire.protocol.rice import pack, unpack
from posewire.protocol.topology import Floats, Topology

_Quantised: TypeAlias = tuple[Floats, Bools | None]

_ABSENT: Final = bytes((ABSENT,))
_SURELY_SMALL: Final = VALUE_LIMIT**2
_NO_SYMBOLS: Final = np.zeros(0, np.int64)


class PureFrame:
    """A keyframe or anchor, as those that refer to it need it."""

    __slots__ = ("parts",)

    def __init__(self, parts: list[PartReference]) -> None:
        self.parts = parts


class PureChain:
    """What all frames after a keyframe share, and the code between landmarks and bytes.

    Args:
        shape: What the keyframe says.
    """

    def __init__(self, shape: PoseShape) -> None:
        self._shape = shape
        self._scales = shape.scales()
        self._steps = [1.0 / scale[:, 0] for scale in self._scales]
        self._topologies = shape.topologies()
        self._landmarks = sum(shape.counts)

    def encode(
        self,
        start: bytes,
        pose: Landmarks | None,
        face: Landmarks | None,
        hands: Landmarks | None,
        before: object | None,
        most: int,
        keep: bool,
    ) -> tuple[bytes, PureFrame | None] | None:
        """Return a frame's bytes, and the frame where it is to be referred to.

        Args:
            start: What the bytes begin with.
            pose: Landmarks; None for a part that is not sent, but not in a keyframe.
            face: The same.
            hands: The same.
            before: The frame to refer to, which this chain made; None in a keyframe.
            most: Bytes from which on the pose had better travel raw.
            keep: Whether others are going to refer to it.

        Returns:
            None for a pose with other parts than the chain has; or one that is to travel raw, because a number is too
            large, or the bytes too many.
        """
        arrays = self._in_order(pose, face, hands)
        parts = None if arrays is None else self._quantised(arrays)
        if parts is None:
            return None
        references = self._references(before)
        coded = [_coded(*each) for each in zip(parts, references, self._topologies, strict=True)]
        body = _join(start, coded)
        if len(body) > most:
            return None
        return body, PureFrame(_kept(coded, parts, references)) if keep else None

    def decode(
        self, body: bytes, at: int, before: object | None, keep: bool, timestamp: float, skeleton: str
    ) -> tuple[PureFrame | None, PoseData]:
        """Return the frame where it is to be referred to, and its pose.

        Args:
            body: The frame's bytes.
            at: Where its parts begin.
            before: The frame it refers to, which this chain made; None in a keyframe.
            keep: Whether others are going to refer to it.
            timestamp: What the pose is stamped with, checked.
            skeleton: What its joints are.

        Raises:
            ProtocolError: The body is not what the header says.
        """
        references = self._references(before)
        states = [None if known is None else known.state for known in references]
        parts, absent = self._parts(body, at, states)
        if before is None and any(absent):
            raise ProtocolError("3", "a keyframe with a part that is not there")
        rest = iter(
            [
                None if gone else _landmarks(part, step)
                for part, step, gone in zip(parts, self._steps, absent, strict=True)
            ]
        )
        pose = next(rest) if self._shape.pose else None
        face = next(rest) if self._shape.face else None
        left, right = (next(rest), next(rest)) if self._shape.hand else (None, None)
        if (left is None) != (right is None):
            raise ProtocolError("3", "one hand sent without the other")
        hands = None if left is None or right is None else np.stack((left, right))
        if pose is None and face is None and hands is None:
            raise ProtocolError("3", "a frame without any part")
        made = PoseData.trusted(pose, face, hands, timestamp, skeleton)
        return PureFrame([PartReference(part) for part in parts]) if keep else None, made

    def _references(self, before: object | None) -> Sequence[PartReference | None]:
        if before is None:
            return [None] * len(self._topologies)
        assert isinstance(before, PureFrame)
        return before.parts

    def _in_order(
        self, pose: Landmarks | None, face: Landmarks | None, hands: Landmarks | None
    ) -> list[Landmarks | None] | None:
        """Return the arrays of the parts; None when they are not those of this chain."""
        parts: list[Landmarks | None] = []
        shape = self._shape
        for array, count in ((pose, shape.pose), (face, shape.face)):
            if array is not None and len(array) != count:
                return None
            if count:
                parts.append(array)
        if shape.hand:
            parts += (None, None) if hands is None else (hands[0], hands[1])
        return None if hands is not None and not shape.hand else parts

    def _quantised(self, arrays: list[Landmarks | None]) -> list[_Quantised | None] | None:
        """Return whole numbers ``[4, N]`` and what was found of each part; None when a number is too large for that."""
        parts: list[_Quantised | None] = []
        for values, scale in zip(arrays, self._scales, strict=True):
            if values is None:
                parts.append(None)
                continue
            q = np.empty((4, len(values)))
            with np.errstate(invalid="ignore"):  # a NaN that signals is a NaN
                np.multiply(values.T, scale, out=q)
            np.rint(q, out=q)
            found = None
            # One product tells that nothing is NaN or large, which is nearly always so.
            flat = q.ravel()
            if not flat.dot(flat) <= _SURELY_SMALL:
                there = ~np.isnan(q)
                q = np.where(there, q, 0.0)
                if np.abs(q).max() > VALUE_LIMIT:
                    return None
                if not there.all():
                    found = there[[0, 3]]
            parts.append((q, found))
        return parts

    def _parts(
        self, body: bytes, at: int, references: Sequence[PartState | None]
    ) -> tuple[list[PartState], list[bool]]:
        plans: list[PartPlan] = []
        for reference, topology in zip(references, self._topologies, strict=True):
            plan, at = plan_part(body, at, reference, topology)
            plans.append(plan)
        ks = [group for plan in plans for group in plan.ks]
        # What is longer than float32 travels as float32: a stranger's megabyte is not even looked at.
        if len(body) - at > 16 * self._landmarks:
            raise ProtocolError("3", f"{len(body)} bytes for {self._landmarks} landmarks")
        symbols = unpack(body[at:], np.concatenate(ks) if ks else _NO_SYMBOLS)
        parts = []
        for plan, reference, topology in zip(plans, references, self._topologies, strict=True):
            count = sum([len(group) for group in plan.ks])
            parts.append(finish_part(plan, symbols[:count], reference, topology))
            symbols = symbols[count:]
        return parts, [plan.absent for plan in plans]


def _coded(part: _Quantised | None, before: PartReference | None, topology: Topology) -> CodedPart:
    if part is not None:
        return encode_part(*part, before, topology)
    assert before is not None, "a keyframe has all parts of its chain"
    return CodedPart(_ABSENT, [], [], before.state.q)


def _kept(
    coded: list[CodedPart], parts: list[_Quantised | None], before: Sequence[PartReference | None]
) -> list[PartReference]:
    """Return the parts of a frame as the decoder keeps them."""
    kept = []
    for code, part, old in zip(coded, parts, before, strict=True):
        found = None if part is None else part[1]
        mode, flags = code.head[0] & 7, code.head[0] & ~7
        if mode in (ABSENT, NOTHING):
            state = PartState(code.q, found=found, known=old is not None and old.state.known)
        else:
            state = PartState(code.q, None if old is None or flags & INTRA else old.state.q, found)
        kept.append(PartReference(state))
    return kept


def _join(start: bytes, parts: list[CodedPart]) -> bytes:
    symbols = [group for part in parts for group in part.symbols]
    heads = start + b"".join([part.head for part in parts])
    if not symbols:
        return heads
    ks = [group for part in parts for group in part.ks]
    return heads + pack(np.concatenate(symbols), np.concatenate(ks))


def _landmarks(part: PartState, step: Floats) -> Landmarks:
    values = np.empty((part.q.shape[1], 4), np.float32)
    np.multiply(part.q.T, step, out=values, casting="same_kind")
    if part.found is not None:
        values[~part.found[0], :3] = np.nan
        values[~part.found[1], 3] = np.nan
    return values
