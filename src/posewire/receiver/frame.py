"""What a subscriber gets."""

from __future__ import annotations

from typing import Literal

import msgspec

from posewire.protocol import AudioChunk, PoseData

FrameKind = Literal["pose", "audio"]


class Frame(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One capture of another member.

    Attributes:
        user_id: Who sent it.
        kind: ``pose`` or ``audio``.
        stream: Name of the stream.
        seq: Number of the frame in its stream; a gap is a frame that did not come. Of an interpolated one: that of the
            last frame before it.
        timestamp: Capture time, seconds on this machine's clock (the scale of ``time.time()``) after clock sync; of an
            interpolated pose, the moment it is of.
        age: Seconds from capture to the moment the frame was delivered to the loop.
        size: Bytes of the packet of ``seq``.
        pose: The pose, when ``kind`` is ``pose``.
        audio: The sound, when ``kind`` is ``audio``.
        interpolated: Whether the pose was not captured, but made of those around it; see ``playout`` of
            `Session.frames`.
    """

    user_id: str
    kind: FrameKind
    stream: str
    seq: int
    timestamp: float
    age: float
    size: int
    pose: PoseData | None = None
    audio: AudioChunk | None = None
    interpolated: bool = False
