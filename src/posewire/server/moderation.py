"""What hosts and moderators do to a room, and the server's owner to anybody: at once, and against every old token."""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Callable

import msgspec

from posewire.config import RoomConfig
from posewire.protocol import control
from posewire.rooms.command import Ban, Kick, Lock, SetGrants, SetRole, SetStatus, Unban
from posewire.server.connection import Connection
from posewire.server.revocation_list import BY_HOST, RevocationList
from posewire.server.room import Room
from posewire.server.room_registry import RoomRegistry

Request = (
    control.KickMember
    | control.BanMember
    | control.UnbanMember
    | control.LockRoom
    | control.SetRole
    | control.SetGrants
    | control.SetStatus
)


class Moderation:
    """Carries such requests out. Whether somebody may is for `RoomState` to say.

    Args:
        config: How long a kick lasts.
        rooms: The rooms.
        revocations: Remembers who is kept out when the room has forgotten, or the server was restarted.
        now: The server's clock, seconds since 1970.
    """

    def __init__(
        self, config: RoomConfig, rooms: RoomRegistry, revocations: RevocationList, *, now: Callable[[], float]
    ) -> None:
        self._config = config
        self._rooms = rooms
        self._revocations = revocations
        self._now = now

    def carry_out(self, connection: Connection, request: Request) -> bool:
        """Do what a member asks for; returns whether that changed anything.

        Raises:
            RoomError: It is not in that room, may not do that, or the other is not there.
        """
        room = self._rooms.own(connection, request.room)
        by = connection.user_id
        if not isinstance(request, control.LockRoom):
            # Users are known by the composed form: see `TokenAuthority.verify`.
            request = msgspec.structs.replace(request, user=unicodedata.normalize("NFC", request.user))
        match request:
            case control.KickMember(user=user, reason=reason):
                ban = self._config.kick_ban if request.ban is None else request.ban
                self._throw_out(room, Kick(user_id=user, by=by, reason=reason), ban)
                return True
            case control.BanMember(user=user, seconds=seconds, reason=reason):
                self._throw_out(room, Ban(user_id=user, until=self._now() + seconds, by=by, reason=reason), seconds)
                return True
            case control.UnbanMember(user=user):
                banned = user in room.state.bans
                self._rooms.apply(room, Unban(user_id=user, by=by))
                return self._lift(user, room, banned=banned)
            case control.LockRoom(locked=locked):
                return bool(self._rooms.apply(room, Lock(locked=locked, by=by)))
            case control.SetRole(user=user, role=role):
                return bool(self._rooms.apply(room, SetRole(user_id=user, role=role, by=by)))
            case control.SetGrants(user=user):
                return self._set_grants(room, request, by)
            case control.SetStatus(user=user, status=status):
                return bool(self._rooms.apply(room, SetStatus(user_id=user, status=status, by=by)))

    def _set_grants(self, room: Room, request: control.SetGrants, by: str) -> bool:
        command = SetGrants(
            user_id=request.user,
            publish=request.publish,
            subscribe=request.subscribe,
            moderate=request.moderate,
            by=by,
        )
        changed = bool(self._rooms.apply(room, command))
        self._rooms.grant(room, room.connections[request.user])
        return changed

    def _throw_out(self, room: Room, command: Kick | Ban, ban: float) -> None:
        """Throw a member out: no token it has is good in the room any more, and for ``ban`` seconds no new one."""
        victim = self._rooms.throw_out(room, command)
        verb = BY_HOST[0] if isinstance(command, Kick) else BY_HOST[1]
        reason = f"{verb} room {room.state.room_id!r} by {command.by}"
        reason += f": {command.reason}" if command.reason else ""
        if victim is None:
            return  # the room remembers it; names that nobody has must not fill the server's list
        until = time.time() + ban
        self._revocations.add(command.user_id, room.state.room_id, banned_until=until, reason=reason, by_host=True)
        victim.end_session(reason)

    def _lift(self, user: str, room: Room, *, banned: bool) -> bool:
        """Lift what a host decided, not what the server's owner did; returns whether there was something."""
        kept_out = self._revocations.get(user, room.state.room_id)
        if kept_out is None or not kept_out.reason.startswith(BY_HOST):
            return banned
        return self._revocations.remove(user, room.state.room_id) or banned
