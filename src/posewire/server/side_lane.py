"""A further connection of a session, which carries poses and nothing else."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

from posewire.config import ServerConfig
from posewire.server.admission import Quota
from posewire.server.connection import Connection
from posewire.server.engine import Engine
from posewire.server.fast_path import ENDED
from posewire.server.flusher import Flusher
from posewire.server.outlets import open_outlet
from posewire.server.receipts import Receipts


class SideLane:
    """Stands for no member: who it is, where and what it may do is what the connection it belongs to is and may do.

    It ends with that connection, and takes nothing along: what is on its way on it is poses, of which there are newer
    ones.

    Attributes:
        sid: Socket.IO's id of it.
        connection: Of the session.
        quota: Counts it as one of its member's connections.
        ended: Set when it is closed and nothing of it runs any more.
    """

    def __init__(
        self,
        engine: Engine,
        sid: str,
        environ: dict[str, Any],
        connection: Connection,
        quota: Quota,
        *,
        flusher: Flusher,
        drops: Counter[str],
        config: ServerConfig,
        ask_keyframe: Callable[[Connection, int], None],
    ) -> None:
        self.sid = sid
        self.connection = connection
        self.quota = quota
        self.ended: asyncio.Event = environ[ENDED]
        self._engine = engine
        self._drops = drops
        self.outlet = open_outlet(
            engine,
            sid,
            environ,
            flusher=flusher,
            drops=drops,
            config=config,
            give_up=self.give_up,
            ask_keyframe=lambda key: ask_keyframe(connection, key),
        )
        self.receipts = Receipts(self.outlet.tell_at_once)

    @property
    def eio_sid(self) -> str:
        """engine.io's id of it."""
        return str(self.outlet.socket.sid)

    def give_up(self, reason: str) -> None:
        """Cut it, for its client takes nothing of it; the session goes on without."""
        self._drops["cut_too_slow"] += 1
        self.cut()

    def release(self) -> None:
        """Take no more packets of it."""
        self._engine.eio.frame_handlers.pop(self.eio_sid, None)
        self._engine.eio.event_handlers.pop(self.eio_sid, None)
        self.receipts.close()

    def cut(self) -> None:
        """End it at once."""
        self.outlet.cut()
