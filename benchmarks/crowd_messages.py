"""What the parent and the workers of `crowd` tell each other."""

from __future__ import annotations

import msgspec


class Enter(msgspec.Struct, frozen=True, kw_only=True):
    """Request to members, after the setup: all of them go in. Answered with `Ready`."""

    rooms: int
    """That all sessions share evenly."""


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """Request: how is it? Answered with `Crowd`."""

    fps: float = 0.0
    """Begin to send at that rate, if it is not done already; 0 to leave it."""
    collect: bool = True
    """Collect garbage first: memory is what is in use then, but everything waits meanwhile."""


class Crowd(msgspec.Struct, frozen=True, kw_only=True):
    """A worker as it is."""

    rss: int
    """Bytes."""
    tasks: int
    descriptors: int
    cpu_ns: int
    """Process time since it started."""
    sent: int = 0
    """Poses handed in (members) or packets taken (server)."""
    received: int = 0
    """Poses that code held (members) or packets handed on (server)."""
    lost: int = 0
    """Missing in the numbers that came (members), or dropped (server)."""
    drops: dict[str, int] = {}
    """Server: what was dropped, by reason."""
    disconnects: int = 0
    """Connections lost, and sessions that ended."""
    ages: bytes = b""
    """uint32: poses by age since the look before, in steps of `AGE_STEP`; the last step is for all that are older."""
