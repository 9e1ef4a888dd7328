"""The rooms of a server and who is in them."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable

from posewire.config import RoomConfig
from posewire.errors import ResourceLimitError, RoomError, RoomNotFoundError
from posewire.protocol import control
from posewire.protocol.control import Change
from posewire.rooms.room_state import Join, Leave, OpenStream, RoomState
from posewire.server.connection import Connection
from posewire.server.engine import outgoing_event

logger = logging.getLogger(__name__)

_KEYFRAME_GAP = 0.02
"""Seconds in which a publisher is told once that a keyframe of a stream is wanted; how many it makes is up to it."""
_MAX_EMPTY_ROOMS = 16
"""Rooms that one connection may make before anybody is in them."""


class Room:
    """A room: its state and the connections of its members."""

    def __init__(self, state: RoomState, maker: Connection) -> None:
        self.state = state
        self.maker = maker
        """A room that nobody has joined yet goes with the connection that made it."""
        self.key = secrets.token_bytes(32)
        """Signs v1 bodies and feeds the MAC; every member gets it."""
        self.connections: dict[str, Connection] = {}
        """By user."""


class RoomRegistry:
    """Makes rooms, seats and unseats connections, and tells the members what changed.

    Args:
        config: Limits.
        now: The server's clock, seconds since 1970.
    """

    def __init__(self, config: RoomConfig, *, now: Callable[[], float]) -> None:
        self.rooms: dict[str, Room] = {}
        self._config = config
        self._now = now

    def create(self, connection: Connection, room_id: str) -> bool:
        """Make a room; False when there is one.

        Raises:
            RoomError: The token is for another room.
            ResourceLimitError: Too many rooms.
        """
        _check_token(connection, room_id)
        if room_id in self.rooms:
            return False
        if len(self.rooms) >= self._config.max_rooms:
            raise ResourceLimitError(f"{len(self.rooms)} rooms are open, the most this server may have")
        waiting = sum(room.maker is connection and not room.connections for room in self.rooms.values())
        if waiting >= _MAX_EMPTY_ROOMS:
            raise ResourceLimitError(f"{connection.user_id} made {waiting} rooms that nobody is in, the most allowed")
        state = RoomState(room_id, capacity=self._config.max_clients, now=self._now())
        self.rooms[room_id] = Room(state, maker=connection)
        return True

    def find(self, room_id: str) -> Room:
        """Return a room.

        Raises:
            RoomNotFoundError: There is none of that name.
        """
        try:
            return self.rooms[room_id]
        except KeyError:
            raise RoomNotFoundError(room_id) from None

    def room_of(self, connection: Connection) -> Room | None:
        """Return the room a connection is in."""
        return None if connection.room_id is None else self.rooms[connection.room_id]

    def join(self, connection: Connection, request: control.JoinRoom) -> control.JoinedRoom:
        """Seat a connection, and take it out of the room it was in once it has its new seat.

        One that is in the room already keeps its seat, its number and its salt, whatever it asks for.

        Raises:
            RoomNotFoundError: There is no such room and none may be made.
            RoomFullError: No seat left.
            RoomError: The token is for another room.
        """
        _check_token(connection, request.room)
        if request.create:
            self.create(connection, request.room)
        room = self.find(request.room)
        if connection.room_id != request.room:
            self._make_way(room, connection)
            self._seat(room, connection, request)
        return control.JoinedRoom(number=connection.number, key=room.key, snapshot=room.state.snapshot())

    def leave(self, connection: Connection, reason: str) -> None:
        """Unseat a connection and close its room when it was the last. Nothing happens when it has no seat."""
        room = self.room_of(connection)
        if room is None:
            return
        connection.room_id = None
        del room.connections[connection.user_id]
        self._announce(room, room.state.apply(Leave(user_id=connection.user_id, reason=reason), now=self._now()))
        if not room.connections:
            del self.rooms[room.state.room_id]
        logger.info("room left", extra={"room": room.state.room_id, "user": connection.user_id, "reason": reason})

    def forget(self, connection: Connection) -> None:
        """Unseat a connection that is gone, and close the rooms it made that nobody is in."""
        self.leave(connection, "disconnected")
        for room_id, room in list(self.rooms.items()):
            if room.maker is connection and not room.connections:
                del self.rooms[room_id]

    def open_stream(self, connection: Connection, request: control.OpenStream) -> int:
        """Return the number of a member's stream, opened if it is not.

        Raises:
            RoomError: The connection is in no room, or may not publish.
            ResourceLimitError: Too many streams.
        """
        room = self.room_of(connection)
        if room is None:
            raise RoomError("?", f"{connection.user_id} is in no room")
        command = OpenStream(user_id=connection.user_id, kind=request.kind, name=request.name)
        self._announce(room, room.state.apply(command, now=self._now()))
        number = room.state.stream_number(connection.user_id, request.kind, request.name)
        assert number is not None
        return number

    def request_keyframe(self, connection: Connection, member: int, stream: int) -> bool:
        """Tell the publisher of a stream that a member cannot read it; False when there is no such stream of poses.

        Raises:
            RoomError: The connection is in no room, or may not subscribe.
        """
        room = self.room_of(connection)
        if room is None:
            raise RoomError("?", f"{connection.user_id} is in no room")
        if not connection.claims.subscribe:
            raise RoomError(room.state.room_id, f"{connection.user_id} may not subscribe here")
        known = room.state.streams.get((member, stream))
        if known is None or known.kind != "pose":
            return False
        publisher, now = room.connections[known.user_id], self._now()
        # Many who ask are told of as one: nobody's queue is filled by somebody else's questions.
        if not 0 <= now - publisher.keyframes.get(stream, 0) < _KEYFRAME_GAP:
            publisher.keyframes[stream] = now
            wanted = control.KeyframeWanted(stream=stream)
            publisher.tell(outgoing_event(control.KEYFRAME, control.to_plain(wanted)))
        return True

    def _make_way(self, room: Room, newcomer: Connection) -> None:
        """Unseat an older connection of the same user: the newer one is the one that works."""
        older = room.connections.get(newcomer.user_id)
        if older is None:
            return
        if older.session_id == newcomer.session_id:
            self.leave(older, "reconnected")
            older.cut()  # it is dead already, or the session would not have made another
        else:
            self.leave(older, "replaced")
            older.dismiss(control.Bye(reason=f"another session of {older.user_id} took its place", retry=False))
        # Leaving closed the room if nobody else was in it; it goes on with the newcomer.
        self.rooms[room.state.room_id] = room

    def _seat(self, room: Room, connection: Connection, request: control.JoinRoom) -> None:
        claims = connection.claims
        command = Join(
            user_id=connection.user_id,
            role=request.role,
            publish=claims.publish,
            subscribe=claims.subscribe,
            salt=request.salt,
            key_id=request.key_id,
        )
        changes = room.state.apply(command, now=self._now())
        self.leave(connection, "joined another room")
        self._announce(room, changes)
        connection.room_id = room.state.room_id
        connection.number = room.state.members[connection.user_id].number
        room.connections[connection.user_id] = connection
        logger.info("room joined", extra={"room": room.state.room_id, "user": connection.user_id})

    def _announce(self, room: Room, changes: list[Change]) -> None:
        first = room.state.version - len(changes) + 1
        for offset, change in enumerate(changes):
            update = control.RoomUpdate(room=room.state.room_id, version=first + offset, change=change)
            packet = outgoing_event(control.ROOM, control.to_plain(update))
            for connection in list(room.connections.values()):
                connection.tell(packet)


def _check_token(connection: Connection, room_id: str) -> None:
    allowed = connection.claims.room
    if allowed is not None and allowed != room_id:
        raise RoomError(room_id, f"the token of {connection.user_id} is for room {allowed!r}")
