"""The way in: is this packet from whom it says, whole, and new?"""

from __future__ import annotations

from typing import Final

from posewire.errors import ProtocolError
from posewire.protocol import body_v1
from posewire.protocol.header import HEADER_BYTES, Header, Seal
from posewire.protocol.replay_window import ReplayWindow, TimeWindow
from posewire.protocol.room_view import RoomMember
from posewire.protocol.seal import RoomSeal, SealKey

_MOST_PEERS: Final = 4096
"""Stays of members that are remembered; then the one heard longest ago is forgotten."""
_Stay = tuple[str, int, bytes]
"""One stay of a member: its name, number and salt."""


class _Peer:
    """What is known of one stay of a member: its key, and what of its streams was here already."""

    __slots__ = ("key", "seqs", "times")

    def __init__(self, key: SealKey) -> None:
        self.key = key
        self.seqs: dict[int, ReplayWindow] = {}
        self.times: dict[int, TimeWindow] = {}


class Opener:
    """Opens the packets of a room and takes none of them twice. Pure: the caller says what time it is.

    A member that left is not forgotten: whoever could make it leave and join again with the salt it had, the server
    for one, could replay all it ever said.

    Args:
        room: How the room seals.
        max_age: Seconds that the signed time of a v1 body may lie before or after the server's clock.
    """

    def __init__(self, room: RoomSeal, *, max_age: float) -> None:
        self.room = room
        self._key_id = room.key_id
        self._max_age_us = round(max_age * 1e6)
        self._peers: dict[_Stay, _Peer] = {}

    def open(self, header: Header, packet: bytes, member: RoomMember, *, signing_key: bytes, now: float) -> bytes:
        """Return ``packet`` of ``member`` as it was before it was sealed: header and plain body.

        Args:
            header: The packet's.
            packet: All of it.
            member: Who has the header's member number.
            signing_key: Checks v1 bodies.
            now: Seconds on the server's clock.

        Raises:
            ProtocolError: It is refused; ``reason`` is ``unsealed``, ``no_key``, ``wrong_key``, ``altered``, ``stale``,
                ``replayed``, or ``damaged`` for a v1 body that is none.
        """
        stay, peer, opened = self._unsealed(header, packet, member)
        if header.version == 1:
            self._check_v1(header, opened, peer, signing_key, round(now * 1e6))
        window = peer.seqs.get(header.stream)
        if window is None:
            window = peer.seqs[header.stream] = ReplayWindow()
        if not window.accept(header.seq):
            raise _refused(header, "replayed", f"frame {header.seq} was here already, or comes far too late")
        # Only who proved to be there is kept, the one heard last at the end.
        self._peers.pop(stay, None)
        self._peers[stay] = peer
        if len(self._peers) > _MOST_PEERS:
            del self._peers[next(iter(self._peers))]
        return opened

    def reopen(self, header: Header, packet: bytes, member: RoomMember) -> tuple[bytes, bool]:
        """Return a packet as `open` does, though it may have been here already, and whether it is new.

        For frames that later ones refer to. One that is not new must not be taken for what is happening now.

        Raises:
            ProtocolError: It is refused; ``reason`` is ``unsealed``, ``no_key``, ``wrong_key`` or ``altered``.
        """
        _, peer, opened = self._unsealed(header, packet, member)
        window = peer.seqs.get(header.stream)
        return opened, window is None or window.is_new(header.seq)

    def _unsealed(self, header: Header, packet: bytes, member: RoomMember) -> tuple[_Stay, _Peer, bytes]:
        self._check_mode(header, member)
        stay = (member.id, member.number, member.salt)
        peer = self._peers.get(stay) or _Peer(self.room.key_of(member.id, member.salt))
        opened = packet if header.seal is Seal.NONE else peer.key.open(packet)
        if opened is None:
            raise _refused(header, "altered", "the seal is broken")
        return stay, peer, opened

    def _check_mode(self, header: Header, member: RoomMember) -> None:
        if header.seal is Seal.AEAD and self.room.mode is not Seal.AEAD:
            raise _refused(header, "no_key", "encrypted under a room key, and we have none")
        if header.seal is Seal.NONE:
            # A body of version 1 has a signature of its own; a member without a salt cannot seal.
            if self.room.mode is Seal.AEAD or (member.salt and header.version != 1):
                raise _refused(header, "unsealed", "expected a seal")
        elif self.room.mode is not header.seal:
            raise _refused(header, "unsealed", "expected encryption under the room key")
        elif header.seal is Seal.AEAD and member.key_id != self._key_id:
            raise _refused(header, "wrong_key", f"{member.id} has another room key")
        elif not member.salt:
            raise _refused(header, "altered", f"a seal of {member.id}, who has no salt")

    def _check_v1(self, header: Header, opened: bytes, peer: _Peer, key: bytes, now_us: int) -> None:
        time_us = body_v1.check(
            opened[HEADER_BYTES:],
            key=key,
            now_us=now_us,
            captured_us=header.captured_us,
            max_age_us=self._max_age_us,
        )
        window = peer.times.get(header.stream)
        if window is None:
            window = peer.times[header.stream] = TimeWindow()
        if not window.accept(time_us):
            raise _refused(header, "replayed", "a message with this time was here already")


def _refused(header: Header, reason: str, why: str) -> ProtocolError:
    return ProtocolError(str(header.version), why, reason)
