"""The way into a room, and out of it: what we believe is what the server said, or is asked for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from posewire.errors import ConnectionError, DataValidationError, RoomError, SecurityError
from posewire.protocol import RoomSeal, Seal, control
from posewire.protocol.room_view import Role
from posewire.rooms.packet_opener import PacketOpener
from posewire.rooms.room_mirror import RoomMirror
from posewire.rooms.room_seals import RoomSeals
from posewire.rooms.room_state import RoomState
from posewire.sockets import SocketManager

logger = logging.getLogger(__name__)

_UNANSWERED = (asyncio.CancelledError, ConnectionError, DataValidationError, SecurityError)
"""After these a request may have been carried out."""


class RoomEntry:
    """Enters and leaves rooms, one at a time: the answers are read in the order the server gave them.

    A caller that is cancelled, or has waited too long, does not know whether the server has moved us. Then the mirror
    is stale, and `find_out` asks.

    Args:
        socket: The connection.
        mirror: Shows the room we are in.
        seals: Seals our packets there.
        packets: Opens those of the others.
    """

    def __init__(self, socket: SocketManager, mirror: RoomMirror, seals: RoomSeals, packets: PacketOpener) -> None:
        self._socket = socket
        self._mirror = mirror
        self._seals = seals
        self._packets = packets
        self._moving = asyncio.Lock()
        self._role: Role = "member"
        self._doubt: str | None = None
        """The room that we were about to enter or to leave."""

    @property
    def in_doubt(self) -> bool:
        """Whether it is not known where we are."""
        return self._doubt is not None

    async def join(self, room_id: str, role: Role, *, create: bool) -> None:
        """Enter a room, leaving the one we are in; see `RoomManager.join_room`."""
        async with self._moving:
            await self._join(room_id, role, create=create)

    async def leave(self, room_id: str) -> bool:
        """Leave a room; False when we were not in it."""
        async with self._moving:
            with self._in_doubt(room_id):
                left = await self._socket.request(control.LeaveRoom(room=room_id), bool)
            if self._is_in(room_id):
                self._exit()
        return left

    async def restore(self, welcome: control.Welcome) -> bool:
        """Come back into the room after a loss; with our seat gone, as anybody else. Returns whether we are in one."""
        async with self._moving:
            # Looked at in here: somebody may be moving us already, on this very connection.
            state = self._mirror.state
            if state is None:
                return False
            if not welcome.resumed:
                await self._join(state.room_id, self._role, create=True)
            return True

    async def find_out(self) -> bool:
        """Ask where we are, if that is in doubt; returns whether we are in another room than we believed.

        Raises:
            PosewireError: The server does not say.
        """
        async with self._moving:
            room_id = self._doubt
            if room_id is None:
                return False
            with self._in_doubt(room_id):
                return await self._move_to_where_we_are(room_id)

    async def _move_to_where_we_are(self, room_id: str) -> bool:
        state = self._mirror.state
        if state is None:
            await self._socket.request(control.LeaveRoom(room=room_id), bool)
            return False
        try:
            await self._socket.request(control.SyncRoom(room=state.room_id, version=state.version), control.SyncedRoom)
        except RoomError:
            logger.info("no longer in room %s", state.room_id)
            if room_id != state.room_id:
                await self._join(room_id, self._role, create=False)
                return True
            self._exit()
        return False

    async def _join(self, room_id: str, role: Role, *, create: bool) -> None:
        room_key = await self._seals.key_of(room_id)
        key_id = RoomSeal(Seal.AEAD, room_key, room_id).key_id if room_key is not None else b""
        request = control.JoinRoom(room=room_id, role=role, create=create, salt=self._seals.next_salt, key_id=key_id)
        # Changes and events may come in between the server's answer and our reading it; they must not be lost.
        early = self._mirror.early = []
        try:
            with self._in_doubt(room_id):
                joined = await self._socket.request(request, control.JoinedRoom)
                if joined.snapshot.room != room_id:
                    raise SecurityError("another room", f"asked for {room_id!r}, got {joined.snapshot.room!r}")
                early[:] = [each for each in early if not self._packets.heard_before(each)]
                self.enter(joined, room_key)
            self._role = role
        finally:
            self._mirror.early = None
            for each in early:
                self._packets.event(*each) if isinstance(each, tuple) else self._mirror.absorb(each)

    @contextmanager
    def _in_doubt(self, room_id: str) -> Iterator[None]:
        try:
            yield
        except _UNANSWERED:
            self._doubt = room_id
            self._mirror.stale.set()
            raise
        self._doubt = None

    def enter(self, joined: control.JoinedRoom, room_key: bytes | None) -> None:
        """Take the seat the server gave us.

        Raises:
            SecurityError: The server says we have a salt that we did not choose for this seat.
        """
        state, user_id = RoomState.from_snapshot(joined.snapshot), self._socket.user_id
        self._socket.protocol.signing_key = joined.key
        if self._seals.has_seat(state, joined.number, self._mirror.state, self._socket.writer.member, user_id):
            self._mirror.replace(state)
            return
        key = self._seals.enter(state, joined, room_key, user_id)
        self._mirror.enter(state, user_id)
        self._socket.enter(state.room_id, joined.number, key)

    def _is_in(self, room_id: str) -> bool:
        return self._mirror.state is not None and self._mirror.state.room_id == room_id

    def _exit(self) -> None:
        self._seals.leave()
        self._mirror.leave()
