"""A piece of sound as Opus codes it."""

from __future__ import annotations

from typing import Final

import msgspec

from posewire.errors import DataValidationError

OPUS_RATE: Final = 48_000
"""Samples a second of all that comes out of an Opus decoder."""
OPUS_FRAME: Final = 960
"""Samples of a packet as we make them, for each channel: 20 ms."""
OPUS_LOOKAHEAD: Final = 312
"""Samples that a decoder's output is behind the encoder's input (RFC 7845, section 4.2: pre-skip; libopus: 6.5 ms)."""
MAX_OPUS_BYTES: Final = 4000
"""Of one packet; the largest frame has 1,275 (RFC 6716, section 3.4), and a packet may hold some."""


class OpusPacket(msgspec.Struct, frozen=True, gc=False):
    """One packet of Opus (RFC 6716), and perhaps the one before it once more.

    Attributes:
        data: The packet.
        channels: 1 or 2.
        number: Number of the packet in its stream, one more with each that was made: one that never left leaves a gap.
        previous: The packet with the number before, for who did not get it; empty when it is not sent again.
        timestamp: Capture time of the first sample that comes out of `data`, seconds.

    Raises:
        DataValidationError: One of them cannot be.
    """

    data: bytes
    channels: int
    number: int
    previous: bytes = b""
    timestamp: float = 0.0

    def __post_init__(self) -> None:
        if self.channels not in (1, 2):
            raise DataValidationError("channels", self.channels, "expected 1 or 2 of Opus")
        if not 0 <= self.number <= 0xFFFF_FFFF:
            raise DataValidationError("number", self.number, "expected 32 bits")
        if not 1 <= len(self.data) <= MAX_OPUS_BYTES or len(self.previous) > MAX_OPUS_BYTES:
            sizes = f"{len(self.data)} and {len(self.previous)} bytes"
            raise DataValidationError("opus", sizes, f"expected 1 to {MAX_OPUS_BYTES}")
