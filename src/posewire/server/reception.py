"""Lets connections in, and hands what they send to whom it is for."""

from __future__ import annotations

import functools
import logging
import time
import unicodedata
from collections import Counter
from typing import Any, Final

from aiohttp import web
from socketio import exceptions as sio_exceptions

from posewire import clock
from posewire.config import Config
from posewire.errors import AuthError, ConnectionError, DataValidationError, PosewireError, ResourceLimitError
from posewire.protocol import control
from posewire.server.admission import Admission, Verdict
from posewire.server.connection import Connection
from posewire.server.control_desk import ControlDesk
from posewire.server.door import Door
from posewire.server.engine import Engine
from posewire.server.fast_path import outgoing_answer
from posewire.server.flusher import Flusher
from posewire.server.moderation import Moderation
from posewire.server.outlet import Outlet
from posewire.server.relay import Relay
from posewire.server.revocation import Revocation
from posewire.server.revocation_list import RevocationList
from posewire.server.room_registry import RoomRegistry
from posewire.server.seat_keeper import SeatKeeper
from posewire.server.side_lane import SideLane
from posewire.server.side_lanes import SideLanes
from posewire.server.token_authority import Claims, TokenAuthority

logger = logging.getLogger(__name__)

_EXPIRED: Final = "the token has expired"
_HEARTBEAT: Final = control.REQUEST_NAMES[control.Heartbeat]


class Reception:
    """Every connection of a server from its coming to its going.

    Args:
        config: Settings.
        tokens: Tells good tokens from bad ones.
        revocations: Tells those that were good.
    """

    def __init__(self, config: Config, tokens: TokenAuthority, revocations: RevocationList) -> None:
        self.connections: dict[str, Connection] = {}
        self.rooms = RoomRegistry(config.room, revocations, now=clock.now)
        self.relay = Relay(self.rooms)
        self.seats = SeatKeeper(config.server, held_by_one=config.socket.max_connections, give_up=self._not_back)
        self.admission = Admission(config.admission, most_connections=config.socket.max_connections)
        self.draining = False
        self._config = config
        self._tokens = tokens
        self._revocations = revocations
        moderation = Moderation(config.room, self.rooms, revocations, now=clock.now)
        self.lanes = SideLanes()
        self._desk = ControlDesk(self.rooms, self.seats, moderation, self.lanes, renew=self._renew, now=clock.now)
        self._flusher = Flusher()
        self._frames_out = 0
        self._engine: Engine | None = None
        self._door: Door | None = None

    def open(self, engine: Engine, door: Door) -> None:
        """Take what comes to an engine through a door."""
        self._engine = engine
        self._door = door
        if engine.eio.polls is not None:
            engine.eio.polls.let_in = door.let_in
        engine.on("connect", self._connect)
        engine.on("disconnect", self._disconnect)
        engine.on("*", self._event)

    def drain(self, reason: str) -> list[Connection]:
        """Let nobody in any more and say goodbye to everyone; returns the connections. Never waits."""
        self.draining = True
        connections = list(self.connections.values())
        for connection in connections:
            connection.dismiss(control.Bye(reason=reason))
        return connections

    def close(self) -> None:
        """Let go of everything."""
        self.seats.close()
        self._flusher.close()

    @property
    def frames_out(self) -> int:
        """Packets handed on, one for each recipient."""
        open_now = sum(outlet.frames for each in self.connections.values() for outlet in each.outlets)
        return self._frames_out + open_now

    def drops(self) -> Counter[str]:
        """What was not passed on, by reason."""
        return self.relay.drops + (self._engine.drops if self._engine is not None else Counter())

    # Ending sessions -------------------------------------------------------------------------------------------------

    def enforce(self, revocation: Revocation) -> int:
        """End the sessions of a user whose tokens were revoked, everywhere or in one room; returns how many."""
        ended = 0
        for connection in (*self.connections.values(), *self.seats.held()):
            room = revocation.room_id
            if connection.seat is not None and connection.seat.void:
                continue  # it has been ended
            # One that is in no room yet has nothing left to do here, if its token was good for this room only.
            near = (connection.room_id, connection.claims.room)
            if room and room not in [unicodedata.normalize("NFC", each or "") for each in near]:
                continue
            if (reason := self._revocations.check(connection.claims, room or None)) is not None:
                self._end(connection, reason)
                ended += 1
        return ended

    def close_idle_rooms(self) -> int:
        """Close the rooms in which nobody did anything for ``room.timeout`` seconds; returns how many."""
        timeout = self._config.room.timeout
        now = clock.monotonic()
        idle = [room for room in self.rooms.rooms.values() if now - room.active_at > timeout]
        for room in idle:
            self.rooms.close_room(room, f"nobody sent or asked anything for {timeout:g} s")
        return len(idle)

    def _end(self, connection: Connection, reason: str) -> None:
        self.rooms.leave(connection, reason)
        connection.end_session(reason)

    def _not_back(self, connection: Connection) -> None:
        self.rooms.leave(connection, f"did not come back within {self._config.server.resume_grace / 1000:g} s")
        self.rooms.forget(connection)

    # Tokens ----------------------------------------------------------------------------------------------------------

    def _verify(self, token: Any) -> Claims:
        claims = self._tokens.verify(token)
        if (reason := self._revocations.check(claims, claims.room)) is not None:
            raise AuthError(claims.sub, reason)
        return claims

    def _renew(self, connection: Connection, token: str) -> float:
        claims = self._verify(token)
        if claims.sub != connection.user_id:
            raise AuthError(claims.sub, f"this session is that of {connection.user_id!r}")
        if claims.room is not None and connection.room_id not in (None, claims.room):
            raise AuthError(claims.sub, f"the token is for room {claims.room!r}, the session is in another")
        if connection.room_id is not None:
            self.rooms.check_token(claims, connection.room_id)
        left = self._expire_later(connection, claims)
        self.rooms.renewed(connection)
        return left

    def _expire_later(self, connection: Connection, claims: Claims) -> float:
        left = claims.exp - time.time()
        connection.renew(claims, left, self._expired)
        return left

    def _expired(self, connection: Connection) -> None:
        """End a session whose token has; with another one it may come again, to a seat like anybody's."""
        self.rooms.leave(connection, _EXPIRED)
        self.seats.release(connection)
        connection.dismiss(control.Bye(reason=_EXPIRED, retry=False))

    # Called by python-socketio ---------------------------------------------------------------------------------------

    async def _connect(self, sid: str, environ: dict[str, Any], auth: Any = None) -> None:
        try:
            self._admit(sid, environ, auth)
        except PosewireError as exc:
            logger.info("connection refused: %s", exc)
            raise sio_exceptions.ConnectionRefusedError(str(exc), exc.to_wire()) from None

    def _admit(self, sid: str, environ: dict[str, Any], auth: Any) -> None:
        if self.draining or self._engine is None or self._door is None:
            raise ConnectionError("the server is shutting down")
        given = auth if isinstance(auth, dict) else {}
        claims = self._verify(given.get("token"))
        if (open_now := len(self.connections) + len(self.lanes)) >= self._config.server.max_connections:
            raise ResourceLimitError(f"{open_now} connections are open, the most this server may have")
        session_id = str(given.get("session") or sid)[:64]
        if given.get("lane") is not None:
            self._admit_lane(sid, environ, claims, given["lane"], session_id)
            return
        connection = Connection(
            self._engine,
            sid,
            environ,
            claims,
            session_id,
            flusher=self._flusher,
            drops=self.relay.drops,
            config=self._config.server,
            ask_keyframe=self.rooms.ask_publisher,
        )
        request = environ["aiohttp.request"]
        connection.quota = self.admission.enter(claims.sub, self._door.key_of(request), clock.monotonic())
        self._let_in(connection.eio_sid, request)
        self.connections[sid] = connection
        self._engine.eio.frame_handlers[connection.eio_sid] = functools.partial(self.relay.take, connection)
        self._engine.eio.event_handlers[connection.eio_sid] = functools.partial(self._answer, connection.outlet, sid)
        self._expire_later(connection, claims)
        logger.info("connected", extra={"user": claims.sub, "sid": sid})

    def _let_in(self, eio_sid: str, request: web.BaseRequest) -> None:
        assert self._engine is not None
        assert self._door is not None
        polls, session = self._engine.eio.polls, self._engine.eio.poll_session(eio_sid)
        if polls is not None and session is not None:
            polls.entered(session)
        else:
            self._door.let_in(request)

    def _admit_lane(self, sid: str, environ: dict[str, Any], claims: Claims, ticket: Any, session_id: str) -> None:
        """Take a further connection of a session in: it shows a ticket, and a token of the same user.

        It counts as a connection in every limit: of its member, of its address, and of the server.
        """
        assert self._engine is not None
        assert self._door is not None
        connection = self.lanes.redeem(ticket, claims.sub, session_id)
        if connection.room_id is not None:
            self.rooms.check_token(claims, connection.room_id)
        request = environ["aiohttp.request"]
        quota = self.admission.enter(claims.sub, self._door.key_of(request), clock.monotonic())
        lane = SideLane(
            self._engine,
            sid,
            environ,
            connection,
            quota,
            flusher=self._flusher,
            drops=self.relay.drops,
            config=self._config.server,
            ask_keyframe=self.rooms.ask_publisher,
        )
        self._let_in(lane.eio_sid, request)
        self._engine.eio.frame_handlers[lane.eio_sid] = functools.partial(self.relay.side_frame, lane)
        self._engine.eio.event_handlers[lane.eio_sid] = functools.partial(self._answer, lane.outlet, sid)
        self.lanes.add(lane)
        self.rooms.rerouted(connection)
        logger.info("lane connected", extra={"user": claims.sub, "sid": sid})

    def _lane_gone(self, sid: str) -> None:
        lane = self.lanes.remove(sid)
        if lane is not None:
            lane.cut()
            self._frames_out += lane.outlet.frames
            self.admission.exit(lane.quota, clock.monotonic())
            self.rooms.rerouted(lane.connection)
            logger.info("lane disconnected", extra={"user": lane.connection.user_id, "sid": sid})

    async def _disconnect(self, sid: str, reason: str = "") -> None:
        connection = self.connections.pop(sid, None)
        if connection is None:
            self._lane_gone(sid)
            return
        self.lanes.end(connection)
        self._frames_out += connection.outlet.frames
        self.admission.exit(connection.quota, clock.monotonic())
        connection.release()
        assert self._engine is not None
        said = reason == self._engine.reason.CLIENT_DISCONNECT
        if said and not connection.ending:
            # Its WebSocket would stay, of no member's and with no deadline.
            self._engine.eio.start_background_task(connection.close)
        left = said or self.draining
        if connection.seat is not None and not left and (connection.room_id is not None or connection.seat.void):
            # One that must not come back is remembered too: its goodbye may have been lost.
            if connection.room_id is not None:
                self.rooms.drop(connection)
            self.seats.hold(connection)
        else:
            self.seats.release(connection)
            self.rooms.forget(connection)
        logger.info("disconnected", extra={"user": connection.user_id, "sid": sid, "reason": reason})

    async def _event(self, event: str, sid: str, *args: Any) -> list[Any] | None:
        return self._handle(sid, event, *args)

    # Called by the short way, too ------------------------------------------------------------------------------------

    def _handle(self, sid: str, event: str, *args: Any) -> list[Any] | None:
        """Carry out what a client sends or asks; returns the answer, if it is to have one. Never waits."""
        connection = self.connections.get(sid)
        data = args[0] if args else None
        if event == control.FRAME:
            if connection is None:
                return [False, AuthError("?", "not connected").to_wire()]
            return self.relay.frame(connection, data)
        if event == control.REPORT:
            if connection is not None and self._over_limit(connection, event, data) is None:
                self._desk.report(connection, data)
            return None
        if event == control.CONFIRM:
            if connection is not None:
                self._desk.confirm(connection, data)
            return None
        if connection is None:
            return self._side_request(event, sid)
        return self._request(connection, event, data)

    def _answer(self, outlet: Outlet, sid: str, number: int | None, *event: Any) -> None:
        """Carry out an event of the short way, and send the answer at once when ``number`` asks for one."""
        answer = self._handle(sid, *event)
        if number is not None:
            outgoing = outgoing_answer(number, answer)
            if not outlet.tell_at_once(outgoing):
                outlet.tell(outgoing)

    def _request(self, connection: Connection, event: str, data: Any) -> list[Any]:
        connection.outlet.answered()
        if (refusal := self._over_limit(connection, event, data)) is not None:
            return [False, refusal.to_wire()]
        rooms = len(self.rooms.rooms)
        answer = self._desk.answer(connection, event, data)
        if len(self.rooms.rooms) > rooms:
            connection.quota.room_made()
        return answer

    def _side_request(self, event: str, sid: str) -> list[Any]:
        lane = self.lanes.get(sid)
        if lane is None:
            return [False, AuthError("?", "not connected").to_wire()]
        lane.outlet.answered()
        if (refusal := self._over_limit(lane.connection, event, None)) is not None:
            return [False, refusal.to_wire()]
        if event != _HEARTBEAT:
            return [
                False,
                DataValidationError("event", repr(event)[:60], f"expected {_HEARTBEAT}, on a lane").to_wire(),
            ]
        return [True, round(clock.now() * 1e6)]

    def _over_limit(self, connection: Connection, event: str, data: Any) -> ResourceLimitError | None:
        now = clock.monotonic()
        verdict, wait = connection.quota.request(now)
        if verdict is not Verdict.FINE:
            return ResourceLimitError(f"{self.relay.let_go(connection, verdict)}; come again in {wait:.3f} s")
        if event == "room.create" or (event == "room.join" and isinstance(data, dict) and data.get("create")):
            room = data.get("room") if isinstance(data, dict) else None
            if not isinstance(room, str) or room not in self.rooms.rooms:
                try:
                    connection.quota.check_room(now)
                except ResourceLimitError as exc:
                    return exc
        return None
