"""What comes in on a connection, and who gets it."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from posewire.errors import AuthError, ConnectionError, PosewireError, ProtocolError
from posewire.protocol import Header, Kind, control, unpack_header
from posewire.sockets.event_dispatcher import Event
from posewire.sockets.resumption import Resumption

logger = logging.getLogger(__name__)

PacketHandler = Callable[[Header, bytes], None]
_UPDATE_BYTES: Final = 512
"""Of a change of the room, at most, or nearly so."""


class Inbound:
    """Hands packets to the handler of their kind, and the server's events to ours and then to the application's.

    Args:
        resumption: Counts what must come once.
        dispatch: Hands an event to the application.
        drops: Counts packets that are not taken, by reason.
    """

    def __init__(self, resumption: Resumption, dispatch: Callable[[Event], None], drops: Counter[str]) -> None:
        self.drops = drops
        self.packet_handlers: dict[Kind, PacketHandler] = {}
        self.event_handlers: dict[str, Callable[[Any], None]] = {}
        self._resumption = resumption
        self._dispatch = dispatch

    def frame(self, packet: bytes) -> None:
        """Take a packet. Never waits."""
        header = self._header(packet)
        if header is None:
            return
        if header.kind is Kind.EVENT:
            self._resumption.count(len(packet))
        if (handler := self.packet_handlers.get(header.kind)) is not None:
            handler(header, packet)

    def side_frame(self, packet: bytes) -> None:
        """Take a packet from another connection than the primary one: poses only come there. Never waits."""
        header = self._header(packet)
        if header is None:
            return
        if header.kind is not Kind.POSE:
            # An event would be counted as one of those that come once and in order.
            self.drops["wrong_lane"] += 1
        elif (handler := self.packet_handlers.get(Kind.POSE)) is not None:
            handler(header, packet)

    def _header(self, packet: bytes) -> Header | None:
        try:
            return unpack_header(packet)
        except ProtocolError as exc:
            self.drops[exc.reason] += 1
            logger.debug("dropped a packet: %s", exc)
            return None

    def event(self, name: str, data: Any) -> None:
        """Take an event of the server. Never waits."""
        if name == control.ROOM:
            self._resumption.count(_UPDATE_BYTES)
        if (handler := self.event_handlers.get(name)) is not None:
            handler(data)
        self._dispatch(Event(name=name, data=data))


def reason_of(bye: Any, user_id: str) -> PosewireError:
    """Return what the server's goodbye means for the session: worth coming back, or the end."""
    try:
        said = control.from_plain(bye, control.Bye, what="bye")
    except PosewireError:
        said = control.Bye(reason="no reason given")
    return ConnectionError(f"the server said goodbye: {said.reason}") if said.retry else AuthError(user_id, said.reason)
