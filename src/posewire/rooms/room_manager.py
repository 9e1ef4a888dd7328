"""The client's view of rooms; the server is the authority."""

from __future__ import annotations

import asyncio
import logging
import secrets
from typing import Any

import msgspec

from posewire import clock
from posewire.errors import AuthError, DataValidationError, PosewireError, ProtocolError, RoomError, SecurityError
from posewire.protocol import EVENT_STREAM, SALT_BYTES, Header, Kind, Opener, RoomKey, RoomSeal, Seal, control
from posewire.protocol.control import RoomMember, RoomStatus, StreamKind
from posewire.rooms.room_state import RoomState
from posewire.sockets import Event, SocketManager

logger = logging.getLogger(__name__)

_MOST_ROOMS = 16
"""Rooms whose packets are remembered; then the one left longest ago is forgotten."""


class Opened(msgspec.Struct, frozen=True, gc=False):
    """A packet that was accepted, as its sender wrote it."""

    user_id: str
    stream: str
    packet: bytes
    """Header and plain body."""


class RoomManager:
    """Creates, joins and leaves rooms, and mirrors the one we are in.

    A connection is in one room at a time. After a reconnect the room is joined again before anything is sent.

    Args:
        socket: The connection.
        room_key: Seals the rooms from end to end: only members with the same key understand each other.
    """

    def __init__(self, socket: SocketManager, *, room_key: RoomKey | None = None) -> None:
        self.state: RoomState | None = None
        """The room we are in, as the server last told; None outside."""
        self._socket = socket
        self._room_key = room_key
        self._role: control.Role = "member"
        self._moving = asyncio.Lock()
        """One way in or out at a time: the answers are read in the order the server gave them."""
        self._next_salt = secrets.token_bytes(SALT_BYTES)
        """Has sealed nothing yet, whatever the server was told of it."""
        self._salt = b""
        """What we seal with now."""
        self._opener: Opener | None = None
        self._openers: dict[RoomSeal, Opener] = {}
        """Of the rooms we were in: whose packets we heard there, we shall not hear again when we come back."""
        self._early: list[control.RoomUpdate] | None = None
        self._stale = asyncio.Event()
        socket.restorers.append(self._restore)
        socket.on_packet(Kind.EVENT, self._event_packet)
        socket.on_server_event(control.ROOM, self._update)

    async def create_room(self, room_id: str) -> bool:
        """Make a room; False when there is one of that name. Waits for the server.

        Raises:
            PosewireError: The server refuses: not allowed, too many rooms.
        """
        return await self._socket.request(control.CreateRoom(room=_checked(room_id)), bool)

    async def join_room(
        self, room_id: str, user_id: str | None = None, role: control.Role = "member", *, create: bool = False
    ) -> bool:
        """Enter a room, leaving the one we are in; the first member is its host. Waits for the server.

        Cancelling may leave us in either room; `current_room` then says which the server last confirmed.

        Args:
            room_id: Its name.
            user_id: Who joins: nobody but ourselves can, so it may be left out.
            role: What to be; the server decides.
            create: Make the room when there is none.

        Raises:
            RoomNotFoundError: There is no such room.
            RoomFullError: No seat left.
            RoomError: The server refuses for another reason.
            AuthError: ``user_id`` is somebody else.
            ValueError: No such role.
        """
        if role not in ("host", "member"):
            raise ValueError(f"role {role!r}: expected 'host' or 'member'")
        self._check_user(user_id)
        await self._join(_checked(room_id), role, create=create)
        return True

    async def leave_room(self, room_id: str, user_id: str | None = None) -> bool:
        """Leave a room; False when we are not in it. Waits for the server.

        Raises:
            AuthError: ``user_id`` is somebody else.
        """
        self._check_user(user_id)
        async with self._moving:
            left = await self._socket.request(control.LeaveRoom(room=_checked(room_id)), bool)
            if self.state is not None and self.state.room_id == room_id:
                self._exit()
        return left

    async def broadcast(self, event: str, data: Any, room_id: str) -> bool:
        """Send an event to all other members of the room we are in; waits until the server has it.

        Raises:
            RoomError: We are not in it, or may not publish.
            DataValidationError: The name or the data cannot travel.
        """
        return await self._socket.emit(event, data, room_id)

    async def get_room_info(self, room_id: str) -> RoomStatus | None:
        """Return a room's status, None when there is no such room. Waits for the server."""
        return await self._socket.request(control.RoomInfo(room=_checked(room_id)), _MaybeStatus)

    async def list_rooms(self) -> list[RoomStatus]:
        """Return the status of every room. Waits for the server."""
        return await self._socket.request(control.ListRooms(), list[RoomStatus])

    async def get_room_members(self, room_id: str) -> list[RoomMember]:
        """Return a room's members, none when there is no such room. Waits for the server."""
        return await self._socket.request(control.RoomMembers(room=_checked(room_id)), list[RoomMember])

    def current_room(self, user_id: str | None = None) -> str | None:
        """Return the room of a member of our room, ourselves by default; None when unknown."""
        if self.state is None or (user_id or self._socket.user_id) not in self.state.members:
            return None
        return self.state.room_id

    async def sync_room_state(self, room_id: str) -> None:
        """Fetch the state of the room we are in anew. Waits for the server.

        Raises:
            RoomError: We are not in that room.
        """
        snapshot = await self._socket.request(control.SyncRoom(room=_checked(room_id)), control.RoomSnapshot)
        old = self.state
        if old is not None and old.room_id == room_id and snapshot.version >= old.version:
            self._replace(RoomState.from_snapshot(snapshot))

    async def open_stream(self, kind: StreamKind, name: str) -> int:
        """Return the number of our stream, opened if it is not. Waits for the server.

        Raises:
            RoomError: We are in no room, or may not publish.
            ResourceLimitError: Too many streams.
        """
        return await self._socket.request(control.OpenStream(kind=kind, name=name), int)

    def open(self, header: Header, packet: bytes) -> Opened | None:
        """Return a packet without its seal; None, counted in the socket's `drops` by reason, when it is refused."""
        try:
            return self._open(header, packet)
        except ProtocolError as exc:
            self._socket.drops[exc.reason] += 1
            logger.debug("refused a packet of member %d: %s", header.member, exc)
            return None

    async def run(self) -> None:
        """Fetch the room's state whenever changes were missed; for ever."""
        while True:
            await self._stale.wait()
            self._stale.clear()
            if self.state is None:
                continue
            try:
                await self.sync_room_state(self.state.room_id)
            except PosewireError as exc:
                # A lost connection restores the room by itself; a room we were put out of has told us so.
                logger.info("room state not synced: %s", exc)

    # Inside ----------------------------------------------------------------------------------------------------------

    async def _join(self, room_id: str, role: control.Role, *, create: bool) -> None:
        async with self._moving:
            room_key = await self._key_of(room_id)
            key_id = RoomSeal(Seal.AEAD, room_key, room_id).key_id if room_key is not None else b""
            request = control.JoinRoom(room=room_id, role=role, create=create, salt=self._next_salt, key_id=key_id)
            # Changes may come in between the server's answer and our reading it; they must not be lost.
            self._early = []
            try:
                joined = await self._socket.request(request, control.JoinedRoom)
                early = self._early
            finally:
                self._early = None
            if joined.snapshot.room != room_id:
                raise SecurityError("another room", f"asked for {room_id!r}, got {joined.snapshot.room!r}")
            self._enter(joined, room_key)
            self._role = role
            for update in early:
                self._absorb(update)

    async def _key_of(self, room_id: str) -> bytes | None:
        key = self._room_key
        if key is None:
            return None
        if key.is_ready(room_id):
            return key.of_room(room_id)
        return await asyncio.to_thread(key.of_room, room_id)

    def _enter(self, joined: control.JoinedRoom, room_key: bytes | None) -> None:
        """Take the seat the server gave us. No key ever seals two packets under one number.

        Raises:
            SecurityError: The server says we have a salt that we did not choose for this seat.
        """
        state = RoomState.from_snapshot(joined.snapshot)
        me = state.member(joined.number)
        salt = me.salt if me is not None and me.id == self._socket.user_id else b""
        room = RoomSeal(Seal.MAC if room_key is None else Seal.AEAD, room_key or joined.key, state.room_id)
        self._socket.protocol.signing_key = joined.key
        if salt and salt == self._salt and self.state is not None:
            # The seat we had: we go on counting where we are, with the streams we have.
            if (self.state.room_id, self._socket.writer.member) != (state.room_id, joined.number):
                raise SecurityError("reused salt", f"room {state.room_id!r} got the salt of another seat of ours")
            self._replace(state)
            return
        if salt not in (self._next_salt, b"") or (room_key is not None and not salt):
            raise SecurityError("foreign salt", f"the server did not keep ours in room {state.room_id!r}")
        self.state, self._salt = state, salt
        if salt:
            self._next_salt = secrets.token_bytes(SALT_BYTES)
        opener = self._openers.pop(room, None)
        if opener is None:
            opener = Opener(room, max_age=self._socket.config.security.max_message_age / 1000)
        self._opener = self._openers[room] = opener
        if len(self._openers) > _MOST_ROOMS:
            del self._openers[next(iter(self._openers))]
        key = room.key_of(self._socket.user_id, salt) if salt else None
        self._socket.enter(state.room_id, joined.number, key)

    def _replace(self, state: RoomState) -> None:
        """Take another view of the room we are in; whoever left meanwhile is forgotten."""
        stays = {(member.id, member.number, member.join_time) for member in state.members.values()}
        for member in self.state.members.values() if self.state is not None else ():
            if (member.id, member.number, member.join_time) not in stays:
                self._socket.protocol.forget(member.number)
        self.state = state

    def _exit(self) -> None:
        self.state, self._salt = None, b""
        self._socket.enter(None)

    async def _restore(self) -> None:
        """Come back into the room after a reconnect; it may have closed in the meantime."""
        if self.state is not None:
            await self._join(self.state.room_id, self._role, create=True)

    def _check_user(self, user_id: str | None) -> None:
        if user_id is not None and user_id != self._socket.user_id:
            raise AuthError(user_id, f"this connection is {self._socket.user_id!r}; a token speaks for one user")

    def _update(self, data: Any) -> None:
        try:
            update = control.from_plain(data, control.RoomUpdate, what="room update")
        except DataValidationError as exc:
            logger.warning("room update not understood: %s", exc)
            self._stale.set()
            return
        if self._early is not None:
            self._early.append(update)
        else:
            self._absorb(update)

    def _absorb(self, update: control.RoomUpdate) -> None:
        if self.state is None or update.room != self.state.room_id or update.version <= self.state.version:
            return
        if update.version > self.state.version + 1:
            self._stale.set()
            return
        if isinstance(update.change, control.Left) and (gone := self.state.members.get(update.change.user_id)):
            self._socket.protocol.forget(gone.number)
        self.state.absorb(update.change)
        if isinstance(update.change, control.Joined):
            # Who is new has nothing that our next frames could refer to.
            self._socket.protocol.request_keyframe()

    def _open(self, header: Header, packet: bytes) -> Opened:
        state, opener = self.state, self._opener
        member = None if state is None else state.member(header.member)
        if state is None or opener is None or member is None:
            raise ProtocolError(str(header.version), "of no member", "unknown_member")
        name = "event"
        if header.kind is not Kind.EVENT:
            stream = state.streams.get((header.member, header.stream))
            if stream is None or stream.kind != header.kind.name.lower():
                raise ProtocolError(str(header.version), "of no open stream", "unknown_stream")
            name = stream.name
        elif header.stream != EVENT_STREAM:
            raise ProtocolError(str(header.version), "an event on another stream", "unknown_stream")
        signing_key = self._socket.protocol.signing_key
        now = self._socket.clock.to_server(clock.now())
        return Opened(member.id, name, opener.open(header, packet, member, signing_key=signing_key, now=now))

    def _event_packet(self, header: Header, packet: bytes) -> None:
        if (opened := self.open(header, packet)) is None:
            return
        try:
            name, data = self._socket.protocol.decode_event(header, opened.packet)
        except ProtocolError as exc:
            self._socket.drops[exc.reason] += 1
            logger.debug("dropped an event of %s: %s", opened.user_id, exc)
            return
        sent = self._socket.clock.to_local(header.captured_us / 1e6)
        self._socket.dispatch(Event(name=name, data=data, user_id=opened.user_id, timestamp=sent))


_MaybeStatus: Any = RoomStatus | None


def _checked(room_id: str) -> str:
    try:
        return msgspec.convert(room_id, control.Name)
    except msgspec.ValidationError as exc:
        raise RoomError(str(room_id)[:40], f"bad room name: {exc}") from None
