"""Which kind of `Outlet` a connection needs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from posewire.config import ServerConfig
from posewire.server.default_outlet import DefaultOutlet
from posewire.server.engine import Engine
from posewire.server.flusher import Flusher
from posewire.server.outlet import Outlet


def open_outlet(
    engine: Engine,
    sid: str,
    environ: dict[str, Any],
    *,
    flusher: Flusher,
    drops: Counter[str],
    config: ServerConfig,
    give_up: Callable[[str], None],
    ask_keyframe: Callable[[int], None],
) -> Outlet:
    """Return the way to the client of a Socket.IO connection, in its encoding; for the rest see `Outlet`."""
    eio_socket = engine.eio_socket(sid)
    kind = DefaultOutlet if engine.eio.speaks_default(eio_socket.sid) else Outlet
    return kind(
        eio_socket,
        environ["aiohttp.request"],
        flusher=flusher,
        drops=drops,
        config=config,
        give_up=give_up,
        ask_keyframe=ask_keyframe,
    )
