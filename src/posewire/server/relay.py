"""Passes packets on to the other members, byte for byte."""

from __future__ import annotations

import contextlib
import logging
from collections import Counter, deque
from typing import Any, Final

from posewire import clock
from posewire.errors import DataValidationError, PosewireError, ProtocolError, ResourceLimitError, RoomError
from posewire.limits import MAX_EVENT_BYTES, MAX_PACKET_BYTES
from posewire.protocol import EVENT_STREAM, Delivery, Header, Kind, control, unpack_header
from posewire.server.admission import Verdict
from posewire.server.connection import Connection
from posewire.server.fast_path import outgoing_event, outgoing_frame
from posewire.server.mail import Mail
from posewire.server.outlet import Outlet, post_all
from posewire.server.picture import Picture
from posewire.server.room import Room
from posewire.server.room_registry import RoomRegistry
from posewire.server.side_lane import SideLane

logger = logging.getLogger(__name__)

NOTICE: Final = "notice"
"""From the server: ``{code, message}``, a warning; ``over_limit`` when frames or requests of ours are let go."""
_EVENT_FRAMING: Final = 1024
"""Bytes around an event's data: header, name, seal."""
_NO_REFERENCES: Final[deque[int]] = deque()


class Relay:
    """Checks a packet's header, never its body, and hands the same bytes to everyone else in the room.

    Encoded once a room; a recipient that is too slow gets what its mailbox keeps, the others do not notice.

    Args:
        rooms: Who is where.
    """

    def __init__(self, rooms: RoomRegistry) -> None:
        self._rooms = rooms
        self.frames_in = 0
        self.drops: Counter[str] = Counter()
        """Not passed on, by reason: ``damaged``, ``refused``, ``over_limit``, ``late``, and what mailboxes let go."""

    def frame(self, connection: Connection, packet: Any) -> list[Any]:
        """Pass ``packet`` on; returns the acknowledgement, which a reliable packet asks for."""
        try:
            return [True, self._handle(connection, packet)]
        except PosewireError as exc:
            return [False, exc.to_wire()]

    def take(self, connection: Connection, packet: bytes) -> None:
        """Pass ``packet`` on; nobody waits for an answer."""
        try:  # noqa: SIM105  # contextlib's suppress would take longer than the rest of it
            self._handle(connection, packet)
        except PosewireError:
            pass

    def _handle(self, connection: Connection, packet: Any) -> int:
        if type(packet) is bytes and not connection.quota.take(len(packet)):
            verdict = connection.quota.judge(packet, clock.monotonic())
            if verdict is not Verdict.FINE:
                connection.receipts.count(len(packet))
                self._note_refusal(connection, packet)
                raise self.let_go(connection, verdict)
        try:
            header, room = self._check(connection, packet)
        except PosewireError as exc:
            self.drops["damaged" if isinstance(exc, ProtocolError | DataValidationError) else "refused"] += 1
            if isinstance(packet, bytes):
                connection.receipts.count(len(packet))  # or its sender would take it for being under way for ever
                self._note_refusal(connection, packet)
            raise
        self.frames_in += 1
        room.active_at = clock.monotonic()
        connection.receipts.count(len(packet))
        if header.kind is Kind.EVENT:
            return self._take_event(header, packet, room, connection)
        audience = room.audience(connection, header.kind)
        self._pass_on(header, packet, room, audience)
        return len(audience)

    def side_frame(self, lane: SideLane, packet: bytes) -> None:
        """Pass a pose on that came by another way than the member's own connection; nothing else may come there."""
        connection = lane.connection
        lane.receipts.count(len(packet))
        if not lane.quota.take(len(packet)):
            verdict = lane.quota.judge(packet, clock.monotonic())
            if verdict is not Verdict.FINE:
                self.let_go(connection, verdict)
                return
        try:
            header, room = self._check(connection, packet)
            if header.kind is not Kind.POSE or header.delivery is Delivery.RELIABLE:
                raise RoomError(room.state.room_id, "only poses come this way")
        except PosewireError as exc:
            self.drops["damaged" if isinstance(exc, ProtocolError | DataValidationError) else "refused"] += 1
            return
        picture = room.pictures.get(header.member << 8 | header.stream)
        if picture is not None and header.seq <= picture.newest:
            self.drops["late"] += 1  # its stream has gone on by another way since
            return
        self.frames_in += 1
        room.active_at = clock.monotonic()
        self._pass_on(header, packet, room, room.audience(connection, Kind.POSE))

    def let_go(self, connection: Connection, verdict: Verdict) -> ResourceLimitError:
        """Count a frame or a request that is over a limit, and tell its sender, or close its connection."""
        self.drops["over_limit"] += 1
        reason = connection.quota.explain()
        if verdict is Verdict.TELL:
            logger.info("%s", reason, extra={"user": connection.user_id})
            connection.tell(outgoing_event(NOTICE, {"code": "over_limit", "message": reason}))
        elif verdict is Verdict.CLOSE:
            connection.shut_out(control.Bye(reason=reason, retry=True))
        return ResourceLimitError(reason)

    def _take_event(self, header: Header, packet: bytes, room: Room, connection: Connection) -> int:
        try:
            return self._pass_on_event(header, packet, room, connection)
        except RoomError:
            self.drops["refused"] += 1
            raise

    def _note_refusal(self, connection: Connection, packet: bytes) -> None:
        """Remember that an event was refused: a session that comes back must not be told that it was taken."""
        if connection.seat is None:
            return
        with contextlib.suppress(ProtocolError):
            header = unpack_header(packet)
            new = header.seq >= connection.seat.next_event
            if new and header.kind is Kind.EVENT and header.member == connection.number:
                connection.seat.refuse(header.seq)

    def _pass_on_event(self, header: Header, packet: bytes, room: Room, connection: Connection) -> int:
        seat = connection.seat
        if seat is not None:
            if header.seq in seat.refused:
                raise RoomError(room.state.room_id, "the event was refused before")
            if header.seq < seat.next_event:
                return 0  # it was taken before the connection was lost, and its sender could not know
            seat.next_event = header.seq + 1
        outgoing = outgoing_frame(packet)
        listeners = room.listeners(connection)
        for listener in listeners:
            listener.tell_once(outgoing)
        return len(listeners)

    def _pass_on(self, header: Header, packet: bytes, room: Room, audience: tuple[Outlet, ...]) -> None:
        outgoing = outgoing_frame(packet)
        if header.delivery is Delivery.RELIABLE:
            for outlet in audience:
                outlet.tell(outgoing)
            return
        now = clock.monotonic()
        mail = Mail(header, packet, outgoing)
        if header.kind is not Kind.POSE:
            post_all(audience, mail, _NO_REFERENCES, now)
            return
        picture = room.pictures.get(mail.key)
        if picture is None:
            picture = room.pictures[mail.key] = Picture()
        post_all(audience, mail, picture.recent, now)
        picture.take(mail)

    def _check(self, connection: Connection, packet: Any) -> tuple[Header, Room]:
        if not isinstance(packet, bytes):
            raise DataValidationError("frame", type(packet).__name__, "expected bytes: one packet")
        if len(packet) > MAX_PACKET_BYTES:
            raise ProtocolError("?", f"packet of {len(packet)} bytes is over the limit of {MAX_PACKET_BYTES}")
        header = unpack_header(packet)
        if header.kind is Kind.EVENT and len(packet) > MAX_EVENT_BYTES + _EVENT_FRAMING:
            raise ProtocolError("?", f"event of {len(packet)} bytes is over the limit of {MAX_EVENT_BYTES}")
        room = self._rooms.room_of(connection)
        if room is None:
            raise RoomError("?", f"{connection.user_id} is in no room")
        if header.member != connection.number:
            raise RoomError(room.state.room_id, f"packet of member {header.member} from member {connection.number}")
        if not connection.publish:
            raise RoomError(room.state.room_id, f"{connection.user_id} may not publish")
        if header.stream == EVENT_STREAM:
            if header.kind is not Kind.EVENT:
                raise RoomError(room.state.room_id, f"stream {EVENT_STREAM} carries events only")
        elif (stream := room.state.streams.get((header.member, header.stream))) is None:
            raise RoomError(room.state.room_id, f"stream {header.stream} is not open")
        elif stream.kind != header.kind.name.lower():
            raise RoomError(room.state.room_id, f"stream {header.stream} carries {stream.kind}")
        return header, room
