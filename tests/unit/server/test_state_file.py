"""One SQLite file for several processes."""

from __future__ import annotations

import os
import sqlite3
import stat
from pathlib import Path

import pytest

from posewire import ConfigurationError
from posewire.server.state_file import StateFile


def count(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT count(*) FROM users").fetchone()[0])


def insert(connection: sqlite3.Connection) -> None:
    connection.execute("INSERT INTO users VALUES (hex(randomblob(4)), 'x', 0, 0)")


def insert_and_fail(connection: sqlite3.Connection) -> None:
    insert(connection)
    raise ZeroDivisionError


@pytest.mark.parametrize("in_memory", [True, False])
async def test_a_change_is_made_wholly_or_not_at_all(tmp_path: Path, in_memory: bool) -> None:
    file = StateFile(None if in_memory else tmp_path / "state.db")
    await file.write(insert)
    with pytest.raises(ZeroDivisionError):
        await file.write(insert_and_fail)
    await file.write(insert)
    assert await file.read(count) == 2


async def test_reading_makes_no_file_and_writing_makes_a_private_one(tmp_path: Path) -> None:
    path = tmp_path / "a folder" / "state?x=1#%20.db"
    assert await StateFile(path).read(count) == 0
    assert os.listdir(tmp_path) == []
    await StateFile(path).write(insert)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    path.unlink()
    assert await StateFile(path).read(count) == 0


async def test_a_file_that_a_crash_left_empty_is_a_new_one(tmp_path: Path) -> None:
    (tmp_path / "state.db").touch()
    assert await StateFile(tmp_path / "state.db").read(count) == 0
    await StateFile(tmp_path / "state.db").write(insert)


async def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "text").write_text("not a database at all " * 100)
    with sqlite3.connect(tmp_path / "foreign.db") as foreign:
        foreign.execute("CREATE TABLE theirs (x)")
    foreign.close()
    with sqlite3.connect(tmp_path / "newer.db") as newer:
        newer.executescript("CREATE TABLE users (x); PRAGMA application_id = 1886351205; PRAGMA user_version = 2")
    newer.close()
    for path, message in (
        (tmp_path, "cannot be"),
        (tmp_path / "file" / "state.db", "cannot be"),
        (tmp_path / "text", "not a database"),
        (tmp_path / "foreign.db", "of another program, or of a newer Posewire"),
        (tmp_path / "newer.db", "of another program, or of a newer Posewire"),
    ):
        with pytest.raises(ConfigurationError, match=rf"server\.users_file=.*{message}"):
            await StateFile(path).write(insert)
        if path != tmp_path / "file" / "state.db":
            with pytest.raises(ConfigurationError, match=rf"server\.users_file=.*{message}"):
                await StateFile(path).read(count)
