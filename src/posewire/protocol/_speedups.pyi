"""The compiled codec of body version 3; see `pure_chain` for what it does and `pose_codec` for when it is used."""

from typing import final

from posewire.protocol.pose_data import Landmarks, PoseData

REVISION: int

@final
class Frame:
    """A keyframe or anchor, as those that refer to it need it; made by a `Chain`, for that one."""

@final
class Chain:
    """What all frames after a keyframe share, and the code between landmarks and bytes: `PureChain`, compiled.

    Args:
        parts: Of each: landmarks; parents, offsets and weights (`Topology.tables`); float64 steps per unit.
        pose: Whether there is one; it is the first part.
        face: The same; the next.
        hands: The same; the last two.

    Raises:
        ValueError: Tables that do not fit together.
    """

    def __new__(
        cls, parts: list[tuple[int, bytes, bytes, bytes, bytes]], pose: bool, face: bool, hands: bool, /
    ) -> Chain: ...
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
    ) -> tuple[bytes, Frame | None] | None:
        """Return a frame's bytes, and the frame if it is to be kept; None if it does not fit or is to travel raw.

        Raises:
            TypeError: ``before`` is no frame of this chain.
            ValueError: Arrays that are not ``[..., 4]`` of float32; a keyframe without a part.
        """

    def decode(
        self, body: bytes, at: int, before: object | None, keep: bool, timestamp: float, skeleton: str, /
    ) -> tuple[Frame | None, PoseData]:
        """Return the frame if it is to be kept, and its pose, whose arrays are read-only for good.

        Raises:
            ProtocolError: The body is not what the header says.
            TypeError: ``before`` is no frame of this chain.
        """
