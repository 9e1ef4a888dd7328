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
from posewire.server.poll_outlet import PollOutlet


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
    default = engine.eio.speaks_default(eio_socket.sid)
    options: dict[str, Any] = {
        "flusher": flusher,
        "drops": drops,
        "config": config,
        "give_up": give_up,
        "ask_keyframe": ask_keyframe,
    }
    if (session := engine.eio.poll_session(eio_socket.sid)) is not None:
        return PollOutlet(session, default=default, **options)
    return (DefaultOutlet if default else Outlet)(eio_socket, environ["aiohttp.request"], **options)
