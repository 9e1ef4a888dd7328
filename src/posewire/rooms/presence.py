"""Who came, went, dropped and returned, and what changed about them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from typing import Final, Literal, Self

import msgspec

from posewire.protocol.room_view import (
    Change,
    Closed,
    Dropped,
    GrantsChanged,
    HostChanged,
    Joined,
    Left,
    LockChanged,
    Returned,
    RoomMember,
    StatusChanged,
)
from posewire.rooms.room_state import RoomState

_BACKLOG: Final = 1000

PresenceKind = Literal[
    "joined", "left", "dropped", "returned", "host", "grants", "status", "locked", "unlocked", "closed"
]


class Presence(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened in the room."""

    kind: PresenceKind
    room_id: str
    user_id: str = ""
    """Whom it is about; empty when it is about the room."""
    reason: str = ""
    by: str | None = None
    """Who did it, where it was done to somebody."""
    member: RoomMember | None = None
    """As it is afterwards, or was before it left."""


class PresenceFeed:
    """An async iterator of what happens in the room, from the moment it was made.

    A loop that falls 1,000 behind loses the oldest, counted in `dropped`. It ends when the session does. Cancelling a
    wait loses nothing.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self._waiting: deque[Presence] = deque(maxlen=_BACKLOG)
        self._changed = asyncio.Event()
        self._ended = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Presence:
        """Wait for the next thing to happen."""
        while not self._waiting:
            if self._ended:
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        return self._waiting.popleft()

    def put(self, presence: Presence) -> None:
        """Add what happened. Never waits."""
        self.dropped += len(self._waiting) == self._waiting.maxlen
        self._waiting.append(presence)
        self._changed.set()

    def end(self) -> None:
        """Let the loop end once it has seen everything."""
        self._ended = True
        self._changed.set()


def presence_of(change: Change, before: RoomMember | None, state: RoomState) -> Presence | None:
    """Return what a change means, told after it was absorbed; None for what is nobody's presence.

    Args:
        change: The change.
        before: The member it is about, before it.
        state: The room after it.
    """
    room = state.room_id
    match change:
        case Joined(member=member):
            return Presence(kind="joined", room_id=room, user_id=member.id, member=member)
        case Left(user_id=user_id, reason=reason, by=by):
            return Presence(kind="left", room_id=room, user_id=user_id, reason=reason, by=by, member=before)
        case Dropped(user_id=user_id):
            return Presence(kind="dropped", room_id=room, user_id=user_id, member=state.members[user_id])
        case Returned(user_id=user_id):
            return Presence(kind="returned", room_id=room, user_id=user_id, member=state.members[user_id])
        case HostChanged(user_id=user_id):
            return Presence(kind="host", room_id=room, user_id=user_id, member=state.members[user_id])
        case GrantsChanged(user_id=user_id):
            return Presence(kind="grants", room_id=room, user_id=user_id, member=state.members[user_id])
        case StatusChanged(user_id=user_id):
            return Presence(kind="status", room_id=room, user_id=user_id, member=state.members[user_id])
        case LockChanged(locked=locked):
            return Presence(kind="locked" if locked else "unlocked", room_id=room)
        case Closed(reason=reason):
            return Presence(kind="closed", room_id=room, reason=reason)
        case _:
            return None


def differences(old: RoomState, new: RoomState) -> Iterator[Presence]:
    """Yield what must have happened between two views of a room, when the changes themselves were missed."""
    room = new.room_id
    for member in old.members.values():
        now = new.members.get(member.id)
        if now is None or (now.number, now.join_time) != (member.number, member.join_time):
            yield Presence(kind="left", room_id=room, user_id=member.id, reason="missed", member=member)
    for member in new.members.values():
        was = old.members.get(member.id)
        if was is None or (was.number, was.join_time) != (member.number, member.join_time):
            yield Presence(kind="joined", room_id=room, user_id=member.id, member=member)
            continue
        if was.present != member.present:
            yield Presence(
                kind="returned" if member.present else "dropped", room_id=room, user_id=member.id, member=member
            )
        if was.role != member.role and member.role == "host":
            yield Presence(kind="host", room_id=room, user_id=member.id, member=member)
        if _rights_of(was) != _rights_of(member):
            yield Presence(kind="grants", room_id=room, user_id=member.id, member=member)
        if was.status != member.status:
            yield Presence(kind="status", room_id=room, user_id=member.id, member=member)
    if old.locked != new.locked:
        yield Presence(kind="locked" if new.locked else "unlocked", room_id=room)


def _rights_of(member: RoomMember) -> tuple[bool, ...]:
    return member.publish, member.subscribe, member.moderate, member.owner
