"""Numbers the frames of each stream, puts headers in front of bodies and seals around them."""

from __future__ import annotations

from posewire.errors import ProtocolError
from posewire.protocol.header import MAX_SEQ, Delivery, FrameType, Header, Kind, Seal
from posewire.protocol.seal import SealKey

EVENT_STREAM = 0
"""Every member has stream 0, for events; it need not be opened."""


class PacketWriter:
    """Writes the packets of one member; it knows the member's number, key, and the next seq of each of its streams."""

    def __init__(self) -> None:
        self.member = 0
        self._key: SealKey | None = None
        self._next_seq: dict[int, int] = {}

    def reset(self, member: int, key: SealKey | None = None) -> None:
        """Start as another member, with a key that has sealed nothing yet: a room was joined, or joined again."""
        self.member = member
        self._key = key
        self._next_seq.clear()

    def rekey(self, key: SealKey) -> None:
        """Seal with another key, which has sealed nothing yet, and go on counting."""
        self._key = key

    def next_seq(self, stream: int) -> int:
        """Return the number that the next frame of ``stream`` will have.

        Raises:
            ProtocolError: The stream has had its 2³² frames.
        """
        seq = self._next_seq.get(stream, 0)
        if seq > MAX_SEQ:
            raise ProtocolError("?", f"stream {stream} has no number left; join the room again")
        return seq

    def write(
        self,
        kind: Kind,
        delivery: Delivery,
        stream: int,
        *,
        version: int,
        captured_us: int,
        body: bytes,
        frame_type: FrameType = FrameType.KEY,
        ref: int = 0,
    ) -> bytes:
        """Return the packet of the next frame of ``stream``.

        Raises:
            ProtocolError: The stream has had its 2³² frames.
        """
        seq = self.next_seq(stream)
        self._next_seq[stream] = seq + 1
        key = self._key
        # A body of version 1 carries the specification's own signature; it needs no MAC.
        if key is None or (key.mode is Seal.MAC and version == 1):
            return Header(version, kind, delivery, frame_type, stream, self.member, seq, ref, captured_us).pack() + body
        header = Header(version, kind, delivery, frame_type, stream, self.member, seq, ref, captured_us, key.mode)
        return key.seal(header, body)
