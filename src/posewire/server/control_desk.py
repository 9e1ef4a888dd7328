"""Answers the clients' requests."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from posewire import clock
from posewire.errors import DataValidationError, PosewireError, RoomError
from posewire.protocol import control
from posewire.server.connection import Connection
from posewire.server.moderation import Moderation
from posewire.server.reports import Reports
from posewire.server.room import Room
from posewire.server.room_registry import RoomRegistry
from posewire.server.seat_keeper import SeatKeeper
from posewire.server.side_lanes import SideLanes
from posewire.version import __version__

logger = logging.getLogger(__name__)

_BY_ITSELF: Final = (control.Hello, control.Heartbeat, control.RefreshToken, control.SyncRoom, control.OpenLane)
"""What a session asks though nobody does anything."""


class ControlDesk:
    """Takes a request apart, carries it out, and makes the acknowledgement ``[ok, result | error]``.

    Args:
        rooms: The rooms.
        seats: Sessions that can come back.
        moderation: What hosts may do.
        lanes: Further connections of sessions.
        renew: Called with a connection and a newer token of it; returns the seconds that is good for.
        now: The server's clock, seconds since 1970.
    """

    def __init__(
        self,
        rooms: RoomRegistry,
        seats: SeatKeeper,
        moderation: Moderation,
        lanes: SideLanes,
        *,
        renew: Callable[[Connection, str], float],
        now: Callable[[], float],
    ) -> None:
        self._rooms = rooms
        self._seats = seats
        self._moderation = moderation
        self._lanes = lanes
        self._renew = renew
        self._now = now
        self._reports = Reports()

    def answer(self, connection: Connection, event: str, data: Any) -> list[Any]:
        """Return the acknowledgement of one request; a bad one gets an error, never an exception."""
        try:
            kind = control.REQUESTS.get(event)
            if kind is None:
                known = ", ".join((control.FRAME, *control.REQUESTS))
                raise DataValidationError("event", repr(event)[:60], f"expected one of {known}")
            message = control.from_plain({} if data is None else data, kind, what=event)
            result = self._carry_out(connection, message)
            room = self._rooms.room_of(connection)
            if room is not None and not isinstance(message, _BY_ITSELF):
                room.active_at = clock.monotonic()
            return [True, control.to_plain(result)]
        except PosewireError as exc:
            return [False, exc.to_wire()]

    def report(self, connection: Connection, data: Any) -> None:
        """Take in how everything comes through to a member, and tell the senders; a bad report is only counted."""
        try:
            report = control.from_plain(data, control.ReceiverReport, what=control.REPORT)
        except DataValidationError as exc:
            logger.info("report of %s not understood: %s", connection.user_id, exc)
            return
        connection.reported()
        self._reports.take(connection, self._rooms.room_of(connection), report)

    def confirm(self, connection: Connection, data: Any) -> None:
        """Take in how many journalled messages a member has; a bad number is ignored."""
        try:
            confirm = control.from_plain(data, control.Confirm, what=control.CONFIRM)
        except DataValidationError as exc:
            logger.info("confirmation of %s not understood: %s", connection.user_id, exc)
            return
        self._seats.arrived(connection)
        if connection.seat is not None:
            connection.seat.journal.confirm(confirm.received)

    def _carry_out(self, connection: Connection, message: msgspec.Struct) -> Any:
        rooms = self._rooms
        match message:
            case control.Heartbeat():
                return round(self._now() * 1e6)
            case control.Hello():
                return self._welcome(connection, message)
            case control.RefreshToken(token=token):
                return self._renew(connection, token)
            case control.OpenLane():
                return self._lanes.ticket(connection)
            case control.CreateRoom(room=room):
                return rooms.create(connection, room)
            case control.JoinRoom():
                return rooms.join(connection, message)
            case control.LeaveRoom(room=room):
                return self._leave(connection, room)
            case control.ListRooms():
                return [room.state.status() for room in self._visible(connection)]
            case control.RoomInfo(room=name):
                return next((room.state.status() for room in self._visible(connection, name)), None)
            case control.RoomMembers(room=name):
                return [member for room in self._visible(connection, name) for member in room.state.members.values()]
            case control.SyncRoom(room=room, version=version):
                return self._sync(connection, room, version)
            case control.Rekey():
                return self._rooms.rekey(connection, message)
            case control.OpenStream():
                return rooms.open_stream(connection, message)
            case control.RequestKeyframe(member=member, stream=stream):
                return rooms.request_keyframe(connection, member, stream)
            case control.FetchPicture(member=member, stream=stream):
                return rooms.picture(connection, member, stream)
            case (
                control.KickMember()
                | control.BanMember()
                | control.UnbanMember()
                | control.LockRoom()
                | control.SetRole()
                | control.SetGrants()
                | control.SetStatus()
            ):
                return self._moderation.carry_out(connection, message)
            case _:  # a request in control.REQUESTS that nobody carries out is our own mistake
                raise AssertionError(type(message).__name__)

    def _welcome(self, connection: Connection, hello: control.Hello) -> control.Welcome:
        claims = connection.claims
        resume, resumed, reason = "", False, ""
        if hello.resume is not None:
            older = self._older(connection, hello)
            if isinstance(older, Connection):
                resume, resumed = self._resume(older, connection, hello), True
            else:
                resume, reason = self._seats.begin(connection), older
        seat = connection.seat
        return control.Welcome(
            user_id=claims.sub,
            room=claims.room,
            role=claims.role,
            publish=claims.publish,
            subscribe=claims.subscribe,
            moderate=claims.moderate,
            server=f"posewire/{__version__}",
            acknowledges=True,
            expires_in=max(0.0, claims.exp - self._now()),
            resume=resume,
            resumed=resumed,
            reason=reason,
            received=seat.settled if seat is not None else 0,
        )

    def _older(self, connection: Connection, hello: control.Hello) -> Connection | str:
        """Return the connection whose seat a new one gets, or why it gets none."""
        if not hello.resume:
            return ""
        if connection.room_id is not None:
            return f"the session is in room {connection.room_id!r} already"
        older = self._seats.find(connection, hello.resume, hello.received)
        if older is connection:
            return "the session is on this connection already"
        if isinstance(older, Connection) and hello.member not in (0, older.number):
            # The answer to its last move was lost. Where it is, it does not know; it will join where it was.
            self._rooms.leave(older, "came back elsewhere")
            self._seats.release(older)
            older.cut()
            return "the session has another seat than it knows of"
        if isinstance(older, Connection) and older.room_id is not None:
            self._rooms.check_token(connection.claims, older.room_id)
        return older

    def _resume(self, older: Connection, connection: Connection, hello: control.Hello) -> str:
        """Give the seat of one connection to another, with what its session missed; returns the next resume token."""
        live = not older.lost
        seat, resume = self._seats.take_over(older, connection, hello.resume or "")
        for message in seat.journal.after(hello.received) or ():
            connection.outlet.tell(message)
        self._rooms.reseat(older, connection)
        if live:
            # Half-open, and the same session knows; or somebody has its token: the newer one wins, the older is told.
            older.dismiss(control.Bye(reason="this session was resumed on another connection", retry=False))
        return resume

    def _visible(self, connection: Connection, name: str | None = None) -> Iterator[Room]:
        """Yield the rooms that a connection's token is good for, or the one of that name."""
        for room_id, room in self._rooms.rooms.items() if name is None else ((name, self._rooms.rooms.get(name)),):
            if room is None:
                continue
            try:
                self._rooms.check_token(connection.claims, room_id)
            except RoomError:
                continue
            yield room

    def _leave(self, connection: Connection, room_id: str) -> bool:
        if connection.room_id != room_id:
            return False
        self._rooms.leave(connection, "left")
        return True

    def _sync(self, connection: Connection, room_id: str, version: int | None) -> control.SyncedRoom:
        room = self._rooms.own(connection, room_id)
        changes = None if version is None else room.changes_since(version)
        if changes is None:
            return control.SyncedRoom(snapshot=room.state.snapshot())
        return control.SyncedRoom(changes=changes)
