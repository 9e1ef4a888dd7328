"""Which code goes between landmarks and the bytes of body version 3: compiled where it was built, else Python.

The two make the same bytes and refuse the same ones. The compiled one is ten to thirty times faster; some eight times
when the processor did other things since the last frame, as between two frames of a camera.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache
from typing import Final, Protocol

from posewire.protocol.pose_data import Landmarks, PoseData
from posewire.protocol.pose_shape import PoseShape
from posewire.protocol.pure_chain import PureChain

try:
    from posewire.protocol import _speedups
except ImportError:
    _speedups = None  # type: ignore[assignment]

_REVISION: Final = 1
"""Of the compiled code: one left over from older sources is not used."""


class Chain(Protocol):
    """What `PureChain` says, whoever does it. Frames are of the chain that made them, and opaque."""

    def encode(
        self,
        start: bytes,
        pose: Landmarks | None,
        face: Landmarks | None,
        hands: Landmarks | None,
        before: object | None,
        most: int,
        keep: bool,
        /,
    ) -> tuple[bytes, object | None] | None:
        """Return a frame's bytes, and the frame if it is to be kept; None if it does not fit or is to travel raw."""

    def decode(
        self, body: bytes, at: int, before: object | None, keep: bool, timestamp: float, skeleton: str, /
    ) -> tuple[object | None, PoseData]:
        """Return the frame if it is to be kept, and its pose."""


@lru_cache(maxsize=64)
def pure_chain(shape: PoseShape) -> Chain:
    """Return a chain in Python. Chains do not change, and those of one shape are one."""
    return PureChain(shape)


@lru_cache(maxsize=64)
def compiled_chain(shape: PoseShape) -> Chain:
    """Return a chain in C; only where `available` says that there are any."""
    return _speedups.Chain(
        [
            (topology.count, *topology.tables, scale.tobytes())
            for topology, scale in zip(shape.topologies(), shape.scales(), strict=True)
        ],
        bool(shape.pose),
        bool(shape.face),
        bool(shape.hand),
    )


def available() -> bool:
    """Return whether the compiled code was built, from these sources."""
    return _speedups is not None and _speedups.REVISION == _REVISION


ACCELERATED: Final = available() and os.environ.get("POSEWIRE_PURE", "") in ("", "0")
"""Whether the compiled code is used. ``POSEWIRE_PURE=1`` in the environment leaves it alone."""

chain_of: Callable[[PoseShape], Chain] = compiled_chain if ACCELERATED else pure_chain
"""Makes the chain of a keyframe."""
