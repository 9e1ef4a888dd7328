"""What is held against a user's tokens, and the table it is kept in."""

from __future__ import annotations

import sqlite3
from typing import Final

import msgspec

Key = tuple[str, str]
"""A user and a room."""

_SELECT: Final = "SELECT user_id, room_id, revoked_before, banned_until, reason FROM revocations WHERE "


class Revocation(msgspec.Struct, frozen=True, kw_only=True):
    """What is held against one user, everywhere or in one room."""

    user_id: str
    """Empty: everybody."""
    room_id: str
    """Empty: everywhere."""
    revoked_before: float
    """Seconds since 1970: no token made until then is good."""
    banned_until: float
    """Seconds since 1970: until then no token is good, however new."""
    reason: str

    @property
    def key(self) -> Key:
        """The user and the room."""
        return self.user_id, self.room_id

    def merged(self, other: Revocation) -> Revocation:
        """Return both in one: the stricter of each, and the reason of the later."""
        return Revocation(
            user_id=self.user_id,
            room_id=self.room_id,
            revoked_before=max(self.revoked_before, other.revoked_before),
            banned_until=max(self.banned_until, other.banned_until),
            reason=other.reason if other.revoked_before >= self.revoked_before else self.reason,
        )

    def lifted(self) -> Revocation:
        """Return it without its ban."""
        return msgspec.structs.replace(self, banned_until=0.0)


def write_revocation(connection: sqlite3.Connection, entry: Revocation, *, lift: bool = False) -> None:
    """Write one, merged with what is there, inside a transaction; under a new number, which others find it by."""
    found = connection.execute(_SELECT + "user_id = ? AND room_id = ?", entry.key)
    if (row := found.fetchone()) is not None:
        there = _revocation(row)
        entry = (there.lifted() if lift else there).merged(entry)
        connection.execute("DELETE FROM revocations WHERE user_id = ? AND room_id = ?", entry.key)
    connection.execute(
        "INSERT INTO revocations VALUES (NULL, ?, ?, ?, ?, ?)",
        (*entry.key, entry.revoked_before, entry.banned_until, entry.reason),
    )


def write_revocations(
    connection: sqlite3.Connection, entries: dict[Key, Revocation], lifted: set[Key], forgotten_bans: float
) -> None:
    """Write several, and drop what the revocation of everybody says as well; inside a transaction."""
    for key, entry in entries.items():
        write_revocation(connection, entry, lift=key in lifted)
    connection.execute(
        "DELETE FROM revocations WHERE user_id != '' AND banned_until <= ? AND revoked_before <= "
        "(SELECT revoked_before FROM revocations WHERE user_id = '' AND room_id = '')",
        (forgotten_bans,),
    )


def read_revocations(connection: sqlite3.Connection, seen: int) -> tuple[list[Revocation], int]:
    """Return those with a number over ``seen``, and the newest number."""
    found = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'revocations'").fetchone()
    newest = 0 if found is None else int(found[0])
    # Numbers only grow: if not, this is another file than before.
    since = seen if seen <= newest else 0
    rows = connection.execute(_SELECT + "change > ? ORDER BY change", (since,))
    return [_revocation(row) for row in rows], newest


def _revocation(row: tuple[str, str, float, float, str]) -> Revocation:
    return Revocation(user_id=row[0], room_id=row[1], revoked_before=row[2], banned_until=row[3], reason=row[4])
