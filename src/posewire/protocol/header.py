"""The 19 bytes in front of every body: who, what, when. Readable by the server without touching the body."""

from __future__ import annotations

import enum
import struct
from typing import Final

import msgspec

from posewire.errors import ProtocolError

_LAYOUT: Final = struct.Struct("<BBBHIHQ")
HEADER_BYTES: Final = _LAYOUT.size
HEADER_FORMAT: Final = 1
"""High half of the first byte; the low half is the version of the body."""

BODY_VERSIONS: Final = (1, 2, 3)
MAX_SEQ: Final = 0xFFFF_FFFF


class Kind(enum.IntEnum):
    """What a stream carries."""

    POSE = 0
    AUDIO = 1
    EVENT = 2


class Delivery(enum.IntEnum):
    """What a late frame is worth."""

    LATEST = 0
    """The newest replaces an older one."""
    ORDERED = 1
    """First in, first out, with an age limit."""
    RELIABLE = 2
    """Acknowledged, in order."""


class FrameType(enum.IntEnum):
    """What a frame needs to be read."""

    KEY = 0
    """Nothing."""
    ANCHOR = 1
    """The frame ``ref`` names; later frames refer to it."""
    LEAF = 2
    """The frame ``ref`` names; nothing refers to it, so anyone may drop it."""


class Seal(enum.IntEnum):
    """What protects a body on its way; see `posewire.protocol.seal`."""

    NONE = 0
    """Nothing, or what is inside the body."""
    MAC = 1
    """An authentication code behind it."""
    AEAD = 2
    """Encryption that authenticates."""


class Header(msgspec.Struct, frozen=True, gc=False):
    """A packet's header.

    Attributes:
        version: Version of the body.
        kind: What the stream carries.
        delivery: What a late frame is worth.
        frame_type: What the frame needs to be read.
        stream: Number of the stream, given by the server to its member.
        member: Number of the member in its room, given by the server.
        seq: Number of the frame in its stream, from 0; one more with each frame that is sent.
        ref: How many frames back the frame lies that this one refers to; 0 for a keyframe.
        captured_us: Capture time on the server's clock, microseconds since 1970.
        seal: What protects the body on its way.
    """

    version: int
    kind: Kind
    delivery: Delivery
    frame_type: FrameType
    stream: int
    member: int
    seq: int
    ref: int
    captured_us: int
    seal: Seal = Seal.NONE

    def pack(self) -> bytes:
        """Return the header's bytes."""
        return _LAYOUT.pack(
            HEADER_FORMAT << 4 | self.version,
            self.kind | self.delivery << 2 | self.frame_type << 4 | self.seal << 6,
            self.stream,
            self.member,
            self.seq,
            self.ref,
            self.captured_us,
        )


def unpack_header(packet: bytes) -> Header:
    """Read the header at the start of ``packet``.

    Raises:
        ProtocolError: Too short, another format, an unknown version, or a bit pattern without a meaning.
    """
    try:
        first, flags, stream, member, seq, ref, captured_us = _LAYOUT.unpack_from(packet)
    except struct.error:
        raise ProtocolError("?", f"packet of {len(packet)} bytes is shorter than its header") from None
    version = first & 15
    if first >> 4 != HEADER_FORMAT or version not in BODY_VERSIONS:
        raise ProtocolError(f"{version}", f"unknown format {first >> 4}, body version {version}")
    try:
        kind, delivery, frame_type, seal = _FLAGS[flags]
    except KeyError:
        raise ProtocolError(f"{version}", f"flags {flags:#04x} have no meaning") from None
    return Header(version, kind, delivery, frame_type, stream, member, seq, ref, captured_us, seal)


_FLAGS: Final = {
    kind | delivery << 2 | frame_type << 4 | seal << 6: (kind, delivery, frame_type, seal)
    for kind in Kind
    for delivery in Delivery
    for frame_type in FrameType
    for seal in Seal
}
