"""What one session saw of its coming back."""

from __future__ import annotations

import time
from typing import Final

from benchmarks.reconnect.messages import Back

ROOM_SIZE: Final = 10
FPS: Final = 15
"""Of each session."""


def room_of(index: int) -> str:
    """Return the room of the session ``index``: ten each."""
    return f"room{index // ROOM_SIZE}"


class Seen:
    """Takes the times.

    Args:
        others: Other members of its room.
        elsewhere: It comes back at another server; what it hears before it is there is from the old one.
    """

    def __init__(self, others: int, *, elsewhere: bool = False) -> None:
        self._others = others
        self._elsewhere = elsewhere
        self._armed = False
        self._heard: set[str] = set()
        self._times = {"connected_ns": 0, "room_ns": 0, "first_ns": 0, "all_ns": 0}
        self.resumed = False

    def arm(self) -> None:
        """Forget everything; note what comes from now on."""
        self._armed = True
        self._heard.clear()
        self._times = dict.fromkeys(self._times, 0)
        self.resumed = False

    def note(self, name: str) -> None:
        """Note that something is so now; the first time counts."""
        if self._armed and not self._times[name]:
            self._times[name] = time.monotonic_ns()

    def heard(self, user: str) -> None:
        """Note a pose of a member."""
        if not self._armed or user in self._heard or (self._elsewhere and not self._times["connected_ns"]):
            return
        self._heard.add(user)
        self.note("first_ns")
        if len(self._heard) == self._others:
            self.note("all_ns")

    def back(self) -> Back:
        """Return what was seen."""
        return Back(**self._times, resumed=self.resumed)
