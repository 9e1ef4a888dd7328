"""A look at a session's connections."""

from __future__ import annotations

import msgspec


class LaneStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One connection at one moment."""

    connection_id: str
    url: str
    primary: bool
    """Whether it is the one that the session is greeted on, is in its room by, and comes back by."""
    healthy: bool
    """Whether it is open and its last heartbeat was answered, within ``socket.connection_timeout``."""
    round_trip: float
    """Seconds the last heartbeat took; 0 before the first."""
    in_flight: int
    """Bytes of frames under way to the server."""
    bytes_sent: int
    """Of frames, since it was opened."""


class PoolStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The pool at one moment."""

    active: int
    """Connections that are open."""
    available: int
    """Of them, those that are healthy."""
    failed: int
    """Connections that were lost, replaced or could not be opened, since the session began."""
    utilization: float
    """Active ones, of those there may be: 0 to 1."""
    last_cleanup: float
    """When idle connections were looked for last, on the scale of ``time.time()``; 0 never."""
    lanes: list[LaneStatus] = []
    """The primary one first."""
