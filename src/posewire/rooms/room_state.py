"""The rules of a room: the same code decides on the server and mirrors on the client."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from posewire.errors import ResourceLimitError, RoomError, RoomFullError
from posewire.limits import MAX_STREAMS
from posewire.protocol.room_view import (
    Change,
    Closed,
    Dropped,
    GrantsChanged,
    HostChanged,
    Joined,
    Left,
    LockChanged,
    Rekeyed,
    Returned,
    RoomMember,
    RoomSnapshot,
    RoomStatus,
    StatusChanged,
    Stream,
    StreamKind,
    StreamOpened,
)
from posewire.rooms.command import (
    Ban,
    Close,
    Command,
    Drop,
    Join,
    Kick,
    Leave,
    Lock,
    OpenStream,
    Rekey,
    Return,
    SetGrants,
    SetRole,
    SetStatus,
    Unban,
)

_MAX_NUMBER: Final = 0xFFFF
_MAX_DECISIONS: Final = 1024
"""Bans, and changes of what users may do, that one room remembers."""


class RoomState:
    """Who is in a room, with which streams and rights, at which version.

    Pure: commands go in, changes come out, time is an argument (seconds on the server's clock). Each change makes the
    version one more. The server calls `apply`; a client that starts from a snapshot calls `absorb` with the changes
    it is told, and has the same state, but for `bans`, which only the server knows.
    """

    def __init__(self, room_id: str, *, capacity: int, now: float) -> None:
        self.room_id = room_id
        self.capacity = capacity
        self.created_time = now
        self.last_active = now
        self.version = 0
        self.locked = False
        self.members: dict[str, RoomMember] = {}
        self.streams: dict[tuple[int, int], Stream] = {}
        """By numbers of member and stream."""
        self.bans: dict[str, float] = {}
        """Who may not come in, and until when."""
        self._tokens: dict[str, Join | Return] = {}
        """What the members' tokens let them do: for the server only, as are the next two."""
        self._granted: dict[str, SetGrants] = {}
        """What was decided of users here, which holds against any token."""
        self._appointed = ""
        """Who was made host."""
        self._by_number: dict[int, RoomMember] = {}
        self._last_number = 0

    @classmethod
    def from_snapshot(cls, snapshot: RoomSnapshot) -> RoomState:
        """Return the state a snapshot describes."""
        state = cls(snapshot.room, capacity=snapshot.capacity, now=snapshot.created_time)
        for member in snapshot.members:
            state.absorb(Joined(member=member))
        for stream in snapshot.streams:
            state.absorb(StreamOpened(stream=stream))
        state.locked = snapshot.locked
        state.version = snapshot.version
        state.last_active = snapshot.last_active
        return state

    def apply(self, command: Command, *, now: float) -> list[Change]:
        """Carry ``command`` out and return what changed; nothing changes when it raises.

        Raises:
            RoomFullError: No seat left.
            RoomError: Already in, not in, or not allowed.
            ResourceLimitError: Too many streams, or too many bans.
        """
        changes = self._decide(command, now)
        for change in changes:
            self.absorb(change)
            if isinstance(change, Left) and change.user_id == self._appointed and change.user_id not in self.members:
                self._appointed = self._appointed if isinstance(command, Join) else ""
        if isinstance(command, Join | Return):
            self._tokens[command.user_id] = command
        self.last_active = now
        return changes

    def absorb(self, change: Change) -> None:
        """Take in a change that was decided elsewhere; the version grows by one."""
        match change:
            case Joined(member=member):
                self._put(member)
                self._last_number = member.number
            case Left(user_id=user_id):
                self._tokens.pop(user_id, None)
                gone = self.members.pop(user_id)
                del self._by_number[gone.number]
                self.streams = {key: stream for key, stream in self.streams.items() if key[0] != gone.number}
            case Dropped(user_id=user_id):
                self._change(user_id, present=False)
            case Returned(user_id=user_id):
                self._change(user_id, present=True)
            case HostChanged(user_id=user_id):
                for member in [member for member in self.members.values() if member.role == "host"]:
                    self._change(member.id, role="member")
                self._change(user_id, role="host")
            case GrantsChanged():
                self._change(**msgspec.structs.asdict(change))
            case StatusChanged(user_id=user_id, status=status):
                self._change(user_id, status=status)
            case Rekeyed(user_id=user_id):
                self._change(user_id, salt=change.salt, key_id=change.key_id)
            case LockChanged(locked=locked):
                self.locked = locked
            case StreamOpened(stream=stream):
                self.streams[stream.member, stream.number] = stream
            case Closed():
                self.members.clear()
                self.streams.clear()
                self._by_number.clear()
        self.version += 1

    def member(self, number: int) -> RoomMember | None:
        """Return the member of that number."""
        return self._by_number.get(number)

    def stream_number(self, user_id: str, kind: StreamKind, name: str) -> int | None:
        """Return the number of a member's open stream."""
        for stream in self.streams.values():
            if (stream.user_id, stream.kind, stream.name) == (user_id, kind, name):
                return stream.number
        return None

    def status(self) -> RoomStatus:
        """Return the room as others may see it."""
        return RoomStatus(
            room_id=self.room_id,
            member_count=len(self.members),
            created_time=self.created_time,
            last_active=self.last_active,
            is_locked=self.locked,
        )

    def snapshot(self) -> RoomSnapshot:
        """Return all of it."""
        return RoomSnapshot(
            room=self.room_id,
            version=self.version,
            created_time=self.created_time,
            last_active=self.last_active,
            capacity=self.capacity,
            members=list(self.members.values()),
            streams=list(self.streams.values()),
            locked=self.locked,
        )

    # Rules -----------------------------------------------------------------------------------------------------------

    def _decide(self, command: Command, now: float) -> list[Change]:
        match command:
            case Join():
                return self._join(command, now)
            case Leave(user_id=user_id, reason=reason):
                return self._out(self._member(user_id), reason)
            case Drop(user_id=user_id):
                return [Dropped(user_id=user_id)] if self._member(user_id).present else []
            case Return():
                return self._return(command)
            case Kick(user_id=user_id, by=by):
                self._check_over(by, user_id)
                reason = f"kicked: {command.reason}" if command.reason else "kicked"
                return self._out(self._member(user_id), reason, by)
            case Ban():
                return self._ban(command, now)
            case Unban(user_id=user_id, by=by):
                self._check_moderator(by)
                self.bans.pop(user_id, None)
                return []
            case Lock(locked=locked, by=by):
                self._check_host(by)
                return [] if locked == self.locked else [LockChanged(locked=locked)]
            case SetRole():
                return self._set_role(command)
            case SetGrants():
                return self._set_grants(command)
            case SetStatus(user_id=user_id, status=status, by=by):
                if by != user_id:
                    self._check_over(by, user_id)
                member = self._member(user_id)
                return [] if member.status == status else [StatusChanged(user_id=user_id, status=status)]
            case Rekey(user_id=user_id):
                return [Rekeyed(user_id=self._member(user_id).id, salt=command.salt, key_id=command.key_id)]
            case OpenStream():
                return self._open_stream(command)
            case Close(reason=reason):
                return [Closed(reason=reason)]

    def _join(self, command: Join, now: float) -> list[Change]:
        older = self.members.get(command.user_id)
        if older is not None and not command.replaces:
            raise RoomError(self.room_id, f"{command.user_id} is in this room already")
        if older is None:
            self._check_newcomer(command.user_id, now)
        host = self._host()
        publish, subscribe, moderate, owner = self._rights(command)
        member = RoomMember(
            id=command.user_id,
            number=self._free_number(command.not_number),
            join_time=now,
            last_active=now,
            # Exactly one host while anybody is in: the first, whatever it asked for.
            role="host" if host is None or host is older else "member",
            publish=publish,
            subscribe=subscribe,
            moderate=moderate,
            owner=owner,
            salt=command.salt,
            key_id=command.key_id,
        )
        changes: list[Change] = [] if older is None else [Left(user_id=older.id, reason="replaced")]
        changes.append(Joined(member=member))
        asks = command.role == "host" and command.owner and member.role != "host"
        if asks and host is not None and not host.owner and host.id != self._appointed:
            changes.append(HostChanged(user_id=command.user_id))
        return changes

    def _return(self, command: Return) -> list[Change]:
        member = self._member(command.user_id)
        changes: list[Change] = [] if member.present else [Returned(user_id=member.id)]
        return changes + self._grants(member, self._rights(command))

    def _out(self, member: RoomMember, reason: str, by: str | None = None) -> list[Change]:
        changes: list[Change] = [Left(user_id=member.id, reason=reason, by=by)]
        if member.role == "host" and (heir := self._heir(member)) is not None:
            changes.append(HostChanged(user_id=heir.id))
        return changes

    def _ban(self, command: Ban, now: float) -> list[Change]:
        self._check_over(command.by, command.user_id)
        self.bans = {user_id: until for user_id, until in self.bans.items() if until > now}
        if command.user_id not in self.bans and len(self.bans) >= _MAX_DECISIONS:
            raise ResourceLimitError(f"{_MAX_DECISIONS} users are banned, the most of one room")
        self.bans[command.user_id] = max(command.until, self.bans.get(command.user_id, command.until))
        reason = f"banned: {command.reason}" if command.reason else "banned"
        member = self.members.get(command.user_id)
        return [] if member is None else self._out(member, reason, command.by)

    def _set_role(self, command: SetRole) -> list[Change]:
        self._check_host(command.by)
        member = self._member(command.user_id)
        if member.role == command.role:
            return []
        heir = member if command.role == "host" else self._heir(member)
        if heir is None:
            raise RoomError(self.room_id, f"{member.id} is alone here; a room has a host")
        self._appointed = heir.id
        return [HostChanged(user_id=heir.id)]

    def _set_grants(self, command: SetGrants) -> list[Change]:
        self._check_over(command.by, command.user_id)
        if command.moderate is not None:
            self._check_host(command.by)  # or moderators could make more of them
        member = self._member(command.user_id)
        token = self._tokens[member.id]
        for grant in ("publish", "subscribe"):
            if getattr(command, grant) and not getattr(token, grant):
                raise RoomError(self.room_id, f"the token of {member.id} does not let it {grant}")
        before = self._granted.get(member.id, SetGrants(user_id=member.id))
        if member.id not in self._granted and len(self._granted) >= _MAX_DECISIONS:
            raise ResourceLimitError(f"the grants of {_MAX_DECISIONS} users were changed, the most of one room")
        self._granted[member.id] = SetGrants(
            user_id=member.id,
            publish=before.publish if command.publish is None else command.publish,
            subscribe=before.subscribe if command.subscribe is None else command.subscribe,
            moderate=before.moderate if command.moderate is None else command.moderate,
        )
        return self._grants(member, self._rights(token))

    def _grants(self, member: RoomMember, rights: tuple[bool, bool, bool, bool]) -> list[Change]:
        if (member.publish, member.subscribe, member.moderate, member.owner) == rights:
            return []
        publish, subscribe, moderate, owner = rights
        change = GrantsChanged(user_id=member.id, publish=publish, subscribe=subscribe, moderate=moderate, owner=owner)
        return [change]

    def _rights(self, token: Join | Return) -> tuple[bool, bool, bool, bool]:
        """What a member may do: what its token says and nobody here has taken from it; and whether it is an owner."""
        granted = self._granted.get(token.user_id, SetGrants(user_id=token.user_id))
        return (
            token.publish and granted.publish is not False,
            token.subscribe and granted.subscribe is not False,
            token.moderate if granted.moderate is None else granted.moderate,
            token.owner,
        )

    def _open_stream(self, command: OpenStream) -> list[Change]:
        member = self._member(command.user_id)
        if not member.publish:
            raise RoomError(self.room_id, f"{command.user_id} may not publish here")
        if self.stream_number(command.user_id, command.kind, command.name) is not None:
            return []
        taken = {number for owner, number in self.streams if owner == member.number}
        if len(taken) >= MAX_STREAMS:
            raise ResourceLimitError(f"{command.user_id} has {MAX_STREAMS} streams open, the most one member may have")
        # 0 is every member's stream of events.
        number = next(number for number in range(1, 256) if number not in taken)
        stream = Stream(
            user_id=command.user_id, member=member.number, number=number, kind=command.kind, name=command.name
        )
        return [StreamOpened(stream=stream)]

    # Who may ---------------------------------------------------------------------------------------------------------

    def _check_newcomer(self, user_id: str, now: float) -> None:
        if (left := self.bans.get(user_id, now) - now) > 0:
            raise RoomError(self.room_id, f"{user_id} is banned for another {left:.0f} s")
        if self.locked and self.members:
            raise RoomError(self.room_id, "the room is locked")
        if len(self.members) >= self.capacity:
            raise RoomFullError(self.room_id, self.capacity)

    def _check_host(self, by: str | None) -> None:
        if by is not None and self._member(by).role != "host":
            raise RoomError(self.room_id, f"{by} is not the host")

    def _check_moderator(self, by: str | None) -> None:
        if by is not None and self._member(by).role != "host" and not self._member(by).moderate:
            raise RoomError(self.room_id, f"{by} is neither host nor moderator")

    def _check_over(self, by: str | None, user_id: str) -> None:
        """The host is over everyone, a moderator over those who are neither; nobody is over himself."""
        self._check_moderator(by)
        if by == user_id:
            raise RoomError(self.room_id, f"{by} cannot do that to itself")
        other = self.members.get(user_id)
        if by is None or other is None:
            return
        asking = self._member(by)
        if other.owner and not asking.owner:
            raise RoomError(self.room_id, f"the token of {user_id} says host, that of {by} does not")
        if asking.role != "host" and (other.role == "host" or other.moderate):
            raise RoomError(self.room_id, f"{by} is a moderator, which is not over {user_id}")

    # Inside ----------------------------------------------------------------------------------------------------------

    def _member(self, user_id: str) -> RoomMember:
        member = self.members.get(user_id)
        if member is None:
            raise RoomError(self.room_id, f"{user_id} is not in this room")
        return member

    def _host(self) -> RoomMember | None:
        return next((member for member in self.members.values() if member.role == "host"), None)

    def _heir(self, member: RoomMember) -> RoomMember | None:
        """Who is host after ``member``: one who is there, by right rather than by time, and longest."""
        others = [other for other in self.members.values() if other.id != member.id]
        return min(
            others, key=lambda other: (not other.present, not other.owner, other.join_time, other.number), default=None
        )

    def _change(self, user_id: str, **fields: Any) -> None:
        self._put(msgspec.structs.replace(self.members[user_id], **fields))

    def _put(self, member: RoomMember) -> None:
        self.members[member.id] = self._by_number[member.number] = member

    def _free_number(self, but: int) -> int:
        # Counting on before reusing: packets of a member that just left must not be taken for a newcomer's.
        number = self._last_number
        while True:
            number = number % _MAX_NUMBER + 1
            if number not in self._by_number and number != but:
                return number
