"""What happened, in the order in which it happened: all of it is seen by one event loop, so there is only one order."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any, Literal

import msgspec

Outcome = Literal["open", "returned", "raised"]


class Sent(msgspec.Struct, kw_only=True):
    """A reliable event that a session was asked to send."""

    sender: str
    number: int
    room: str
    began: int
    """Position in the history at which `send_event` was called."""
    outcome: Outcome = "open"
    ended: int | None = None
    error: str = ""


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """A reliable event that came."""

    receiver: str
    sender: str
    number: int
    room: str
    """As the sender wrote it."""
    at: int


class Stay(msgspec.Struct, kw_only=True):
    """A time in which a session was certainly a member of a room: present, or dropped and resumed."""

    session: str
    room: str
    began: int
    """From then on nothing may be missed."""
    ended: int | None = None
    """From then on it is not certain any more; None to the end of the schedule."""


class Comeback(msgspec.Struct, frozen=True, kw_only=True):
    """A session came back after it had lost its connection."""

    session: str
    at: int
    resumed: bool
    reason: str
    seconds: float
    """Real time from the last sign of life of the old connection."""
    generations: int
    """How often the server was started meanwhile."""
    token_ended: bool = False
    """Whether its token may have ended meanwhile, and its session with it."""
    moving: bool = False
    """Whether it was going over to another room when it lost the connection, or when it came back."""


class End(msgspec.Struct, frozen=True, kw_only=True):
    """A session is over."""

    session: str
    error: str
    """Name of the type; empty when its application ended it."""
    detail: str
    named: bool
    """Whether the error is a `PosewireError`."""


class View(msgspec.Struct, frozen=True, kw_only=True):
    """A session at the end of the schedule, beside what it should be."""

    session: str
    connected: bool
    room: str | None
    expected: str | None
    mirror: dict[str, Any] | None
    """Its view of the room."""


class History:
    """The log of one schedule. `judge` of `invariants` reads it; `render` shows it."""

    def __init__(self) -> None:
        self.sent: list[Sent] = []
        self.received: list[Received] = []
        self.stays: list[Stay] = []
        self.comebacks: list[Comeback] = []
        self.ends: list[End] = []
        self.views: list[View] = []
        self.rooms: dict[str, dict[str, Any]] = {}
        """The server's, at the end."""
        self.excuses: dict[str, set[str]] = {}
        """By session: the errors that it may end with, for what was done to it."""
        self.wrong: list[str] = []
        """What was found to be wrong on the spot: poses, an old token let in, growth."""
        self.indices: dict[int, str] = {}
        """Sessions by the index that their poses name."""
        self.stall = 0.0
        """Real seconds for which a process stood still, the longest time."""
        self.poses = 0
        self.faults: Counter[str] = Counter()
        self._lines: list[tuple[float, str]] = []
        self._position = itertools.count(1)

    def position(self) -> int:
        """Return the next position."""
        return next(self._position)

    def note(self, at: float, text: str) -> None:
        """Write a line for people; ``at`` in seconds of the schedule."""
        self._lines.append((at, text))

    def excuse(self, session: str, *errors: str) -> None:
        """Note that a session may end with one of ``errors`` from now on."""
        self.excuses.setdefault(session, set()).update(errors)

    def render(self) -> str:
        """Return the lines."""
        return "\n".join(f"  {at:6.2f} s  {text}" for at, text in self._lines)
