"""What can be asked of a room. ``by`` is who asks; None is the server itself."""

from __future__ import annotations

import msgspec

from posewire.protocol.room_view import Role, StreamKind


class Join(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody comes in, with the rights its token gives. The first is host, whatever role it asks for."""

    user_id: str
    role: Role = "member"
    publish: bool = True
    subscribe: bool = True
    moderate: bool = False
    owner: bool = False
    """Its token lets it be host: it takes over, when it asks for that, from one who is host for having been first."""
    salt: bytes = b""
    key_id: bytes = b""
    replaces: bool = False
    """It is in already, and takes its own place with a new session."""
    not_number: int = 0
    """What it was where it comes from: what it sent there may come late, and must not be taken for sent here."""


class Leave(msgspec.Struct, frozen=True, kw_only=True):
    """A member goes."""

    user_id: str
    reason: str = "left"


class Drop(msgspec.Struct, frozen=True, kw_only=True):
    """A member's connection is lost; it keeps its seat."""

    user_id: str


class Return(msgspec.Struct, frozen=True, kw_only=True):
    """A member is there, on another connection or with another token."""

    user_id: str
    publish: bool = True
    subscribe: bool = True
    moderate: bool = False
    owner: bool = False


class Kick(msgspec.Struct, frozen=True, kw_only=True):
    """A member is thrown out."""

    user_id: str
    by: str | None = None
    reason: str = ""


class Ban(msgspec.Struct, frozen=True, kw_only=True):
    """A user may not come in before ``until``, seconds on the server's clock, and is thrown out if it is in."""

    user_id: str
    until: float
    by: str | None = None
    reason: str = ""


class Unban(msgspec.Struct, frozen=True, kw_only=True):
    """A user may come in again."""

    user_id: str
    by: str | None = None


class Lock(msgspec.Struct, frozen=True, kw_only=True):
    """No newcomers, or newcomers again."""

    locked: bool
    by: str | None = None


class SetRole(msgspec.Struct, frozen=True, kw_only=True):
    """A member becomes host, or the host becomes a member and the next in line host."""

    user_id: str
    role: Role
    by: str | None = None


class SetGrants(msgspec.Struct, frozen=True, kw_only=True):
    """A member may do more or less, whatever its token says of moderating; None leaves a grant as it is."""

    user_id: str
    publish: bool | None = None
    subscribe: bool | None = None
    moderate: bool | None = None
    by: str | None = None


class SetStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What a member says of itself."""

    user_id: str
    status: str
    by: str | None = None


class Rekey(msgspec.Struct, frozen=True, kw_only=True):
    """A member seals with another room key, and another salt, from now on."""

    user_id: str
    salt: bytes
    key_id: bytes


class OpenStream(msgspec.Struct, frozen=True, kw_only=True):
    """A member will send on a stream; the same stream again keeps its number."""

    user_id: str
    kind: StreamKind
    name: str


class Close(msgspec.Struct, frozen=True, kw_only=True):
    """The room ends, and everyone is out."""

    reason: str


_Moderating = Kick | Ban | Unban | Lock | SetRole | SetGrants
Command = Join | Leave | Drop | Return | _Moderating | SetStatus | Rekey | OpenStream | Close
