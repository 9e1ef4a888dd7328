"""A look at a connection."""

from __future__ import annotations

import msgspec


class ConnectionStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A connection at one moment."""

    connected: bool = False
    last_heartbeat: float = 0.0
    """When the server last answered a heartbeat, on the scale of ``time.time()``; 0 never."""
    reconnect_count: int = 0
    error_count: int = 0
    connection_id: str = ""
    round_trip: float = 0.0
    """Seconds the last heartbeat took."""
