"""The rules of a room: the same code decides on the server and mirrors on the client."""

from __future__ import annotations

from typing import Final

import msgspec

from posewire.errors import ResourceLimitError, RoomError, RoomFullError
from posewire.limits import MAX_STREAMS
from posewire.protocol.control import (
    Change,
    HostChanged,
    Joined,
    Left,
    Role,
    RoomMember,
    RoomSnapshot,
    RoomStatus,
    Stream,
    StreamKind,
    StreamOpened,
)

_MAX_NUMBER: Final = 0xFFFF


class Join(msgspec.Struct, frozen=True, kw_only=True):
    """Command: somebody comes in. The first is host, whatever role it asks for."""

    user_id: str
    role: Role = "member"
    publish: bool = True
    subscribe: bool = True
    salt: bytes = b""
    key_id: bytes = b""


class Leave(msgspec.Struct, frozen=True, kw_only=True):
    """Command: a member goes."""

    user_id: str
    reason: str = "left"


class OpenStream(msgspec.Struct, frozen=True, kw_only=True):
    """Command: a member will send on a stream; the same stream again keeps its number."""

    user_id: str
    kind: StreamKind
    name: str


Command = Join | Leave | OpenStream


class RoomState:
    """Who is in a room, with which streams, at which version.

    Pure: commands go in, changes come out, time is an argument (seconds on the server's clock). Each change makes the
    version one more. The server calls `apply`; a client that starts from a snapshot calls `absorb` with the changes
    it is told, and has the same state.
    """

    def __init__(self, room_id: str, *, capacity: int, now: float) -> None:
        self.room_id = room_id
        self.capacity = capacity
        self.created_time = now
        self.last_active = now
        self.version = 0
        self.members: dict[str, RoomMember] = {}
        self.streams: dict[tuple[int, int], Stream] = {}
        """By numbers of member and stream."""
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
        state.version = snapshot.version
        state.last_active = snapshot.last_active
        return state

    def apply(self, command: Command, *, now: float) -> list[Change]:
        """Carry ``command`` out and return what changed; nothing changes when it raises.

        Raises:
            RoomFullError: No seat left.
            RoomError: Already in, not in, or not allowed.
            ResourceLimitError: Too many streams.
        """
        match command:
            case Join():
                changes = self._join(command, now)
            case Leave():
                changes = self._leave(command)
            case OpenStream():
                changes = self._open_stream(command)
        for change in changes:
            self.absorb(change)
        self.last_active = now
        return changes

    def absorb(self, change: Change) -> None:
        """Take in a change that was decided elsewhere; the version grows by one."""
        match change:
            case Joined(member=member):
                self.members[member.id] = member
                self._by_number[member.number] = member
                self._last_number = member.number
            case Left(user_id=user_id):
                gone = self.members.pop(user_id)
                del self._by_number[gone.number]
                self.streams = {key: stream for key, stream in self.streams.items() if key[0] != gone.number}
            case HostChanged(user_id=user_id):
                host = msgspec.structs.replace(self.members[user_id], role="host")
                self.members[user_id] = self._by_number[host.number] = host
            case StreamOpened(stream=stream):
                self.streams[stream.member, stream.number] = stream
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
        )

    def _join(self, command: Join, now: float) -> list[Change]:
        if command.user_id in self.members:
            raise RoomError(self.room_id, f"{command.user_id} is in this room already")
        if len(self.members) >= self.capacity:
            raise RoomFullError(self.room_id, self.capacity)
        member = RoomMember(
            id=command.user_id,
            number=self._free_number(),
            join_time=now,
            last_active=now,
            # Exactly one host while anybody is in: the first, whatever it asked for, and nobody else.
            role="member" if self.members else "host",
            publish=command.publish,
            subscribe=command.subscribe,
            salt=command.salt,
            key_id=command.key_id,
        )
        return [Joined(member=member)]

    def _leave(self, command: Leave) -> list[Change]:
        member = self.members.get(command.user_id)
        if member is None:
            raise RoomError(self.room_id, f"{command.user_id} is not in this room")
        changes: list[Change] = [Left(user_id=command.user_id, reason=command.reason)]
        others = [other for other in self.members.values() if other.id != member.id]
        if member.role == "host" and others:
            heir = min(others, key=lambda other: (other.join_time, other.number))
            changes.append(HostChanged(user_id=heir.id))
        return changes

    def _open_stream(self, command: OpenStream) -> list[Change]:
        member = self.members.get(command.user_id)
        if member is None:
            raise RoomError(self.room_id, f"{command.user_id} is not in this room")
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

    def _free_number(self) -> int:
        # Counting on before reusing: packets of a member that just left must not be taken for a newcomer's.
        number = self._last_number
        while True:
            number = number % _MAX_NUMBER + 1
            if number not in self._by_number:
                return number
