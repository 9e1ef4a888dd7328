"""What goes between a `TrackedSource` and the process that looks for it: a job one way, findings the other.

Each finding is four bytes of length, little-endian, and msgpack.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import msgspec

from posewire.errors import ProtocolError

GO: Final = b"g"
"""Written to the process when somebody asks for the first frame: the video starts then, not before."""
MAX_MESSAGE: Final = 1 << 20


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What to look at, and how."""

    video: str | None = None
    """A file; None: the camera."""
    camera: int = 0
    backend: str
    """The module that opens cameras and finds landmarks; see `backend.Backend`."""
    holistic: bool = False
    """Face and hands too."""
    complexity: int = 1
    """Of the model: 0 (light) to 2 (heavy)."""
    fps: float | None = None
    loop: bool = False
    seconds: float | None = None
    every_frame: bool = False

    @property
    def name(self) -> str:
        """What is looked at, for people."""
        return f"camera {self.camera}" if self.video is None else self.video


class Opened(msgspec.Struct, frozen=True, tag="opened"):
    """Camera and models are there.

    Attributes:
        width: Of the image.
        height: Of the image.
        fps: Frames a second, as the container or the driver says.
        frames: In the file, as the container says; 0 where it does not.
    """

    width: int
    height: int
    fps: float
    frames: int


class Seen(msgspec.Struct, frozen=True, tag="seen", gc=False):
    """One frame was looked at."""

    captured: float
    """Seconds of the monotonic clock, which all processes of a machine share."""
    tracking: float
    skipped: int
    """Frames so far that were not looked at."""
    body: bytes
    """The pose, as a body of version 2: float32, exact."""


class Ended(msgspec.Struct, frozen=True, tag="ended"):
    """There is no more."""

    skipped: int


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """It could not be done."""

    error: dict[str, Any]


Message: TypeAlias = Opened | Seen | Ended | Failed

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)


def framed(message: Message) -> bytes:
    """Return a message with its length before it."""
    data = _encoder.encode(message)
    return len(data).to_bytes(4, "little") + data


def taken(buffer: bytearray) -> list[Message]:
    """Take the whole messages out of what has arrived; the rest stays.

    Raises:
        ProtocolError: Something else is in it.
    """
    messages: list[Message] = []
    at = 0
    while len(buffer) - at >= 4:
        size = int.from_bytes(buffer[at : at + 4], "little")
        if size > MAX_MESSAGE:
            raise ProtocolError("tracker", f"a message of {size} bytes, expected at most {MAX_MESSAGE}")
        if len(buffer) - at - 4 < size:
            break
        try:
            messages.append(_decoder.decode(buffer[at + 4 : at + 4 + size]))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
            raise ProtocolError("tracker", f"undecodable message: {exc}") from exc
        at += 4 + size
    del buffer[:at]
    return messages
