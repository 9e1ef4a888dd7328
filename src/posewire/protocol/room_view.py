"""What can be seen of a room, and every way it can change; the same for server and clients."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from posewire.limits import MAX_NAME_CHARS

# No control characters: names end up in logs and on terminals, which would obey them.
Name = Annotated[str, Meta(min_length=1, max_length=MAX_NAME_CHARS, pattern=r"^[^\x00-\x1f\x7f-\x9f]+\Z")]
Text = Annotated[str, Meta(max_length=MAX_NAME_CHARS, pattern=r"^[^\x00-\x1f\x7f-\x9f]*\Z")]
"""What one member says for others to read: a status, a reason."""
# Random bytes, or none from a client that seals nothing.
Salt = Annotated[bytes, Meta(max_length=16)]
KeyId = Annotated[bytes, Meta(max_length=8)]
Role = Literal["host", "member"]
StreamKind = Literal["pose", "audio"]


class RoomMember(msgspec.Struct, frozen=True, kw_only=True):
    """A member of a room; times in seconds on the server's clock."""

    id: str
    number: int
    """Stands for the member in the headers of its packets; unique in the room."""
    join_time: float
    last_active: float
    role: Role = "member"
    publish: bool = True
    subscribe: bool = True
    salt: Salt = b""
    """Makes the keys of its seal its own, and new with every joining; empty when it seals nothing."""
    key_id: KeyId = b""
    """Tells which room key it has, without telling the key; empty when it has none."""
    moderate: bool = False
    """Whether it may kick, ban and mute those who are neither host nor moderators."""
    owner: bool = False
    """Whether its token says host: it is host before any who is that only for having been first."""
    status: Text = ""
    """What it says of itself."""
    present: bool = True
    """False while its connection is lost and its seat is held."""


class RoomStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A room from outside; times in seconds on the server's clock."""

    room_id: str
    member_count: int
    created_time: float
    last_active: float
    is_locked: bool = False


class Stream(msgspec.Struct, frozen=True, kw_only=True):
    """A stream of a member: its number stands for kind and name in the headers."""

    user_id: str
    member: int
    number: int
    kind: StreamKind
    name: str


class Joined(msgspec.Struct, frozen=True, tag="joined", kw_only=True):
    """A member came in."""

    member: RoomMember


class Left(msgspec.Struct, frozen=True, tag="left", kw_only=True):
    """A member is gone, and with it its streams."""

    user_id: str
    reason: str
    by: str | None = None
    """Who threw it out."""


class Dropped(msgspec.Struct, frozen=True, tag="dropped", kw_only=True):
    """The connection of a member was lost; its seat is held for a while."""

    user_id: str


class Returned(msgspec.Struct, frozen=True, tag="returned", kw_only=True):
    """A member whose connection was lost is back in its seat."""

    user_id: str


class HostChanged(msgspec.Struct, frozen=True, tag="host", kw_only=True):
    """This member is host now, and whoever was it before is not."""

    user_id: str


class GrantsChanged(msgspec.Struct, frozen=True, tag="grants", kw_only=True):
    """What a member may do."""

    user_id: str
    publish: bool
    subscribe: bool
    moderate: bool
    owner: bool = False


class StatusChanged(msgspec.Struct, frozen=True, tag="status", kw_only=True):
    """What a member says of itself."""

    user_id: str
    status: Text


class Rekeyed(msgspec.Struct, frozen=True, tag="rekeyed", kw_only=True):
    """A member seals with another room key from now on."""

    user_id: str
    salt: Salt
    key_id: KeyId


class LockChanged(msgspec.Struct, frozen=True, tag="lock", kw_only=True):
    """Whether newcomers are let in."""

    locked: bool


class StreamOpened(msgspec.Struct, frozen=True, tag="stream", kw_only=True):
    """A member will send on a new stream."""

    stream: Stream


class Closed(msgspec.Struct, frozen=True, tag="closed", kw_only=True):
    """The room is no more, and nobody is in it."""

    reason: str


Change = (
    Joined
    | Left
    | Dropped
    | Returned
    | HostChanged
    | GrantsChanged
    | StatusChanged
    | Rekeyed
    | LockChanged
    | StreamOpened
    | Closed
)


class RoomUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """One change of a room, which has ``version`` after it."""

    room: str
    version: int
    change: Change


class RoomSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """All there is to know of a room at ``version``."""

    room: str
    version: int
    created_time: float
    last_active: float
    capacity: int
    members: list[RoomMember]
    streams: list[Stream]
    locked: bool = False
