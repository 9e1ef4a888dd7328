"""The keys and salts of our stays in rooms, and what was heard there: nothing is sealed or taken twice."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import Final, TypeVar

from posewire import clock
from posewire.errors import ProtocolError, SecurityError
from posewire.protocol import SALT_BYTES, Header, Opener, RoomKey, RoomSeal, Seal, SealKey
from posewire.protocol.control import JoinedRoom
from posewire.protocol.room_view import RoomMember
from posewire.rooms.room_state import RoomState

_MOST_ROOMS: Final = 16
"""Rooms whose packets are remembered; then the one left longest ago is forgotten."""
_MOST_BEFORE: Final = 4
_T = TypeVar("_T")
_OTHER_KEY: Final = frozenset({"wrong_key", "altered"})
"""Why a packet is refused that may be sealed as before, or as soon, when the room key changes."""


class RoomSeals:
    """Knows what seals our packets in the room we are in, and opens those of others.

    Args:
        room_key: Seals the rooms from end to end; None for integrity only.
        max_age: Seconds that the signed time of a v1 body may lie before or after the server's clock.
        grace: Seconds that what is sealed with an older room key is taken after a newer one came.
    """

    def __init__(self, room_key: RoomKey | None, *, max_age: float, grace: float) -> None:
        self.room: RoomSeal | None = None
        """How the room we are in seals, as far as we know: what opens most packets."""
        self.sealing: RoomSeal | None = None
        """How we seal ourselves: when the key changes, a little later."""
        self.salt = b""
        """What we seal with now."""
        self.next_salt = secrets.token_bytes(SALT_BYTES)
        """Has sealed nothing yet, whatever the server was told of it."""
        self._room_key = room_key
        self._max_age = max_age
        self._grace = grace
        self._openers: dict[RoomSeal, Opener] = {}
        """Of the rooms we were in: whose packets we heard there, we shall not hear again when we come back."""
        self._others: list[tuple[Opener, float]] = []
        """For other keys of the room we are in, and until when they count, monotonic seconds."""
        self._before: dict[int, list[tuple[RoomMember, float]]] = {}
        """Members, by number, as they were before they moved to other keys, and until when that counts."""

    async def key_of(self, room_id: str) -> bytes | None:
        """Return the room key for a room, None without one. A passphrase is stretched in a thread, the first time."""
        key = self._room_key
        if key is None:
            return None
        if key.is_ready(room_id):
            return key.of_room(room_id)
        return await asyncio.to_thread(key.of_room, room_id)

    def has_seat(self, state: RoomState, number: int, now_in: RoomState | None, now_number: int, user_id: str) -> bool:
        """Return whether the seat the server gave us is the one we have: then we go on counting where we are.

        Raises:
            SecurityError: It has our salt, and is another.
        """
        salt = _salt_in(state, number, user_id)
        if not salt or salt != self.salt or now_in is None:
            return False
        if (now_in.room_id, now_number) != (state.room_id, number):
            raise SecurityError("reused salt", f"room {state.room_id!r} got the salt of another seat of ours")
        return True

    def enter(self, state: RoomState, joined: JoinedRoom, room_key: bytes | None, user_id: str) -> SealKey | None:
        """Take a new seat; returns what seals our packets there. No key ever seals two packets under one number.

        Raises:
            SecurityError: The server says we have a salt that we did not choose for this seat.
        """
        salt = _salt_in(state, joined.number, user_id)
        room = RoomSeal(Seal.MAC if room_key is None else Seal.AEAD, room_key or joined.key, state.room_id)
        if salt not in (self.next_salt, b"") or (room_key is not None and not salt):
            raise SecurityError("foreign salt", f"the server did not keep ours in room {state.room_id!r}")
        self.salt, self.room, self.sealing = salt, room, room
        if salt:
            self.next_salt = secrets.token_bytes(SALT_BYTES)
        self._others.clear()
        self._before.clear()
        self._opener(room)
        return room.key_of(user_id, salt) if salt else None

    def leave(self) -> None:
        """Seal nothing any more."""
        self.salt = b""

    # Another key -----------------------------------------------------------------------------------------------------

    def replace_key(self, key: RoomKey) -> None:
        """Use ``key`` for the rooms that are entered from now on."""
        self._room_key = key

    def expect(self, room: RoomSeal) -> None:
        """Take what is sealed with the next key already: others may be quicker to move to it."""
        if room != self.room:
            self._count_for_a_while(self._opener(room))

    def begin_grace(self, room: RoomSeal, key: RoomKey) -> None:
        """Open with another key first from now on, and for a while with the one before."""
        if self.room is not None and room != self.room:
            self._count_for_a_while(self._opener(self.room))
        self._room_key, self.room = key, room
        self._others = [(opener, until) for opener, until in self._others if opener is not self._opener(room)]

    def moved(self, before: RoomMember) -> None:
        """A member has moved to another key: what it sealed before may still be on its way."""
        kept = self._before.setdefault(before.number, [])
        kept.append((before, clock.monotonic() + self._grace))
        del kept[:-_MOST_BEFORE]

    # Opening ---------------------------------------------------------------------------------------------------------

    def open(self, header: Header, packet: bytes, member: RoomMember, *, signing_key: bytes, now: float) -> bytes:
        """Return a packet of ``member`` without its seal; see `Opener.open`.

        Raises:
            ProtocolError: It is refused.
        """
        return self._any_way(
            lambda opener, sender: opener.open(header, packet, sender, signing_key=signing_key, now=now), member
        )

    def reopen(self, header: Header, packet: bytes, member: RoomMember) -> tuple[bytes, bool]:
        """Return a packet that may have been here already, and whether it is new; see `Opener.reopen`.

        Raises:
            ProtocolError: It is refused.
        """
        return self._any_way(lambda opener, sender: opener.reopen(header, packet, sender), member)

    def _any_way(self, way: Callable[[Opener, RoomMember], _T], member: RoomMember) -> _T:
        """Open with our key; while keys change, with the others too."""
        assert self.room is not None, "in a room"
        opener = self._opener(self.room)
        try:
            return way(opener, member)
        except ProtocolError as refusal:
            if refusal.reason not in _OTHER_KEY or not (self._others or self._before):
                raise
            for other, sender in self._other_ways(opener, member):
                try:
                    return way(other, sender)
                except ProtocolError as exc:
                    if exc.reason not in _OTHER_KEY:
                        raise
            raise

    def _other_ways(self, opener: Opener, member: RoomMember) -> list[tuple[Opener, RoomMember]]:
        """Return what else may open a packet of ``member`` while keys change."""
        now = clock.monotonic()
        self._others = [(other, until) for other, until in self._others if until > now]
        openers = [opener, *(other for other, _ in self._others)]
        senders = [member]
        kept = [each for each in self._before.pop(member.number, ()) if each[1] > now and each[0].id == member.id]
        if kept:
            self._before[member.number] = kept
            senders += [before for before, _ in reversed(kept)]
        return [(each, sender) for each in openers for sender in senders if (each, sender) != (opener, member)]

    def _count_for_a_while(self, opener: Opener) -> None:
        until = clock.monotonic() + self._grace
        self._others = [(opener, until), *(each for each in self._others if each[0] is not opener)]

    def _opener(self, room: RoomSeal) -> Opener:
        opener = self._openers.get(room)
        if opener is None:
            opener = self._openers[room] = Opener(room, max_age=self._max_age)
            if len(self._openers) > _MOST_ROOMS:
                del self._openers[next(each for each in self._openers if each != self.room)]
        return opener


def _salt_in(state: RoomState, number: int, user_id: str) -> bytes:
    me = state.member(number)
    return me.salt if me is not None and me.id == user_id else b""
