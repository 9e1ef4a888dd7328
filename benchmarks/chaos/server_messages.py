"""What a world and its server's process tell each other."""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

from posewire.protocol import control
from posewire.rooms import RoomState

MAX_MESSAGE: Final = 1 << 16


class Spec(msgspec.Struct, frozen=True, kw_only=True):
    """A server to be."""

    port: int
    config: dict[str, dict[str, Any]]


class Started(msgspec.Struct, frozen=True, kw_only=True):
    """First line from a server: it listens."""

    pid: int
    port: int


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """A line to a server; answered with `Look`."""

    action: Literal["look"] = "look"


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """A server as it is now."""

    census: dict[str, int]
    tasks: list[str]
    """Names."""
    descriptors: int
    stall: float
    """Seconds for which nothing had its turn, the longest time."""
    connections: int
    rooms: dict[str, dict[str, Any]]
    """Snapshots by name."""


def snapshot_of(state: RoomState) -> dict[str, Any]:
    """Return a room as all who see it must see it: without when it was active last, which is told to nobody."""
    snapshot: dict[str, Any] = control.to_plain(state.snapshot())
    del snapshot["last_active"]
    snapshot["members"] = [
        {
            name: value.hex() if isinstance(value, bytes) else value
            for name, value in member.items()
            if name != "last_active"
        }
        for member in sorted(snapshot["members"], key=lambda member: member["number"])
    ]
    snapshot["streams"] = sorted(snapshot["streams"], key=lambda stream: (stream["member"], stream["number"]))
    return snapshot
