"""What the server keeps of a session, whichever connection it is on."""

from __future__ import annotations

from typing import Final

from posewire.server.journal import Journal

_MOST_REFUSED: Final = 1024


class Seat:
    """Outlives the connections of a session that can come back.

    Args:
        limit: Bytes of messages that are remembered for it.
    """

    def __init__(self, limit: int) -> None:
        self.journal = Journal(limit)
        self.next_event = 0
        """Seq of its next event in the room it is in: one before it has been passed on already, or refused."""
        self.refused: dict[int, None] = {}
        """Of those, the last that were refused: its session may not know yet."""
        self.void = ""
        """Why its session must not come back."""
        self.token = ""
        """Gives the seat back to whoever shows it; a new one with each connection."""
        self.last_token = ""
        """The one before, good until its session has shown that it has the new one: the answer may have been lost."""

    @property
    def settled(self) -> int:
        """One more than the seq of the last event before which none was refused: the session knows of all those."""
        return min(self.refused, default=self.next_event)

    def enter(self) -> None:
        """Begin to count its events: it has entered a room."""
        self.next_event = 0
        self.refused.clear()

    def refuse(self, seq: int) -> None:
        """Take note of an event that was refused."""
        self.next_event = max(self.next_event, seq + 1)
        self.refused[seq] = None
        if len(self.refused) > _MOST_REFUSED:
            del self.refused[next(iter(self.refused))]
