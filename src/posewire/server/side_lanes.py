"""Which further connections belong to which session, and what lets one in."""

from __future__ import annotations

import secrets
from typing import Final

from posewire import clock
from posewire.errors import AuthError, ResourceLimitError
from posewire.protocol import control
from posewire.server.connection import Connection
from posewire.server.side_lane import SideLane

TICKET_SECONDS: Final = 30.0
"""That a ticket is good for, once."""
MOST_SIDE_LANES: Final = 15
"""Of one session."""
_TICKET_BYTES: Final = 32


class SideLanes:
    """Makes tickets, and knows the lanes they let in.

    A ticket is 256 random bits that only the session gets to see, over the connection that it is greeted on. It lets
    one lane of that very connection in, of the same user and the same session text, within `TICKET_SECONDS`; whoever
    shows it, it is void then. The next ticket voids the one before.
    """

    def __init__(self) -> None:
        self._tickets: dict[str, tuple[Connection, float]] = {}
        self._ticket_of: dict[Connection, str] = {}
        self._lanes: dict[str, SideLane] = {}

    def __len__(self) -> int:
        return len(self._lanes)

    def get(self, sid: str) -> SideLane | None:
        """Return a lane by its id."""
        return self._lanes.get(sid)

    def of(self, connection: Connection) -> list[SideLane]:
        """Return the lanes of a session's connection."""
        return [lane for lane in self._lanes.values() if lane.connection is connection]

    def ticket(self, connection: Connection) -> control.LaneTicket:
        """Return what lets one more lane of a connection in.

        Raises:
            ResourceLimitError: It has as many as it may.
        """
        self._check_room_for_one(connection)
        self._tickets.pop(self._ticket_of.get(connection, ""), None)
        ticket = secrets.token_urlsafe(_TICKET_BYTES)
        self._tickets[ticket] = (connection, clock.monotonic() + TICKET_SECONDS)
        self._ticket_of[connection] = ticket
        return control.LaneTicket(ticket=ticket, seconds=TICKET_SECONDS)

    def redeem(self, ticket: object, user_id: str, session_id: str) -> Connection:
        """Return the connection a lane belongs to that shows a ticket, which is void from now on.

        Args:
            ticket: What it shows.
            user_id: Who its token, which has been checked, says it is.
            session_id: The session it says it is of.

        Raises:
            AuthError: Not a ticket (any more), or another's.
            ResourceLimitError: The connection has as many lanes as it may.
        """
        connection, until = self._tickets.pop(ticket, (None, 0.0)) if isinstance(ticket, str) else (None, 0.0)
        if connection is None:
            raise AuthError(user_id, "the server does not know this ticket (any more)")
        del self._ticket_of[connection]
        if clock.monotonic() > until:
            raise AuthError(user_id, "the ticket has expired")
        if connection.user_id != user_id or connection.session_id != session_id:
            raise AuthError(user_id, "the ticket is another session's")
        if connection.lost or connection.ending:
            raise AuthError(user_id, "the session's connection is gone")
        self._check_room_for_one(connection)
        return connection

    def add(self, lane: SideLane) -> None:
        """Let poses of the room come down on a lane too."""
        self._lanes[lane.sid] = lane
        lane.connection.add_outlet(lane.sid, lane.outlet)

    def remove(self, sid: str) -> SideLane | None:
        """Forget a lane that is gone, and return it; None when there is none of that id."""
        lane = self._lanes.pop(sid, None)
        if lane is not None:
            lane.release()
            lane.connection.remove_outlet(sid)
        return lane

    def end(self, connection: Connection) -> None:
        """Cut all lanes of a connection that is gone; no ticket of it is good any more."""
        self._tickets.pop(self._ticket_of.pop(connection, ""), None)
        for lane in self.of(connection):
            lane.cut()

    def _check_room_for_one(self, connection: Connection) -> None:
        if len(self.of(connection)) >= MOST_SIDE_LANES:
            raise ResourceLimitError(f"{connection.user_id} has {MOST_SIDE_LANES} lanes, the most a session may have")
