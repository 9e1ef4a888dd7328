"""Control messages: what client and server ask and tell each other beside the frames.

A request is a Socket.IO event with one map as its argument and an acknowledgement ``[ok, result | error]``, where
``error`` is ``{type, code, message, fields}``. Fields are only ever added, with a default.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
from msgspec import Meta

from posewire.errors import DataValidationError
from posewire.limits import MAX_NAME_CHARS

# No control characters: names end up in logs and on terminals, which would obey them.
Name = Annotated[str, Meta(min_length=1, max_length=MAX_NAME_CHARS, pattern=r"^[^\x00-\x1f\x7f-\x9f]+\Z")]
# Random bytes, or none from a client that seals nothing.
Salt = Annotated[bytes, Meta(max_length=16)]
KeyId = Annotated[bytes, Meta(max_length=8)]
Role = Literal["host", "member"]
StreamKind = Literal["pose", "audio"]

FRAME: Final = "frame"
"""Both ways: one packet, as bytes."""
ROOM: Final = "room"
"""From the server: a `RoomUpdate`."""
BYE: Final = "bye"
"""From the server, before it closes: a `Bye`."""
KEYFRAME: Final = "keyframe"
"""From the server: a `KeyframeWanted`."""


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


# Changes of a room ---------------------------------------------------------------------------------------------------


class Joined(msgspec.Struct, frozen=True, tag="joined", kw_only=True):
    """A member came in."""

    member: RoomMember


class Left(msgspec.Struct, frozen=True, tag="left", kw_only=True):
    """A member is gone, and with it its streams."""

    user_id: str
    reason: str


class HostChanged(msgspec.Struct, frozen=True, tag="host", kw_only=True):
    """The host left; this member is host now."""

    user_id: str


class StreamOpened(msgspec.Struct, frozen=True, tag="stream", kw_only=True):
    """A member will send on a new stream."""

    stream: Stream


Change = Joined | Left | HostChanged | StreamOpened


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


class Bye(msgspec.Struct, frozen=True, kw_only=True):
    """The server is about to close the connection."""

    reason: str
    retry: bool = True
    """Whether coming back makes sense."""


class KeyframeWanted(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody cannot read one of our streams until a keyframe comes."""

    stream: int


# Requests and their results ------------------------------------------------------------------------------------------


class Hello(msgspec.Struct, frozen=True, kw_only=True):
    """Request ``hello``: who am I? Answered by `Welcome`."""


class Welcome(msgspec.Struct, frozen=True, kw_only=True):
    """What the token says, and the server's version."""

    user_id: str
    room: str | None
    role: Role
    publish: bool
    subscribe: bool
    server: str


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True):
    """Request ``heartbeat``: answered by the server's clock, microseconds since 1970."""


class CreateRoom(msgspec.Struct, frozen=True, kw_only=True):
    """Request ``room.create``: answered by whether it is new."""

    room: Name


class JoinRoom(msgspec.Struct, frozen=True, kw_only=True):
    """Request ``room.join``: answered by `JoinedRoom`."""

    room: Name
    role: Role = "member"
    create: bool = False
    """Make the room when there is none."""
    salt: Salt = b""
    key_id: KeyId = b""

    def __post_init__(self) -> None:
        if len(self.salt) not in (0, 16) or len(self.key_id) not in (0, 8):
            raise ValueError("Expected `salt` of 0 or 16 bytes, `key_id` of 0 or 8")


class JoinedRoom(msgspec.Struct, frozen=True, kw_only=True):
    """The room as it is with the new member in it."""

    number: int
    """The new member's."""
    key: bytes
    """The same for all members: signs v1 bodies, and the keys of the MAC come from it."""
    snapshot: RoomSnapshot


class LeaveRoom(msgspec.Struct, frozen=True, kw_only=True):
    """Request ``room.leave``: answered by whether one was in it."""

    room: Name


class ListRooms(msgspec.Struct, frozen=True, kw_only=True):
    """Request ``room.list``: answered by a list of `RoomStatus`."""


class RoomInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Request ``room.info``: answered by `RoomStatus`, or nil when there is no such room."""

    room: Name


class RoomMembers(msgspec.Struct, frozen=True, kw_only=True):
    """Request ``room.members``: answered by a list of `RoomMember`, empty when there is no such room."""

    room: Name


class SyncRoom(msgspec.Struct, frozen=True, kw_only=True):
    """Request ``room.sync``, of members only: answered by `RoomSnapshot`."""

    room: Name


class OpenStream(msgspec.Struct, frozen=True, kw_only=True):
    """Request ``stream.open``: answered by the stream's number."""

    kind: StreamKind
    name: Name


class RequestKeyframe(msgspec.Struct, frozen=True, kw_only=True):
    """Request ``stream.keyframe``: a frame refers to one that did not come; answered by whether the stream is open.

    Its publisher is told.
    """

    member: Annotated[int, Meta(ge=0, le=0xFFFF)]
    stream: Annotated[int, Meta(ge=0, le=0xFF)]


REQUESTS: Final[dict[str, type[msgspec.Struct]]] = {
    "hello": Hello,
    "heartbeat": Heartbeat,
    "room.create": CreateRoom,
    "room.join": JoinRoom,
    "room.leave": LeaveRoom,
    "room.list": ListRooms,
    "room.info": RoomInfo,
    "room.members": RoomMembers,
    "room.sync": SyncRoom,
    "stream.open": OpenStream,
    "stream.keyframe": RequestKeyframe,
}
REQUEST_NAMES: Final = {cls: name for name, cls in REQUESTS.items()}

_T = TypeVar("_T")


def to_plain(message: Any) -> Any:
    """Return a message as maps and lists, ready for any Socket.IO parser; bytes stay bytes."""
    return msgspec.to_builtins(message, builtin_types=(bytes,))


def from_plain(data: Any, kind: type[_T], *, what: str) -> _T:
    """Read a message of type ``kind``.

    Raises:
        DataValidationError: It is not one; the message says where and what was expected.
    """
    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as exc:
        raise DataValidationError(what, f"{str(data)[:80]}", str(exc)) from None
