"""Control messages: what client and server ask and tell each other beside the frames.

A request is a Socket.IO event with one map as its argument and an acknowledgement ``[ok, result | error]``, where
``error`` is ``{type, code, message, fields}``. Fields are only ever added, with a default.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta

from posewire.errors import DataValidationError
from posewire.protocol.room_view import Change, KeyId, Name, Role, RoomSnapshot, Salt, StreamKind, Text

Count = Annotated[int, Meta(ge=0, le=1 << 53)]
Time = Annotated[float, Meta(ge=-1e9, le=1e9)]

FRAME: Final = "frame"
"""Both ways: one packet, as bytes."""
ROOM: Final = "room"
"""From the server: a `RoomUpdate`."""
BYE: Final = "bye"
"""From the server, before it closes: a `Bye`."""
KEYFRAME: Final = "keyframe"
"""From the server: a `KeyframeWanted`."""
ACK: Final = "ack"
"""From the server: an `Ack`."""
REPORT: Final = "report"
"""Both ways, without an acknowledgement: to the server a `ReceiverReport`, from it a `SenderReport`."""
CONFIRM: Final = "confirm"
"""To the server, without an acknowledgement: a `Confirm`."""


class Bye(msgspec.Struct, frozen=True, kw_only=True):
    """The server is about to close the connection."""

    reason: str
    retry: bool = True
    """Whether coming back makes sense."""


class Confirm(msgspec.Struct, frozen=True, kw_only=True):
    """How many journalled messages have come: events of others and ``room`` updates, since the session began."""

    received: Count


class Ack(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """How much of what was sent on this connection has come."""

    total: Count
    """Bytes of all packets, header and body."""
    held_us: Count = 0
    """Microseconds since the last of them came."""


class StreamReport(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How one stream comes through; times in milliseconds."""

    stream: Annotated[int, Meta(ge=0, le=0xFF)]
    member: Annotated[int, Meta(ge=0, le=0xFFFF)] = 0
    """Whose stream; of no interest to itself."""
    seq: Annotated[int, Meta(ge=0, le=0xFFFF_FFFF)] = 0
    """Newest frame."""
    frames: Count = 0
    """Since the report before."""
    lost: Count = 0
    """Of the frames since then, those that did not come: dropped on the way, or thinned out by the server."""
    age_p50: Time = 0.0
    age_p99: Time = 0.0
    queueing: Time = 0.0
    """How much later than at best lately."""
    render_lag: Time = 0.0
    """How long frames wait in the receiver for its loop."""


class ReceiverReport(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Event ``report`` to the server: how everything comes through here."""

    streams: Annotated[list[StreamReport], Meta(max_length=256)]


class SenderReport(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Event ``report`` from the server: how our streams come through; the worst of each figure."""

    receivers: Count
    """Who may subscribe; one that does not report counts as keeping up, unless its mailbox holds something."""
    behind: Count
    """Of them, those for whom frames come late or are thinned out."""
    streams: list[StreamReport]


class KeyframeWanted(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody cannot read one of our streams until a keyframe comes."""

    stream: int


# Requests and their results ------------------------------------------------------------------------------------------


class Hello(msgspec.Struct, frozen=True, kw_only=True):
    """Request ``hello``: who am I, and may I have my seat back? Answered by `Welcome`."""

    resume: Annotated[str, Meta(max_length=64)] | None = None
    """What the last `Welcome` gave, "" from a session that begins; None from a client that cannot come back."""
    received: Count = 0
    """As in `Confirm`."""
    member: Annotated[int, Meta(ge=0, le=0xFFFF)] = 0
    """The number of the seat it knows of: the answer to a move may have been lost. 0 of one that does not say."""


class Welcome(msgspec.Struct, frozen=True, kw_only=True):
    """What the token says, the server's version, and whether this is the session that it was."""

    user_id: str
    room: str | None
    role: Role
    publish: bool
    subscribe: bool
    server: str
    acknowledges: bool = False
    """Whether the server tells with `Ack` what has come; without it a sender cannot know what is under way."""
    moderate: bool = False
    expires_in: float = 0.0
    """Seconds until the token ends, and the session with it unless it is refreshed."""
    resume: str = ""
    """Good for one `Hello`; empty when the client did not ask, or the server holds no seats."""
    resumed: bool = False
    """The seat, its numbers and its salt are what they were, and what was missed comes in order."""
    reason: str = ""
    """Why not, for people."""
    received: Count = 0
    """Of a session that was resumed: one more than the seq of its last event that the server has taken."""


class OpenLane(msgspec.Struct, frozen=True, kw_only=True):
    """Request ``lane.open``: answered by `LaneTicket`."""


class LaneTicket(msgspec.Struct, frozen=True, kw_only=True):
    """What a further connection of this session shows when it connects, as ``lane`` beside its token."""

    ticket: Annotated[str, Meta(max_length=64)]
    """Good once."""
    seconds: float
    """And for so long."""


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


class RefreshToken(msgspec.Struct, frozen=True, kw_only=True):
    """Request ``token.refresh``: go on with a newer token of the same user; answered by the seconds it is good for."""

    token: Annotated[str, Meta(max_length=8192)]


class Rekey(msgspec.Struct, frozen=True, kw_only=True):
    """Request ``room.rekey``: seal with another room key, under another salt, in the same seat. Answered by true."""

    room: Name
    salt: Annotated[bytes, Meta(min_length=16, max_length=16)]
    key_id: Annotated[bytes, Meta(min_length=8, max_length=8)]


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
    """Request ``room.sync``, of members only: answered by `SyncedRoom`."""

    room: Name
    version: Count | None = None
    """What the client has."""


class SyncedRoom(msgspec.Struct, frozen=True, kw_only=True):
    """The changes since the client's version, or the whole room when the server does not know them any more."""

    snapshot: RoomSnapshot | None = None
    changes: list[Change] = []


class KickMember(msgspec.Struct, frozen=True, kw_only=True):
    """Request ``room.kick``: throw a member out; its tokens are void in this room. Answered by whether it was in."""

    room: Name
    user: Name
    reason: Text = ""
    ban: Annotated[float, Meta(ge=0, le=1e9)] | None = None
    """Seconds in which no new token lets it in either; None for what the server is set to."""


class BanMember(msgspec.Struct, frozen=True, kw_only=True):
    """Request ``room.ban``: keep a user out for a time, and throw it out if it is in. Answered by true."""

    room: Name
    user: Name
    seconds: Annotated[float, Meta(gt=0, le=1e9)]
    reason: Text = ""


class UnbanMember(msgspec.Struct, frozen=True, kw_only=True):
    """Request ``room.unban``: let a user in again, with a new token. Answered by whether it was kept out."""

    room: Name
    user: Name


class LockRoom(msgspec.Struct, frozen=True, kw_only=True):
    """Request ``room.lock``, of the host: let nobody else in, or everybody again. Answered by whether that is new."""

    room: Name
    locked: bool


class SetRole(msgspec.Struct, frozen=True, kw_only=True):
    """Request ``room.role``, of the host: make a member host, or give it up. Answered by whether that is new."""

    room: Name
    user: Name
    role: Role


class SetGrants(msgspec.Struct, frozen=True, kw_only=True):
    """Request ``room.grants``: what a member may do; None leaves it as it is. Answered by whether that is new."""

    room: Name
    user: Name
    publish: bool | None = None
    subscribe: bool | None = None
    moderate: bool | None = None


class SetStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Request ``room.status``: what a member says of itself. Answered by whether that is new."""

    room: Name
    user: Name
    status: Text


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


class FetchPicture(msgspec.Struct, frozen=True, kw_only=True):
    """Request ``stream.picture``: what is there to see of a stream of poses that we did not follow so far?

    Answered by a list of packets: those that its newest picture refers to, and the picture. It may be empty.
    """

    member: Annotated[int, Meta(ge=0, le=0xFFFF)]
    stream: Annotated[int, Meta(ge=0, le=0xFF)]


REQUESTS: Final[dict[str, type[msgspec.Struct]]] = {
    "hello": Hello,
    "heartbeat": Heartbeat,
    "lane.open": OpenLane,
    "room.create": CreateRoom,
    "room.join": JoinRoom,
    "room.leave": LeaveRoom,
    "room.list": ListRooms,
    "room.info": RoomInfo,
    "room.members": RoomMembers,
    "room.sync": SyncRoom,
    "room.rekey": Rekey,
    "room.kick": KickMember,
    "room.ban": BanMember,
    "room.unban": UnbanMember,
    "room.lock": LockRoom,
    "room.role": SetRole,
    "room.grants": SetGrants,
    "room.status": SetStatus,
    "token.refresh": RefreshToken,
    "stream.open": OpenStream,
    "stream.keyframe": RequestKeyframe,
    "stream.picture": FetchPicture,
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
