"""Holds the seats of sessions that lost their connection, and gives them back."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import Final

from posewire.config import ServerConfig
from posewire.errors import AuthError
from posewire.server.connection import Connection
from posewire.server.seat import Seat

_TOKEN_BYTES: Final = 32


class SeatKeeper:
    """Knows every session that can come back by its resume token: used once, then another.

    Args:
        config: For how long, and how much is remembered.
        held_by_one: Seats that are held for one user at most; then the one held longest is given up.
        give_up: Called with a connection whose session did not come back in time.
    """

    def __init__(self, config: ServerConfig, *, held_by_one: int, give_up: Callable[[Connection], None]) -> None:
        self._config = config
        self._held_by_one = held_by_one
        self._give_up = give_up
        self._by_token: dict[str, Connection] = {}
        """The last connection of each session, also by the token before until the new one has arrived."""
        self._held: dict[Connection, asyncio.TimerHandle] = {}

    def __len__(self) -> int:
        return sum(connection.room_id is not None for connection in self._held)

    def begin(self, connection: Connection) -> str:
        """Let a session come back from now on; returns its first resume token, "" when no seats are held."""
        if not self._config.resume_grace:
            return ""
        if connection.seat is None:
            connection.seat = Seat(self._config.recipient_limit)
        return self._rotate(connection, connection.seat, connection.seat.token)

    def find(self, connection: Connection, token: str, received: int) -> Connection | str:
        """Return the connection whose seat a new one may have, or why there is none.

        Args:
            connection: The new one; its token has been checked.
            token: What its session says its resume token is.
            received: How many journalled messages it says it has.

        Raises:
            AuthError: The session was ended for good while it was away.
        """
        older = self._by_token.get(token)
        if older is None or older.seat is None:
            return "the server does not know this session (any more)"
        if older.user_id != connection.user_id:
            return "the session is another user's"
        if older.seat.void:
            raise AuthError(older.user_id, older.seat.void)
        if received > older.seat.journal.count:
            return f"{received} messages cannot have come, of {older.seat.journal.count}"
        if older.seat.journal.after(received) is None:
            return f"more than {self._config.recipient_limit} bytes of messages were missed"
        return older

    def take_over(self, older: Connection, connection: Connection, token: str) -> tuple[Seat, str]:
        """Give a seat to a new connection that showed ``token``; returns it and the next resume token."""
        self._stop(older)
        self.release(connection)  # it may have begun another session
        seat, older.seat = older.seat, None
        assert seat is not None, "find() found it"
        connection.seat = seat
        return seat, self._rotate(connection, seat, token)

    def arrived(self, connection: Connection) -> None:
        """The session shows that it has its new token: the one before is void."""
        seat = connection.seat
        if seat is not None and seat.last_token:
            self._by_token.pop(seat.last_token, None)
            seat.last_token = ""

    def hold(self, connection: Connection) -> None:
        """Hold the seat of a connection that is lost."""
        held = [other for other in self._held if other.user_id == connection.user_id]
        for other in held[: max(0, len(held) + 1 - self._held_by_one)]:
            self._expire(other)
        loop = asyncio.get_running_loop()
        self._held[connection] = loop.call_later(self._config.resume_grace / 1000, self._expire, connection)

    def release(self, connection: Connection) -> None:
        """Let go of a session that does not come back, or must not. Nothing happens when it has no seat."""
        self._stop(connection)
        seat, connection.seat = connection.seat, None
        if seat is not None:
            self._by_token.pop(seat.token, None)
            self._by_token.pop(seat.last_token, None)

    def held(self) -> list[Connection]:
        """Return the lost connections whose seats are held."""
        return list(self._held)

    def close(self) -> None:
        """Hold nothing any more."""
        for connection in list(self._held):
            self.release(connection)

    def _expire(self, connection: Connection) -> None:
        self.release(connection)
        self._give_up(connection)

    def _stop(self, connection: Connection) -> None:
        if (timer := self._held.pop(connection, None)) is not None:
            timer.cancel()

    def _rotate(self, connection: Connection, seat: Seat, shown: str) -> str:
        """Make the next token; the one that was shown stays good until it has arrived, however often it is lost."""
        for token in (seat.token, seat.last_token):
            self._by_token.pop(token, None)
        seat.last_token, seat.token = shown, secrets.token_urlsafe(_TOKEN_BYTES)
        for token in filter(None, (seat.token, seat.last_token)):
            self._by_token[token] = connection
        return seat.token
