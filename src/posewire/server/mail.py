"""A packet on its way through the server."""

from __future__ import annotations

from typing import Final

from posewire.protocol import FrameType, Header, Kind, unwrap_frame
from posewire.server.fast_path import Outgoing

_SEQS: Final = 1 << 32


class Mail:
    """A packet with what a recipient's mailbox has to know of it; made once for all recipients.

    Attributes:
        outgoing: The packet, encoded. Kept in this form only.
        size: Bytes of the packet.
        kind: What its stream carries.
        frame_type: Whether others refer to it.
        key: Stands for its stream in the room.
        seq: Its number in the stream.
        reference: Number of the frame it refers to; its own for a keyframe.
        captured: Capture time, seconds on the server's clock.
    """

    __slots__ = ("captured", "frame_type", "key", "kind", "outgoing", "reference", "seq", "size")

    def __init__(self, header: Header, packet: bytes, outgoing: Outgoing) -> None:
        self.outgoing = outgoing
        self.size = len(packet)
        self.kind: Kind = header.kind
        self.frame_type: FrameType = header.frame_type
        self.key = header.member << 8 | header.stream
        self.seq = header.seq
        self.reference = (header.seq - header.ref) % _SEQS
        self.captured = header.captured_us / 1e6

    @property
    def packet(self) -> bytes:
        """The packet, copied."""
        packet = unwrap_frame(self.outgoing.message)
        assert packet is not None
        return packet
