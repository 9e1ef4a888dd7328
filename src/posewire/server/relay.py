"""Passes packets on to the other members, byte for byte."""

from __future__ import annotations

from collections import Counter
from typing import Any

from posewire.errors import DataValidationError, PosewireError, ProtocolError, RoomError
from posewire.limits import MAX_PACKET_BYTES
from posewire.protocol import EVENT_STREAM, Delivery, Header, Kind, unpack_header
from posewire.server.connection import Connection
from posewire.server.engine import outgoing_frame
from posewire.server.room_registry import Room, RoomRegistry


class Relay:
    """Checks a packet's header, never its body, and hands the same bytes to everyone else in the room.

    Encoded once a room; a recipient that is too slow loses the frame, the others do not notice.

    Args:
        rooms: Who is where.
    """

    def __init__(self, rooms: RoomRegistry) -> None:
        self._rooms = rooms
        self.frames_in = 0
        self.frames_out = 0
        self.drops: Counter[str] = Counter()
        """Packets not passed on, by reason: ``damaged``, ``refused``, and ``too_slow`` by recipient."""

    def frame(self, connection: Connection, packet: Any) -> list[Any]:
        """Pass ``packet`` on; returns the acknowledgement, which a reliable packet asks for."""
        try:
            header, room = self._check(connection, packet)
        except PosewireError as exc:
            self.drops["damaged" if isinstance(exc, ProtocolError | DataValidationError) else "refused"] += 1
            return [False, exc.to_wire()]
        self.frames_in += 1
        encoded = outgoing_frame(packet)
        recipients = 0
        for other in room.connections.values():
            if other is connection or not other.claims.subscribe:
                continue
            if header.delivery is Delivery.RELIABLE:
                other.tell(encoded)
            elif not other.offer(encoded):
                self.drops["too_slow"] += 1
                continue
            recipients += 1
        self.frames_out += recipients
        return [True, recipients]

    def _check(self, connection: Connection, packet: Any) -> tuple[Header, Room]:
        if not isinstance(packet, bytes):
            raise DataValidationError("frame", type(packet).__name__, "expected bytes: one packet")
        if len(packet) > MAX_PACKET_BYTES:
            raise ProtocolError("?", f"packet of {len(packet)} bytes is over the limit of {MAX_PACKET_BYTES}")
        header = unpack_header(packet)
        room = self._rooms.room_of(connection)
        if room is None:
            raise RoomError("?", f"{connection.user_id} is in no room")
        if header.member != connection.number:
            raise RoomError(room.state.room_id, f"packet of member {header.member} from member {connection.number}")
        if not connection.claims.publish:
            raise RoomError(room.state.room_id, f"{connection.user_id} may not publish")
        if header.stream == EVENT_STREAM:
            if header.kind is not Kind.EVENT:
                raise RoomError(room.state.room_id, f"stream {EVENT_STREAM} carries events only")
        elif (stream := room.state.streams.get((header.member, header.stream))) is None:
            raise RoomError(room.state.room_id, f"stream {header.stream} is not open")
        elif stream.kind != header.kind.name.lower():
            raise RoomError(room.state.room_id, f"stream {header.stream} carries {stream.kind}")
        return header, room
