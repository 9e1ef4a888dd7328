"""Answers the clients' requests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from posewire.errors import DataValidationError, PosewireError, RoomError
from posewire.protocol import control
from posewire.server.connection import Connection
from posewire.server.room_registry import RoomRegistry
from posewire.version import __version__


class ControlDesk:
    """Takes a request apart, carries it out, and makes the acknowledgement ``[ok, result | error]``.

    Args:
        rooms: The rooms.
        now: The server's clock, seconds since 1970.
    """

    def __init__(self, rooms: RoomRegistry, *, now: Callable[[], float]) -> None:
        self._rooms = rooms
        self._now = now

    def answer(self, connection: Connection, event: str, data: Any) -> list[Any]:
        """Return the acknowledgement of one request; a bad one gets an error, never an exception."""
        try:
            kind = control.REQUESTS.get(event)
            if kind is None:
                known = ", ".join((control.FRAME, *control.REQUESTS))
                raise DataValidationError("event", repr(event)[:60], f"expected one of {known}")
            message = control.from_plain({} if data is None else data, kind, what=event)
            return [True, control.to_plain(self._carry_out(connection, message))]
        except PosewireError as exc:
            return [False, exc.to_wire()]

    def _carry_out(self, connection: Connection, message: msgspec.Struct) -> Any:
        rooms = self._rooms
        match message:
            case control.Heartbeat():
                return round(self._now() * 1e6)
            case control.Hello():
                return self._welcome(connection)
            case control.CreateRoom(room=room):
                return rooms.create(connection, room)
            case control.JoinRoom():
                return rooms.join(connection, message)
            case control.LeaveRoom(room=room):
                return self._leave(connection, room)
            case control.ListRooms():
                return [room.state.status() for room in rooms.rooms.values()]
            case control.RoomInfo(room=room):
                return rooms.rooms[room].state.status() if room in rooms.rooms else None
            case control.RoomMembers(room=room):
                return list(rooms.rooms[room].state.members.values()) if room in rooms.rooms else []
            case control.SyncRoom(room=room):
                return self._sync(connection, room)
            case control.OpenStream():
                return rooms.open_stream(connection, message)
            case control.RequestKeyframe(member=member, stream=stream):
                return rooms.request_keyframe(connection, member, stream)
            case _:  # a request in control.REQUESTS that nobody carries out is our own mistake
                raise AssertionError(type(message).__name__)

    def _welcome(self, connection: Connection) -> control.Welcome:
        claims = connection.claims
        return control.Welcome(
            user_id=claims.sub,
            room=claims.room,
            role=claims.role,
            publish=claims.publish,
            subscribe=claims.subscribe,
            server=f"posewire/{__version__}",
        )

    def _leave(self, connection: Connection, room_id: str) -> bool:
        if connection.room_id != room_id:
            return False
        self._rooms.leave(connection, "left")
        return True

    def _sync(self, connection: Connection, room_id: str) -> control.RoomSnapshot:
        room = self._rooms.find(room_id)
        if connection.room_id != room_id:
            raise RoomError(room_id, f"{connection.user_id} is not in this room")
        return room.state.snapshot()
