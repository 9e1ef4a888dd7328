"""The room we are in, kept as the server tells it, and whoever wants to know what changes."""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import Callable
from typing import Any

from posewire.errors import DataValidationError
from posewire.protocol import Header, control
from posewire.protocol.room_view import Closed, GrantsChanged, Left, Rekeyed, RoomMember, RoomUpdate
from posewire.rooms.presence import Presence, PresenceFeed, differences, presence_of
from posewire.rooms.room_state import RoomState
from posewire.sockets import Event, SocketManager

logger = logging.getLogger(__name__)


class RoomMirror:
    """Takes in the server's updates, in order; one that is missing makes it `stale`.

    Args:
        socket: The connection.
    """

    def __init__(self, socket: SocketManager) -> None:
        self.state: RoomState | None = None
        """None outside of rooms."""
        self.stale = asyncio.Event()
        """Set when something was missed."""
        self.on_moved: Callable[[RoomMember], None] = lambda before: None
        """Called with a member as it was when it moves to another room key."""
        self.early: list[RoomUpdate | tuple[Header, bytes]] | None = None
        """While we are joining a room: updates and events, as packets, may come before the answer that they follow."""
        self._socket = socket
        self._ended = False
        self._feeds: weakref.WeakSet[PresenceFeed] = weakref.WeakSet()
        socket.on_server_event(control.ROOM, self._update)

    def feed(self) -> PresenceFeed:
        """Return an iterator of what happens from now on."""
        feed = PresenceFeed()
        if self._ended:
            feed.end()
        self._feeds.add(feed)
        return feed

    def end(self) -> None:
        """Let the iterators end."""
        self._ended = True
        for feed in list(self._feeds):
            feed.end()

    def replace(self, state: RoomState) -> None:
        """Take another view of the room we are in; whoever left meanwhile is forgotten."""
        stays = {(member.id, member.number, member.join_time) for member in state.members.values()}
        old, self.state = self.state, state
        if old is None:
            return
        for member in old.members.values():
            if (member.id, member.number, member.join_time) not in stays:
                self._socket.protocol.forget(member.number)
        for presence in differences(old, state):
            self._tell(presence)

    def enter(self, state: RoomState, user_id: str) -> None:
        """Begin with the view of a room we have entered; of one we were in before, tell what we missed."""
        old, self.state = self.state, state
        if old is not None and old.room_id == state.room_id:
            for presence in differences(old, state):
                if presence.user_id != user_id:
                    self._tell(presence)

    def absorb(self, update: RoomUpdate) -> None:
        """Take in a change of the room we are in; one that we have is ignored, a gap makes us stale.

        Raises:
            DataValidationError: It is about somebody who is not there; nothing has changed.
        """
        state, change = self.state, update.change
        if state is None or update.room != state.room_id or update.version <= state.version:
            return
        if update.version > state.version + 1:
            self.stale.set()
            return
        user_id = getattr(change, "user_id", None)
        if user_id is not None and user_id not in state.members:
            raise DataValidationError("room update", f"{str(change)[:80]}", "expected a member")
        before = state.members.get(change.user_id) if isinstance(change, Left | Rekeyed) else None
        if before is not None and isinstance(change, Left):
            self._socket.protocol.forget(before.number)
        elif before is not None:
            self.on_moved(before)
        state.absorb(change)
        if isinstance(change, GrantsChanged) and change.user_id == self._socket.user_id:
            self._socket.protocol.restart()  # while we were muted, what others refer to was refused
        if isinstance(change, Closed):
            self.leave()
        if (presence := presence_of(change, before, state)) is not None:
            self._tell(presence)

    def leave(self) -> None:
        """We are in no room any more."""
        self.state = None
        self._socket.enter(None)

    def _update(self, data: Any) -> None:
        try:
            update = control.from_plain(data, RoomUpdate, what="room update")
            if self.early is not None:
                self.early.append(update)
            else:
                self.absorb(update)
        except DataValidationError as exc:
            logger.warning("room update not understood: %s", exc)
            self.stale.set()

    def _tell(self, presence: Presence) -> None:
        self._socket.dispatch(Event(name="presence", data=presence, user_id=presence.user_id or None))
        for feed in list(self._feeds):
            feed.put(presence)
