"""A room on the server."""

from __future__ import annotations

import itertools
import secrets
from collections import deque
from typing import Final

from posewire import clock
from posewire.protocol import Kind
from posewire.protocol.control import StreamReport
from posewire.protocol.room_view import Change
from posewire.rooms.command import Command
from posewire.rooms.room_state import RoomState
from posewire.server.connection import Connection
from posewire.server.outlet import Outlet
from posewire.server.picture import Picture

_CHANGES: Final = 256
"""The newest changes, for members that missed some."""


class Room:
    """A room: its state and the connections of its members."""

    def __init__(self, state: RoomState, maker: Connection) -> None:
        self.state = state
        self.maker = maker
        """A room that nobody has joined yet goes with the connection that made it."""
        self.key = secrets.token_bytes(32)
        """Signs v1 bodies and feeds the MAC; every member gets it."""
        self.connections: dict[str, Connection] = {}
        """By user; changed through `seat` and `unseat`."""
        self.active_at = clock.monotonic()
        """When a member sent or asked something last, monotonic seconds."""
        self.pictures: dict[int, Picture] = {}
        """Of each stream of poses, by member and stream as `Mail.key` has them."""
        self.reports: dict[tuple[int, int], dict[int, tuple[float, StreamReport]]] = {}
        """How each stream comes through to each member, and when that was said; by numbers."""
        self._changes: deque[Change] = deque(maxlen=_CHANGES)
        self._audiences: dict[Connection, tuple[tuple[Outlet, ...], tuple[Outlet, ...]]] = {}
        """Of each member, the ways to the others: of sound, and of poses."""

    def seat(self, connection: Connection) -> None:
        """Let a connection in."""
        self.connections[connection.user_id] = connection
        self._audiences.clear()

    def apply(self, command: Command, *, now: float) -> list[Change]:
        """Carry out a command and remember what changed; see `RoomState.apply`."""
        changes = self.state.apply(command, now=now)
        self._changes.extend(changes)
        return changes

    def changes_since(self, version: int) -> list[Change] | None:
        """Return what changed since ``version``; None when that is not known any more."""
        missed = self.state.version - version
        if not 0 <= missed <= len(self._changes):
            return None
        return list(itertools.islice(self._changes, len(self._changes) - missed, None))

    def changed(self) -> None:
        """Take note that a member's connections are others, or what it may do has changed."""
        self._audiences.clear()

    def unseat(self, connection: Connection) -> None:
        """Let a connection go, and its streams with it."""
        del self.connections[connection.user_id]
        self._audiences.clear()
        # In the next room the same numbers are those of others.
        connection.forget_frames()
        for key in [key for key in self.pictures if key >> 8 == connection.number]:
            del self.pictures[key]
            for other in self.connections.values():
                other.forget(key)
        for stream in list(self.reports):
            self.reports[stream].pop(connection.number, None)
            if stream[0] == connection.number:
                del self.reports[stream]

    def audience(self, connection: Connection, kind: Kind) -> tuple[Outlet, ...]:
        """Return the ways to everyone else who may subscribe, of frames of that kind."""
        audiences = self._audiences.get(connection)
        if audiences is None:
            others = [
                other
                for other in self.connections.values()
                if other is not connection and other.subscribe and not other.lost
            ]
            audiences = self._audiences[connection] = (
                tuple(other.outlet for other in others),
                tuple(other.pose_outlet(connection.number) for other in others),
            )
        return audiences[kind is Kind.POSE]

    def listeners(self, connection: Connection) -> list[Connection]:
        """Return everyone else who may subscribe, those too whose connection is lost."""
        return [other for other in self.connections.values() if other is not connection and other.subscribe]
