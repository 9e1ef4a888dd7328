"""From a packet that came in to what its sender wrote."""

from __future__ import annotations

import logging
from collections.abc import Callable

import msgspec

from posewire import clock
from posewire.errors import ProtocolError
from posewire.protocol import EVENT_STREAM, Header, Kind
from posewire.protocol.body_v2 import OWN_PREFIX
from posewire.protocol.room_view import RoomUpdate
from posewire.rooms.room_mirror import RoomMirror
from posewire.rooms.room_seals import RoomSeals
from posewire.sockets import Event, SocketManager

logger = logging.getLogger(__name__)


class Opened(msgspec.Struct, frozen=True, gc=False):
    """A packet that was accepted, as its sender wrote it."""

    user_id: str
    stream: str
    packet: bytes
    """Header and plain body."""


class PacketOpener:
    """Finds out whose packet it is, in the room we are in, and takes its seal off. Events go to their handlers.

    Args:
        socket: The connection.
        mirror: The room.
        seals: Its keys.
    """

    def __init__(self, socket: SocketManager, mirror: RoomMirror, seals: RoomSeals) -> None:
        self._socket = socket
        self._mirror = mirror
        self._seals = seals
        self.own_events: dict[str, Callable[[Event], None]] = {}
        """Called with the events that sessions tell each other, by name."""
        socket.on_packet(Kind.EVENT, self.event)

    def open(self, header: Header, packet: bytes) -> Opened | None:
        """Return a packet without its seal; None, counted in the socket's `drops` by reason, when it is refused."""
        try:
            return self._open(header, packet)
        except ProtocolError as exc:
            self._socket.drops[exc.reason] += 1
            logger.debug("refused a packet of member %d: %s", header.member, exc)
            return None

    def reopen(self, header: Header, packet: bytes) -> tuple[Opened, bool] | None:
        """Return a packet of a picture without its seal, and whether it is new; None when it is refused."""
        state = self._mirror.state
        member = None if state is None else state.member(header.member)
        stream = None if state is None else state.streams.get((header.member, header.stream))
        if member is None or stream is None or header.version == 1:
            return None  # gone meanwhile; or a body of version 1, which is good for seconds only
        try:
            opened, new = self._seals.reopen(header, packet, member)
            return Opened(member.id, stream.name, opened), new
        except ProtocolError as exc:
            self._socket.drops[exc.reason] += 1
            return None

    def _open(self, header: Header, packet: bytes) -> Opened:
        state = self._mirror.state
        member = None if state is None else state.member(header.member)
        if state is None or member is None:
            raise ProtocolError(str(header.version), "of no member", "unknown_member")
        name = "event"
        if header.kind is not Kind.EVENT:
            stream = state.streams.get((header.member, header.stream))
            if stream is None or stream.kind != header.kind.name.lower():
                raise ProtocolError(str(header.version), "of no open stream", "unknown_stream")
            name = stream.name
        elif header.stream != EVENT_STREAM:
            raise ProtocolError(str(header.version), "an event on another stream", "unknown_stream")
        signing_key = self._socket.protocol.signing_key
        now = self._socket.clock.to_server(clock.now())
        return Opened(member.id, name, self._seals.open(header, packet, member, signing_key=signing_key, now=now))

    def heard_before(self, early: RoomUpdate | tuple[Header, bytes]) -> bool:
        """Take an early event that was said in the room we are about to leave; False when it was not, or is none."""
        if self._mirror.state is None or not isinstance(early, tuple):
            return False
        header, packet = early
        try:
            self._handle(header, self._open(header, packet))
        except ProtocolError:
            return False
        return True

    def event(self, header: Header, packet: bytes) -> None:
        """Take an event. Never waits."""
        if self._mirror.early is not None:
            self._mirror.early.append((header, packet))
        elif (opened := self.open(header, packet)) is not None:
            self._handle(header, opened)

    def _handle(self, header: Header, opened: Opened) -> None:
        try:
            name, data = self._socket.protocol.decode_event(header, opened.packet)
        except ProtocolError as exc:
            self._socket.drops[exc.reason] += 1
            logger.debug("dropped an event of %s: %s", opened.user_id, exc)
            return
        sent = self._socket.clock.to_local(header.captured_us / 1e6)
        event = Event(name=name, data=data, user_id=opened.user_id, timestamp=sent)
        if (handler := self.own_events.get(name)) is not None:
            handler(event)
        elif not name.startswith(OWN_PREFIX):
            self._socket.dispatch(event)
