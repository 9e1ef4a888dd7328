"""Body version 3, the receiving side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np

from posewire.errors import DataValidationError, ProtocolError
from posewire.protocol.header import MAX_SEQ, FrameType
from posewire.protocol.part_decoder import PartPlan, finish_part, plan_part
from posewire.protocol.part_state import PartState
from posewire.protocol.pose_data import Landmarks, PoseData, check_timestamp
from posewire.protocol.pose_shape import PoseShape, unpack_shape
from posewire.protocol.rice import unpack
from posewire.protocol.topology import Floats, Topology

_KEPT: Final = 4
"""Keyframes and anchors that are remembered: packets of different lanes may overtake each other."""


class MissingReference(ProtocolError):
    """The frame refers to one that did not come; a keyframe is needed."""

    def __init__(self, seq: int, reference: int) -> None:
        super().__init__("3", f"frame {seq} refers to frame {reference}, which did not come", "missing_reference")


class _Chain(msgspec.Struct, gc=False):
    """What all frames after a keyframe share."""

    shape: PoseShape
    topologies: list[Topology]
    steps: list[Floats]
    """``[4]`` each."""
    most_bytes: int
    """Of symbols: what is longer than float32 travels as float32."""


class _Reference(msgspec.Struct, gc=False):
    chain: _Chain
    parts: list[PartState]


class PoseDecoder:
    """Decodes the poses of one stream, in any order and with any frame lost: a frame is right, or refused."""

    def __init__(self) -> None:
        self._references: dict[int, _Reference] = {}

    def decode(self, frame_type: FrameType, seq: int, ref: int, body: bytes, *, timestamp: float) -> PoseData:
        """Return the pose in ``body``.

        Args:
            frame_type: From the header, like ``seq`` and ``ref``.
            seq: Number of the frame.
            ref: How many frames back its reference lies.
            body: The bytes after the header.
            timestamp: What the pose is stamped with.

        Raises:
            MissingReference: It refers to a frame that did not come.
            ProtocolError: The body is not what the header says.
        """
        if (frame_type is FrameType.KEY) != (ref == 0):
            raise ProtocolError("3", f"a {frame_type.name.lower()} that refers {ref} frames back")
        if frame_type is FrameType.KEY:
            return self._key(seq, body, timestamp)
        reference = self._references.get((seq - ref) & MAX_SEQ)
        if reference is None:
            raise MissingReference(seq, (seq - ref) & MAX_SEQ)
        chain = reference.chain
        parts, plans = self._parts(body, 0, chain, reference.parts)
        pose = _pose(chain, parts, [plan.absent for plan in plans], timestamp)
        if frame_type is FrameType.ANCHOR:
            self._keep(seq, _Reference(chain, parts))
        return pose

    def _key(self, seq: int, body: bytes, timestamp: float) -> PoseData:
        shape, raw, at = unpack_shape(body)
        if raw:
            return _raw_pose(shape, body[at:], timestamp)
        steps = [1.0 / scale[:, 0] for scale in shape.scales()]
        chain = _Chain(shape, shape.topologies(), steps, 16 * sum(shape.counts))
        parts, plans = self._parts(body, at, chain, [None] * len(chain.topologies))
        if any(plan.absent for plan in plans):
            raise ProtocolError("3", "a keyframe with a part that is not there")
        pose = _pose(chain, parts, [False] * len(parts), timestamp)
        self._keep(seq, _Reference(chain, parts))
        return pose

    @staticmethod
    def _parts(
        body: bytes, at: int, chain: _Chain, references: Sequence[PartState | None]
    ) -> tuple[list[PartState], list[PartPlan]]:
        plans: list[PartPlan] = []
        for reference, topology in zip(references, chain.topologies, strict=True):
            plan, at = plan_part(body, at, reference, topology)
            plans.append(plan)
        ks = [group for plan in plans for group in plan.ks]
        # A stranger's megabyte is not even looked at.
        if len(body) - at > chain.most_bytes:
            raise ProtocolError("3", f"{len(body)} bytes for {sum(chain.shape.counts)} landmarks")
        symbols = unpack(body[at:], np.concatenate(ks) if ks else _NO_SYMBOLS)
        parts = []
        for plan, reference, topology in zip(plans, references, chain.topologies, strict=True):
            count = sum([len(group) for group in plan.ks])
            parts.append(finish_part(plan, symbols[:count], reference, topology))
            symbols = symbols[count:]
        return parts, plans

    def _keep(self, seq: int, reference: _Reference) -> None:
        self._references.pop(seq, None)
        self._references[seq] = reference
        if len(self._references) > _KEPT:
            del self._references[next(iter(self._references))]


def _pose(chain: _Chain, parts: list[PartState], absent: list[bool], timestamp: float) -> PoseData:
    arrays = [
        None if gone else _landmarks(part, step) for part, step, gone in zip(parts, chain.steps, absent, strict=True)
    ]
    shape = chain.shape
    try:
        check_timestamp(timestamp)
    except DataValidationError as exc:
        raise ProtocolError("3", f"undecodable pose: {exc}") from exc
    rest = iter(arrays)
    pose = next(rest) if shape.pose else None
    face = next(rest) if shape.face else None
    left, right = (next(rest), next(rest)) if shape.hand else (None, None)
    if (left is None) != (right is None):
        raise ProtocolError("3", "one hand sent without the other")
    hands = None if left is None or right is None else np.stack((left, right))
    if pose is None and face is None and hands is None:
        raise ProtocolError("3", "a frame without any part")
    return PoseData.trusted(pose, face, hands, timestamp, shape.skeleton)


def _landmarks(part: PartState, step: Floats) -> Landmarks:
    values = np.empty((part.q.shape[1], 4), np.float32)
    np.multiply(part.q.T, step, out=values, casting="same_kind")
    if part.found is not None:
        values[~part.found[0], :3] = np.nan
        values[~part.found[1], 3] = np.nan
    return values


def _raw_pose(shape: PoseShape, data: bytes, timestamp: float) -> PoseData:
    counts = shape.counts
    if len(data) != 16 * sum(counts):
        raise ProtocolError("3", f"{len(data)} bytes for {sum(counts)} landmarks")
    values = np.frombuffer(data, "<f4").astype(np.float32).reshape(-1, 4)
    at = iter(np.split(values, np.cumsum(counts)[:-1]))
    pose = next(at) if shape.pose else None
    face = next(at) if shape.face else None
    hands = np.stack((next(at), next(at))) if shape.hand else None
    try:
        return PoseData(pose, face, hands, timestamp, shape.skeleton)
    except DataValidationError as exc:
        raise ProtocolError("3", f"undecodable pose: {exc}") from exc


_NO_SYMBOLS: Final = np.zeros(0, np.int64)
