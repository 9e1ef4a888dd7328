"""What a member must get in order and once: remembered until it says that it has it."""

from __future__ import annotations

from collections import deque

from posewire.server.fast_path import Outgoing


class Journal:
    """The events and changes of the room that were sent to one session, over all its connections.

    They are counted on both sides, from the first; the session says how many have come.

    Args:
        limit: Bytes that may be remembered. Past it they are forgotten, and a session that lacks one is not resumed.
    """

    def __init__(self, limit: int) -> None:
        self.count = 0
        """Messages ever."""
        self._limit = limit
        self._bytes = 0
        self._messages: deque[Outgoing] = deque()
        """The newest ones."""

    def append(self, message: Outgoing) -> None:
        """Note a message that is being sent, or would be if there were a connection."""
        self.count += 1
        self._messages.append(message)
        self._bytes += len(message.wire)
        if self._bytes > self._limit:
            self._messages.clear()
            self._bytes = 0

    def confirm(self, received: int) -> None:
        """Forget the first ``received`` messages ever; a number that cannot be is ignored."""
        if received > self.count:
            return
        for _ in range(len(self._messages) - (self.count - received)):
            self._bytes -= len(self._messages.popleft().wire)

    def after(self, received: int) -> list[Outgoing] | None:
        """Return all messages after the first ``received`` ever; None when that cannot be."""
        if not 0 <= self.count - received <= len(self._messages):
            return None
        self.confirm(received)
        return list(self._messages)
