"""The rooms of a server and who is in them."""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Callable

from posewire.config import RoomConfig
from posewire.errors import ResourceLimitError, RoomError, RoomNotFoundError
from posewire.protocol import control
from posewire.protocol.room_view import Change, Left, RoomUpdate
from posewire.rooms.command import Close, Command, Drop, Join, Leave, OpenStream, Rekey, Return
from posewire.rooms.room_state import RoomState
from posewire.server.connection import Connection
from posewire.server.fast_path import outgoing_event
from posewire.server.revocation_list import RevocationList
from posewire.server.room import Room
from posewire.server.token_authority import Claims

logger = logging.getLogger(__name__)

_KEYFRAME_GAP = 0.02
"""Seconds in which a publisher is told once that a keyframe of a stream is wanted; how many it makes is up to it."""
_MAX_EMPTY_ROOMS = 16
"""Rooms that one connection may make before anybody is in them."""


class RoomRegistry:
    """Makes rooms, seats and unseats connections, and tells the members what changed.

    Args:
        config: Limits.
        revocations: Who is kept out of which room.
        now: The server's clock, seconds since 1970.
    """

    def __init__(self, config: RoomConfig, revocations: RevocationList, *, now: Callable[[], float]) -> None:
        self.rooms: dict[str, Room] = {}
        self._revocations = revocations
        self._config = config
        self._now = now

    def create(self, connection: Connection, room_id: str) -> bool:
        """Make a room; False when there is one.

        Raises:
            RoomError: The token is for another room, or void in this one; or a room of a twin name is open.
            ResourceLimitError: Too many rooms.
        """
        self.check_token(connection.claims, room_id)
        if room_id in self.rooms:
            return False
        # Revocations hold for both, and the host of the one must not lift those of the other.
        normal = unicodedata.normalize("NFC", room_id)
        if any(unicodedata.normalize("NFC", other) == normal for other in self.rooms):
            raise RoomError(room_id, "a room whose name looks the same is open")
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

    def own(self, connection: Connection, room_id: str) -> Room:
        """Return the room of that name, in which a connection is.

        Raises:
            RoomNotFoundError: There is none; not told to a token that is for another.
            RoomError: It is not in it.
        """
        if connection.room_id != room_id:
            if connection.claims.room in (None, room_id):
                self.find(room_id)
            raise RoomError(room_id, f"{connection.user_id} is not in this room")
        return self.find(room_id)

    def apply(self, room: Room, command: Command) -> list[Change]:
        """Carry out a command in a room, and tell everyone in it what changed.

        Raises:
            PosewireError: The rules of the room do not allow it; nothing has changed.
        """
        changes = room.apply(command, now=self._now())
        self._announce(room, changes)
        return changes

    def room_of(self, connection: Connection) -> Room | None:
        """Return the room a connection is in."""
        return None if connection.room_id is None else self.rooms[connection.room_id]

    def join(self, connection: Connection, request: control.JoinRoom) -> control.JoinedRoom:
        """Seat a connection, and take it out of the room it was in once it has its new seat.

        One that is in the room already keeps its seat, its number and its salt, whatever it asks for.

        Raises:
            RoomNotFoundError: There is no such room and none may be made.
            RoomFullError: No seat left.
            RoomError: The token is for another room or void in this one, the room is locked, or the user banned.
        """
        self.check_token(connection.claims, request.room)
        if request.create:
            self.create(connection, request.room)
        room = self.find(request.room)
        if connection.room_id != request.room:
            self._seat(room, connection, request)
        return control.JoinedRoom(number=connection.number, key=room.key, snapshot=room.state.snapshot())

    def leave(self, connection: Connection, reason: str) -> None:
        """Unseat a connection and close its room when it was the last. Nothing happens when it has no seat."""
        room = self.room_of(connection)
        if room is None:
            return
        self._unseat(room, connection)
        self.apply(room, Leave(user_id=connection.user_id, reason=reason))
        self._close_if_empty(room)
        logger.info("room left", extra={"room": room.state.room_id, "user": connection.user_id, "reason": reason})

    def throw_out(self, room: Room, command: Command) -> Connection | None:
        """Carry out a command that throws a member out, tell the others, and return the connection of that member.

        Raises:
            PosewireError: The rules of the room do not allow it; nothing has changed.
        """
        changes = room.apply(command, now=self._now())
        victim = None
        for change in changes:
            if isinstance(change, Left):
                victim = room.connections[change.user_id]
                self._unseat(room, victim)
        self._announce(room, changes)
        self._close_if_empty(room)
        return victim

    def drop(self, connection: Connection) -> None:
        """Keep the seat of a connection that is lost."""
        room = self.room_of(connection)
        assert room is not None, "only seats in rooms are held"
        connection.lost = True
        connection.forget_frames()
        room.changed()
        self.apply(room, Drop(user_id=connection.user_id))

    def reseat(self, older: Connection, connection: Connection) -> None:
        """Give the seat of a lost connection to another of the same session."""
        room = self.room_of(older)
        connection.room_id, connection.number = older.room_id, older.number
        connection.keyframes = older.keyframes
        older.room_id, older.lost = None, True
        if room is not None:  # it may have been closed
            room.seat(connection)
        for made in self.rooms.values():
            if made.maker is older:
                made.maker = connection
        self.renewed(connection)

    def renewed(self, connection: Connection) -> None:
        """Let a connection do what its new token lets it do in its room, and nobody there has taken from it."""
        room, claims = self.room_of(connection), connection.claims
        if room is None:
            connection.publish, connection.subscribe = claims.publish, claims.subscribe
            return
        command = Return(
            user_id=claims.sub,
            publish=claims.publish,
            subscribe=claims.subscribe,
            moderate=claims.moderate,
            owner=claims.role == "host",
        )
        self.apply(room, command)
        self.grant(room, connection)

    def rerouted(self, connection: Connection) -> None:
        """Take note that a connection's session has a lane more, or less."""
        if (room := self.room_of(connection)) is not None:
            room.changed()

    def grant(self, room: Room, connection: Connection) -> None:
        """Let a connection do what its member may do in the room."""
        member = room.state.members[connection.user_id]
        connection.publish, connection.subscribe = member.publish, member.subscribe
        room.changed()
        if not member.subscribe:
            connection.forget_frames()

    def close_room(self, room: Room, reason: str) -> list[Connection]:
        """End a room and tell its members why; returns the connections that were in it."""
        self.apply(room, Close(reason=reason))
        connections = list(room.connections.values())
        for connection in connections:
            self._unseat(room, connection)
        self._close_if_empty(room)
        logger.info("room closed", extra={"room": room.state.room_id, "reason": reason})
        return connections

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
        self.apply(room, OpenStream(user_id=connection.user_id, kind=request.kind, name=request.name))
        number = room.state.stream_number(connection.user_id, request.kind, request.name)
        assert number is not None
        return number

    def rekey(self, connection: Connection, request: control.Rekey) -> bool:
        """Note that a member seals with another room key.

        Raises:
            RoomError: The connection is not in that room.
        """
        room = self.room_of(connection)
        if room is None or room.state.room_id != request.room:
            raise RoomError(request.room, f"{connection.user_id} is not in this room")
        self.apply(room, Rekey(user_id=connection.user_id, salt=request.salt, key_id=request.key_id))
        return True

    def request_keyframe(self, connection: Connection, member: int, stream: int) -> bool:
        """Tell the publisher of a stream that a member cannot read it; False when there is no such stream of poses.

        Raises:
            RoomError: The connection is in no room, or may not subscribe.
        """
        room = self._subscribed(connection)
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

    def ask_publisher(self, connection: Connection, key: int) -> None:
        """Tell the publisher of a stream, given as `Mail.key`, that a member is too slow to have what it refers to."""
        if connection.room_id is not None:
            self.request_keyframe(connection, key >> 8, key & 0xFF)

    def picture(self, connection: Connection, member: int, stream: int) -> list[bytes]:
        """Return the packets that show the newest picture of a stream of poses; none when there is none.

        Raises:
            RoomError: The connection is in no room, or may not subscribe.
        """
        picture = self._subscribed(connection).pictures.get(member << 8 | stream)
        return [] if picture is None else [mail.packet for mail in picture.frames()]

    def check_token(self, claims: Claims, room_id: str) -> None:
        """Raise unless a token is good for a room.

        Raises:
            RoomError: It is for another room, or was made void.
        """
        if claims.room is not None and claims.room != room_id:
            raise RoomError(room_id, f"the token of {claims.sub} is for room {claims.room!r}")
        if (reason := self._revocations.check(claims, room_id)) is not None:
            raise RoomError(room_id, reason)

    def _subscribed(self, connection: Connection) -> Room:
        room = self.room_of(connection)
        if room is None:
            raise RoomError("?", f"{connection.user_id} is in no room")
        if not connection.subscribe:
            raise RoomError(room.state.room_id, f"{connection.user_id} may not subscribe here")
        return room

    def _seat(self, room: Room, connection: Connection, request: control.JoinRoom) -> None:
        claims = connection.claims
        older = room.connections.get(connection.user_id)
        command = Join(
            user_id=connection.user_id,
            role=request.role,
            publish=claims.publish,
            subscribe=claims.subscribe,
            moderate=claims.moderate,
            owner=claims.role == "host",
            salt=request.salt,
            key_id=request.key_id,
            replaces=older is not None,
            not_number=connection.number,
        )
        changes = room.apply(command, now=self._now())
        self.leave(connection, "joined another room")
        if older is not None:
            self._unseat(room, older)
        self._announce(room, changes)
        connection.room_id = room.state.room_id
        connection.number = room.state.members[connection.user_id].number
        if connection.seat is not None:
            connection.seat.enter()
        room.seat(connection)
        self.grant(room, connection)
        logger.info("room joined", extra={"room": room.state.room_id, "user": connection.user_id})
        if older is not None and older.session_id == connection.session_id:
            older.cut()  # it is dead already, or the session would not have made another
        elif older is not None:
            # The newer session of a user is the one that works.
            older.end_session(f"another session of {older.user_id} took its place")

    def _announce(self, room: Room, changes: list[Change]) -> None:
        first = room.state.version - len(changes) + 1
        for offset, change in enumerate(changes):
            update = RoomUpdate(room=room.state.room_id, version=first + offset, change=change)
            packet = outgoing_event(control.ROOM, control.to_plain(update))
            for connection in list(room.connections.values()):
                connection.tell_once(packet)

    def _unseat(self, room: Room, connection: Connection) -> None:
        connection.room_id = None
        connection.publish, connection.subscribe = connection.claims.publish, connection.claims.subscribe
        room.unseat(connection)

    def _close_if_empty(self, room: Room) -> None:
        if not room.connections:
            self.rooms.pop(room.state.room_id, None)
