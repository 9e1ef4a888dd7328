"""What a server must not forget when it is restarted: one SQLite file, for users and revocations."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import secrets
import sqlite3
import unicodedata
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from posewire.errors import ConfigurationError

_T = TypeVar("_T")

_APPLICATION: Final = 0x706F7365
_VERSION: Final = 1
_BUSY_SECONDS: Final = 5.0

_SCHEMA: Final = f"""
CREATE TABLE users (name TEXT PRIMARY KEY, hash TEXT NOT NULL, added REAL NOT NULL, changed REAL NOT NULL);
CREATE TABLE revocations (
    change INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id TEXT NOT NULL, room_id TEXT NOT NULL,
    revoked_before REAL NOT NULL, banned_until REAL NOT NULL, reason TEXT NOT NULL,
    UNIQUE (user_id, room_id)
);
PRAGMA application_id = {_APPLICATION};
PRAGMA user_version = {_VERSION};
"""


class StateFile:
    """An SQLite file that only its owner can read, or memory. Several processes may have the same file open.

    Every call opens the file anew, so that a file that was moved away, put back or migrated meanwhile is noticed; that
    costs less than a millisecond and happens in the event loop's executor. Cancelling a call is safe, but what it
    began may still be written.

    Args:
        path: The file, made when something is written for the first time; None keeps everything in memory.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self.path = None if path is None else Path(path)
        self._memory: sqlite3.Connection | None = None
        if self.path is None:
            self._memory = _empty()
            weakref.finalize(self, self._memory.close)

    async def read(self, query: Callable[[sqlite3.Connection], _T]) -> _T:
        """Return what ``query`` finds. Waits for the file; without one, everything is empty.

        Raises:
            ConfigurationError: The file cannot be read, or is something else.
        """
        if self._memory is not None:
            return query(self._memory)
        return await asyncio.to_thread(self._read, query)

    async def write(self, change: Callable[[sqlite3.Connection], _T]) -> _T:
        """Do ``change`` wholly or, when it raises, not at all. Waits until it is on the disk.

        Raises:
            ConfigurationError: The file cannot be written, or is something else.
        """
        if self._memory is not None:
            with _transaction(self._memory):
                return change(self._memory)
        return await asyncio.to_thread(self._write, change)

    def _read(self, query: Callable[[sqlite3.Connection], _T]) -> _T:
        assert self.path is not None
        with _said(self.path, "read"):
            there = self.path.exists()
            with contextlib.closing(_open(self.path) if there else _empty()) as connection:
                return query(connection)

    def _write(self, change: Callable[[sqlite3.Connection], _T]) -> _T:
        assert self.path is not None
        with _said(self.path, "written"):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # SQLite gives its journal the same permissions.
            with contextlib.suppress(FileExistsError):
                os.close(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            with contextlib.closing(_open(self.path)) as connection, _transaction(connection):
                return change(connection)


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    with connection:  # commits, or rolls back
        # IMMEDIATE: who reads before it writes must know that nobody else writes in between.
        connection.execute("BEGIN IMMEDIATE")
        yield


@contextlib.contextmanager
def _said(path: Path, verb: str) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as exc:
        raise ConfigurationError("server.users_file", str(path), f"cannot be {verb}: {exc}") from exc


def _empty() -> sqlite3.Connection:
    # Used by one thread at a time: the event loop's, or the one that made it.
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    connection.executescript(_SCHEMA)
    return connection


def _open(path: Path) -> sqlite3.Connection:
    with path.open("rb") as file:
        former = file.read(1) == b"{"
    if former:
        _migrate(path)
    # mode=rw: never makes a file, which others could read then.
    uri = f"{path.absolute().as_uri()}?mode=rw"
    with contextlib.ExitStack() as stack:
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=_BUSY_SECONDS)
        stack.callback(connection.close)
        if not _is_ours(connection):
            _prepare(connection, path)
        stack.pop_all()
    return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    with _transaction(connection):
        if _is_ours(connection):
            return  # another process was faster
        if connection.execute("SELECT 1 FROM sqlite_master").fetchone():
            problem = "cannot be used: a file of another program, or of a newer Posewire"
            raise ConfigurationError("server.users_file", str(path), problem)
        # executescript would end the transaction.
        for statement in _SCHEMA.split(";\n"):
            connection.execute(statement)


def _is_ours(connection: sqlite3.Connection) -> bool:
    found = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")]
    return found == [_APPLICATION, _VERSION]


# The JSON file of Posewire 0.1, with scrypt hashes --------------------------------------------------------------------


class _FormerUser(msgspec.Struct):
    salt: bytes
    hash: bytes
    cost: int
    block: int


class _FormerFile(msgspec.Struct):
    users: dict[str, _FormerUser] = {}


def scrypt_text(cost: int, block: int, salt: bytes, digest: bytes) -> str:
    """Return a former hash as the table of users has it."""
    texts = (base64.b64encode(each).decode() for each in (salt, digest))
    return "$scrypt$" + "$".join((str(cost), str(block), *texts))


def _migrate(path: Path) -> None:
    """Put an SQLite file in the place of a JSON file, in one step; passwords stay good."""
    try:
        users = msgspec.json.decode(path.read_bytes(), type=_FormerFile).users
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        problem = f"cannot be read: it looks like a former JSON file of users, but is none: {exc}"
        raise ConfigurationError("server.users_file", str(path), problem) from exc
    at = path.stat().st_mtime
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        with contextlib.closing(_open(partial)) as connection, _transaction(connection):
            for name, user in users.items():
                text = scrypt_text(user.cost, user.block, user.salt, user.hash)
                name = unicodedata.normalize("NFC", name)
                connection.execute("INSERT OR IGNORE INTO users VALUES (?, ?, ?, ?)", (name, text, at, at))
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
