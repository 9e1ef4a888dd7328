"""Puts headers in front of bodies and numbers the frames of each stream."""

from __future__ import annotations

from posewire.protocol.header import MAX_SEQ, Delivery, FrameType, Header, Kind

EVENT_STREAM = 0
"""Every member has stream 0, for events; it need not be opened."""


class PacketWriter:
    """Writes the packets of one member; it knows the member's number and the next seq of each of its streams."""

    def __init__(self) -> None:
        self.member = 0
        self._next_seq: dict[int, int] = {}

    def reset(self, member: int) -> None:
        """Start as another member: a room was joined, or joined again."""
        self.member = member
        self._next_seq.clear()

    def write(
        self, kind: Kind, delivery: Delivery, stream: int, *, version: int, captured_us: int, body: bytes
    ) -> bytes:
        """Return the packet of the next frame of ``stream``; all bodies of versions 1 and 2 are keyframes."""
        seq = self._next_seq.get(stream, 0)
        self._next_seq[stream] = (seq + 1) & MAX_SEQ
        header = Header(version, kind, delivery, FrameType.KEY, stream, self.member, seq, 0, captured_us)
        return header.pack() + body
