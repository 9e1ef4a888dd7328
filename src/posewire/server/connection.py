"""One client on the server."""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from posewire.config import ServerConfig
from posewire.protocol import control
from posewire.server.admission import unlimited
from posewire.server.engine import Engine
from posewire.server.fast_path import ENDED, Outgoing, outgoing_event
from posewire.server.flusher import Flusher
from posewire.server.outlet import Outlet
from posewire.server.outlets import open_outlet
from posewire.server.receipts import Receipts
from posewire.server.seat import Seat
from posewire.server.token_authority import Claims
from posewire.server.visitor import ignore

_LAST_WORD_SECONDS: Final = 2.0
"""A client that does not take our goodbye by then is cut."""
_LONGEST_TIMER: Final = 86_400.0
_UNLIMITED: Final = unlimited()


class Connection:
    """A client that was let in: who it is, where it is, and the queue to it.

    Attributes:
        sid: Socket.IO's id of the connection.
        claims: What its token says.
        session_id: The same for all connections of one session.
        room_id: The room it is in.
        number: Its number there.
        seat: What outlives it; None when its session cannot come back.
        lost: Whether it is closed and only its place in the room is kept.
        publish: Whether it may send, in the room it is in.
        subscribe: Whether it may receive.
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
        flusher: Flusher,
        drops: Counter[str],
        config: ServerConfig,
        ask_keyframe: Callable[[Connection, int], None],
    ) -> None:
        self.sid = sid
        self.claims = claims
        self.session_id = session_id
        self.room_id: str | None = None
        self.number = 0
        self.seat: Seat | None = None
        self.lost = False
        self.publish = claims.publish
        self.subscribe = claims.subscribe
        self.looked_at = -math.inf
        """When what the others report of its streams was looked at last, monotonic seconds."""
        self.reported_at = -math.inf
        """When it was told last how its streams come through, monotonic seconds."""
        self.quota = _UNLIMITED
        """What it may still take of the server."""
        self.keyframes: dict[int, float] = {}
        """When a keyframe of a stream was asked of it last."""
        self.ended: asyncio.Event = environ[ENDED]
        self._engine = engine
        self._drops = drops
        self._request = environ["aiohttp.request"]
        self._ending = False
        self._expiry: asyncio.TimerHandle | None = None
        self.outlet = open_outlet(
            engine,
            sid,
            environ,
            flusher=flusher,
            drops=drops,
            config=config,
            give_up=self.give_up,
            ask_keyframe=lambda key: ask_keyframe(self, key),
        )
        self.receipts = Receipts(self.outlet.tell_at_once)
        self._side_outlets: dict[str, Outlet] = {}
        """Of its session's further connections, by their ids."""

    @property
    def user_id(self) -> str:
        """Who its token says it is."""
        return self.claims.sub

    @property
    def eio_sid(self) -> str:
        """engine.io's id of the connection."""
        return str(self.outlet.socket.sid)

    @property
    def ending(self) -> bool:
        """Whether it was said goodbye to."""
        return self._ending

    @property
    def outlets(self) -> tuple[Outlet, ...]:
        """All ways to its client: this connection, then the further ones of its session."""
        return (self.outlet, *self._side_outlets.values())

    @property
    def waiting(self) -> int:
        """Messages in its mailboxes."""
        return sum(outlet.waiting for outlet in self.outlets)

    def pose_outlet(self, member: int) -> Outlet:
        """Return the way that poses of a member go to this client: always the same while it is there."""
        if not self._side_outlets:
            return self.outlet
        # Rendezvous hashing (D. Thaler, C. Ravishankar, 1998): when one goes, only what was on it moves.
        return self._side_outlets[max(self._side_outlets, key=lambda sid: _weight(sid, member))]

    def add_outlet(self, sid: str, outlet: Outlet) -> None:
        """Let poses go down a further connection of the session."""
        self._side_outlets[sid] = outlet
        self._moved()

    def remove_outlet(self, sid: str) -> None:
        """Let poses go another way: that connection is gone."""
        self._side_outlets.pop(sid, None)
        self._moved()

    def reported(self) -> None:
        """The client said what it got: it reads."""
        for outlet in self.outlets:
            outlet.reported()

    def forget(self, key: int) -> None:
        """Let go of what waits of a stream that is no more."""
        for outlet in self.outlets:
            outlet.forget(key)

    def forget_frames(self) -> None:
        """Let go of all frames that wait."""
        for outlet in self.outlets:
            outlet.forget_frames()

    def _moved(self) -> None:
        # What waits of a stream that goes another way now would be late; who lacks it for the next asks for a keyframe.
        for outlet in self.outlets:
            outlet.forget_poses()

    def tell(self, message: Outgoing) -> None:
        """Send a control message or an event, in order. Never waits; a client for whom too many wait is given up."""
        self.outlet.tell(message)

    def tell_once(self, message: Outgoing) -> None:
        """Send what the session must get in order and once, on whatever connection it comes back."""
        if self.seat is not None:
            self.seat.journal.append(message)
        if not self.lost:
            self.outlet.tell(message)

    def renew(self, claims: Claims, seconds: float, expired: Callable[[Connection], None]) -> None:
        """Go on as ``claims`` say, and call ``expired`` when they end, in ``seconds``."""
        self.claims = claims
        self._watch(asyncio.get_running_loop().time() + seconds, expired)

    def cut(self) -> None:
        """End the connection at once."""
        self.outlet.cut()

    def give_up(self, reason: str) -> None:
        """Close the connection of a client that is too slow, and say why."""
        if not self._ending:
            self._drops["cut_too_slow"] += 1
            self.dismiss(control.Bye(reason=f"too slow: {reason}"))

    def dismiss(self, bye: control.Bye) -> None:
        """Say goodbye, and close once that is sent, or in two seconds. Never waits."""
        if not self._ending:
            self.outlet.last_word(outgoing_event(control.BYE, control.to_plain(bye)))
            self._ending = True
            self._engine.eio.start_background_task(self.close)

    def shut_out(self, bye: control.Bye) -> None:
        """Say goodbye, and read nothing of what still comes. Never waits."""
        if not self._ending:
            ignore(self._request)
            self.dismiss(bye)

    def end_session(self, reason: str) -> None:
        """Close the connection for good: its session must not come back. Never waits."""
        if self.seat is not None:
            self.seat.void = reason
        if not self.lost:
            self.dismiss(control.Bye(reason=reason, retry=False))

    def release(self) -> None:
        """Take no more packets of this connection, now that it is gone."""
        self._engine.eio.frame_handlers.pop(self.eio_sid, None)
        self._engine.eio.event_handlers.pop(self.eio_sid, None)
        self.receipts.close()
        if self._expiry is not None:
            self._expiry.cancel()

    def _watch(self, deadline: float, expired: Callable[[Connection], None]) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
        loop = asyncio.get_running_loop()
        left = deadline - loop.time()
        if left > 0:
            # A loop's timers are not made for years.
            self._expiry = loop.call_later(min(left, _LONGEST_TIMER), self._watch, deadline, expired)
        else:
            expired(self)

    async def close(self) -> None:
        """Close after what is queued was sent; waits for it, and cuts the connection when it is not taken in time."""
        try:
            async with asyncio.timeout(_LAST_WORD_SECONDS):
                # engine.io says at once that the client is gone, and then writes to it for as long as that takes.
                await self.outlet.socket.close(wait=False, reason=self._engine.reason.SERVER_DISCONNECT)
                await self.ended.wait()
        except TimeoutError:
            self.cut()


def _weight(sid: str, member: int) -> bytes:
    return hashlib.blake2b(f"{sid} {member}".encode(), digest_size=8).digest()
