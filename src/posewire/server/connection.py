"""One client on the server."""

from __future__ import annotations

import asyncio
from typing import Any

from posewire.protocol import control
from posewire.server.engine import ENDED, Engine, Outgoing, Outlet, outgoing_event
from posewire.server.token_authority import Claims


class Connection:
    """A client that was let in: who it is, where it is, and the queue to it.

    Attributes:
        sid: Socket.IO's id of the connection.
        claims: What its token says.
        session_id: The same for all connections of one session.
        room_id: The room it is in.
        number: Its number there.
        ended: Set when the connection is closed and nothing of it runs any more.
    """

    def __init__(
        self,
        engine: Engine,
        sid: str,
        environ: dict[str, Any],
        claims: Claims,
        session_id: str,
        *,
        queue_limit: int,
    ) -> None:
        self.sid = sid
        self.claims = claims
        self.session_id = session_id
        self.room_id: str | None = None
        self.number = 0
        self.keyframes: dict[int, float] = {}
        """When a keyframe of a stream was asked of it last."""
        self.ended: asyncio.Event = environ[ENDED]
        self._engine = engine
        self._outlet = Outlet(engine.eio_socket(sid), environ["aiohttp.request"])
        self._queue_limit = queue_limit

    @property
    def user_id(self) -> str:
        """Who its token says it is."""
        return self.claims.sub

    @property
    def eio_sid(self) -> str:
        """engine.io's id of the connection."""
        return str(self._outlet.socket.sid)

    @property
    def backlog(self) -> int:
        """Messages that wait for its transport."""
        return self._outlet.waiting

    def offer(self, frame: Outgoing) -> bool:
        """Send a frame, unless this client is too slow for it. Never waits."""
        if self._outlet.waiting >= self._queue_limit or self._outlet.closed:
            return False
        self._outlet.put(frame)
        return True

    def tell(self, message: Outgoing) -> None:
        """Send a control message. A client that reads none of a great many is cut. Never waits."""
        if self._outlet.waiting >= 16 * self._queue_limit:
            self._engine.drops["cut_too_slow"] += not self._outlet.closed
            self.cut()
            return
        self._outlet.put(message)

    def cut(self) -> None:
        """End the connection at once."""
        self._outlet.cut()

    def dismiss(self, bye: control.Bye) -> None:
        """Say goodbye, and close once that is sent. Never waits."""
        self.tell(outgoing_event(control.BYE, control.to_plain(bye)))
        self._engine.eio.start_background_task(self.close)

    def release(self) -> None:
        """Take no more packets of this connection, now that it is gone."""
        self._engine.eio.frame_handlers.pop(self.eio_sid, None)

    async def close(self) -> None:
        """Close after what is queued was sent. Does not wait for it."""
        await self._outlet.socket.close(wait=False, reason=self._engine.reason.SERVER_DISCONNECT)
