"""The client's view of rooms; the server is the authority."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

import msgspec

from posewire.errors import AuthError, DataValidationError, PosewireError, RoomError
from posewire.protocol import RoomKey, control
from posewire.protocol.room_view import Name, Role, RoomMember, RoomStatus, RoomUpdate, StreamKind
from posewire.rooms.key_rotation import KEY_EVENT, KeyRotation
from posewire.rooms.packet_opener import PacketOpener
from posewire.rooms.presence import PresenceFeed
from posewire.rooms.room_entry import RoomEntry
from posewire.rooms.room_mirror import RoomMirror
from posewire.rooms.room_seals import RoomSeals
from posewire.rooms.room_state import RoomState
from posewire.sockets import SocketManager

logger = logging.getLogger(__name__)

_MAX_STREAM_NUMBER: Final = 0xFF
_ASK_AGAIN_SECONDS: Final = 1.0
"""Until the server is asked again where we are."""


class RoomManager:
    """Creates, joins and leaves rooms, and mirrors the one we are in.

    A connection is in one room at a time. After a reconnect the room is joined again before anything is sent.

    Args:
        socket: The connection.
        room_key: Seals the rooms from end to end: only members with the same key understand each other.
    """

    def __init__(self, socket: SocketManager, *, room_key: RoomKey | None = None) -> None:
        self.on_entered: Callable[[], None] = lambda: None
        """Called when a room was entered, or entered again."""
        self._socket = socket
        self._seals = RoomSeals(
            room_key,
            max_age=socket.config.security.max_message_age / 1000,
            grace=socket.config.security.key_grace / 1000,
        )
        self._mirror = RoomMirror(socket)
        self.packets = PacketOpener(socket, self._mirror, self._seals)
        """Opens what comes in."""
        self._mirror.on_moved = self._seals.moved
        self._entry = RoomEntry(socket, self._mirror, self._seals, self.packets)
        self._rotation = KeyRotation(socket, self._mirror, self._seals)
        self.packets.own_events[KEY_EVENT] = self._rotation.handed_out
        socket.restorers.append(self._restore)

    @property
    def state(self) -> RoomState | None:
        """The room we are in, as the server last told; None outside."""
        return self._mirror.state

    async def create_room(self, room_id: str) -> bool:
        """Make a room; False when there is one of that name. Waits for the server.

        Raises:
            PosewireError: The server refuses: not allowed, too many rooms.
        """
        return await self._socket.request(control.CreateRoom(room=_checked(room_id)), bool)

    async def join_room(
        self, room_id: str, user_id: str | None = None, role: Role = "member", *, create: bool = False
    ) -> bool:
        """Enter a room, leaving the one we are in; the first member is its host. Waits for the server.

        Cancelling may leave us in either room; the server is asked which, and `current_room` says it soon. Who was in
        none is in none then.

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
        _checked_role(role)
        self._check_user(user_id)
        await self._entry.join(_checked(room_id), role, create=create)
        self.on_entered()
        return True

    async def leave_room(self, room_id: str, user_id: str | None = None) -> bool:
        """Leave a room; False when we are not in it. Waits for the server.

        Cancelling may leave us in it or not; the server is asked which, and `current_room` says it soon.

        Raises:
            AuthError: ``user_id`` is somebody else.
        """
        self._check_user(user_id)
        return await self._entry.leave(_checked(room_id))

    async def broadcast(self, event: str, data: Any, room_id: str) -> bool:
        """Send an event to all other members of the room we are in; waits until the server has it.

        Raises:
            RoomError: We are not in it, or may not publish.
            DataValidationError: The name or the data cannot travel.
        """
        return await self._socket.broadcast(event, data, room_id)

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
        """Fetch what changed in the room we are in since the version we have, or all of it. Waits for the server.

        Raises:
            RoomError: We are not in that room.
        """
        old = self.state
        known = old.version if old is not None and old.room_id == room_id else None
        request = control.SyncRoom(room=_checked(room_id), version=known)
        answer = await self._socket.request(request, control.SyncedRoom)
        if old is None or old is not self.state or known is None:
            return
        if answer.snapshot is not None:
            if answer.snapshot.version >= old.version:
                self._mirror.replace(RoomState.from_snapshot(answer.snapshot))
            return
        for version, change in enumerate(answer.changes, known + 1):
            self._mirror.absorb(RoomUpdate(room=room_id, version=version, change=change))

    # Moderating: the server decides whether we may -------------------------------------------------------------------

    async def kick_member(self, room_id: str, user_id: str, reason: str = "", *, ban: float | None = None) -> bool:
        """Throw a member out: its session ends, and no token it has lets it in here again. Waits for the server.

        Args:
            room_id: The room; we are its host or a moderator in it.
            user_id: Whom.
            reason: What the member, and everyone else, is told.
            ban: Seconds in which no new token lets it in either; None for the server's ``room.kick_ban``.

        Raises:
            RoomError: We may not, or it is not in the room.
        """
        return await self._ask(control.KickMember, room_id, user=user_id, reason=reason, ban=ban)

    async def ban_member(self, room_id: str, user_id: str, seconds: float, reason: str = "") -> bool:
        """Keep a user out for a time, whether it is in now or not. Waits for the server.

        Of who is not in, only the room knows: when its last member leaves, that is forgotten.

        Raises:
            RoomError: We may not.
        """
        return await self._ask(control.BanMember, room_id, user=user_id, seconds=seconds, reason=reason)

    async def unban_member(self, room_id: str, user_id: str) -> bool:
        """Let a user in again, with a token that is newer than the ban; False when it was not kept out.

        Raises:
            RoomError: We may not.
        """
        return await self._ask(control.UnbanMember, room_id, user=user_id)

    async def lock_room(self, room_id: str) -> bool:
        """Let nobody else in; False when it was locked already. Who is in, or holds a seat, may come back.

        Raises:
            RoomError: We are not the host.
        """
        return await self._ask(control.LockRoom, room_id, locked=True)

    async def unlock_room(self, room_id: str) -> bool:
        """Let newcomers in again; False when it was not locked.

        Raises:
            RoomError: We are not the host.
        """
        return await self._ask(control.LockRoom, room_id, locked=False)

    async def set_member_role(self, room_id: str, user_id: str, role: Role) -> bool:
        """Make a member host, in our place, or, with ``member``, give it up for the next in line. Waits for the server.

        Returns:
            False when it has that role already.

        Raises:
            RoomError: We are not the host, or it is not in the room.
            ValueError: No such role.
        """
        return await self._ask(control.SetRole, room_id, user=user_id, role=_checked_role(role))

    async def set_member_grants(
        self,
        room_id: str,
        user_id: str,
        *,
        publish: bool | None = None,
        subscribe: bool | None = None,
        moderate: bool | None = None,
    ) -> bool:
        """Change what a member may do, at once and for as long as the room lasts; None leaves a grant as it is.

        Only the host makes moderators. A token that does not let its holder publish or subscribe is a limit.

        Returns:
            False when nothing changed.

        Raises:
            RoomError: We may not, it is not in the room, or its token does not allow that much.
        """
        grants = {"publish": publish, "subscribe": subscribe, "moderate": moderate}
        return await self._ask(control.SetGrants, room_id, user=user_id, **grants)

    async def update_member_status(self, room_id: str, user_id: str, status: str) -> bool:
        """Say what we do, for the others to read ("away"); a moderator may say it of others. Waits for the server.

        Returns:
            False when it was that already.

        Raises:
            RoomError: We may not.
            DataValidationError: Too long, or control characters in it.
        """
        return await self._ask(control.SetStatus, room_id, user=user_id, status=status)

    async def rotate_key(self, room_id: str, key: bytes | str | None = None) -> bytes:
        """Give every member that has the room key the next one, and move to it; the host can. Waits for the server.

        The key goes from end to end, sealed under the one before: who has that and can still listen learns the next.
        A member that was thrown out hears nothing any more; against a server that helps it, hand a key out by another
        way, to `use_key`. What is sealed with the old key is refused ``security.key_grace`` after the new one came.

        Args:
            room_id: The room we are in.
            key: The next room key or passphrase; None makes one.

        Returns:
            The next key: who joins later needs it.

        Raises:
            RoomError: We are not its host.
            SecurityError: It is not encrypted.
            ConfigurationError: The key is too short.
        """
        return await self._rotation.rotate(room_id, None if key is None else RoomKey(key))

    async def use_key(self, key: bytes | str) -> None:
        """Use a room key that came by another way, at once and for the rooms we enter later. Waits for the server.

        Raises:
            ConfigurationError: The key is too short.
            ConnectionError: Not connected.
        """
        await self._rotation.use(RoomKey(key))
        self.on_entered()  # what could not be read can be now

    def presence(self) -> PresenceFeed:
        """Return an async iterator of who comes, goes, drops and returns, and why, from now on."""
        return self._mirror.feed()

    def end(self) -> None:
        """Let the loops over `presence` end."""
        self._mirror.end()

    async def open_stream(self, kind: StreamKind, name: str) -> int:
        """Return the number of our stream, opened if it is not. Waits for the server.

        Raises:
            RoomError: We are in no room, or may not publish.
            ResourceLimitError: Too many streams.
            DataValidationError: The server's answer is no number of a stream.
        """
        number = await self._socket.request(control.OpenStream(kind=kind, name=name), int)
        if not 1 <= number <= _MAX_STREAM_NUMBER:
            raise DataValidationError("answer to 'stream.open'", number, f"expected 1 to {_MAX_STREAM_NUMBER}")
        return number

    async def follow_keys(self) -> None:
        """Move to every room key that the host hands out; for ever."""
        await self._rotation.run()

    async def run(self) -> None:
        """Fetch the room's state whenever changes were missed, or it is not known where we are; for ever."""
        while True:
            await self._mirror.stale.wait()
            self._mirror.stale.clear()
            try:
                if await self._entry.find_out():
                    self.on_entered()
                if self.state is not None:
                    await self.sync_room_state(self.state.room_id)
            except PosewireError as exc:
                # A lost connection restores the room by itself; a room we were put out of has told us so.
                logger.info("room state not synced: %s", exc)
                if self._entry.in_doubt:
                    await asyncio.sleep(_ASK_AGAIN_SECONDS)
                    self._mirror.stale.set()

    # Inside ----------------------------------------------------------------------------------------------------------

    async def _restore(self, welcome: control.Welcome) -> None:
        if await self._entry.restore(welcome):
            self.on_entered()

    def _check_user(self, user_id: str | None) -> None:
        if user_id is not None and user_id != self._socket.user_id:
            raise AuthError(user_id, f"this connection is {self._socket.user_id!r}; a token speaks for one user")

    async def _ask(self, kind: Callable[..., msgspec.Struct], room_id: str, **fields: Any) -> bool:
        try:
            request = msgspec.convert({"room": _checked(room_id), **fields}, kind)
        except msgspec.ValidationError as exc:
            raise DataValidationError("request", repr(fields)[:80], str(exc)) from None
        return await self._socket.request(request, bool)


_MaybeStatus: Any = RoomStatus | None


def _checked(room_id: str) -> str:
    try:
        return msgspec.convert(room_id, Name)
    except msgspec.ValidationError as exc:
        raise RoomError(str(room_id)[:40], f"bad room name: {exc}") from None


def _checked_role(role: Role) -> Role:
    if role not in ("host", "member"):
        raise ValueError(f"role {role!r}: expected 'host' or 'member'")
    return role
