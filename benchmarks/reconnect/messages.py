"""What the parent and the workers of `resume` tell each other."""

from __future__ import annotations

from typing import Literal

import msgspec


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """Request to the link: reset everything, and refuse, not answer, or take and reset new ones; or be there again."""

    action: Literal["refused", "blackhole", "gateway", "restore"]


class Turned(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to `Turn`: it is so."""

    at_ns: int
    """`time.monotonic_ns`, one clock for all processes of a Linux machine."""


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """Request to members: ``arm`` forgets what was seen and notes what comes, ``report`` tells it."""

    action: Literal["arm", "report"]


class Back(msgspec.Struct, frozen=True, kw_only=True):
    """What a session saw since ``arm``: times of `time.monotonic_ns`, 0 for not yet."""

    connected_ns: int = 0
    """The library said that there is a connection."""
    room_ns: int = 0
    """It was in its room again, in its role where the system has roles."""
    first_ns: int = 0
    """It held the first decoded pose of another member."""
    all_ns: int = 0
    """It held one of each other member of its room."""
    resumed: bool = False

    @property
    def complete(self) -> bool:
        """Whether everything is back."""
        return bool(self.connected_ns and self.room_ns and self.first_ns and self.all_ns)


class Backs(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to `Note`."""

    sessions: list[Back]
