"""Who may log in."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import sqlite3
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import argon2
import msgspec
import pytest

from posewire import AuthError, ConfigurationError, DataValidationError, ResourceLimitError
from posewire.server import UserStore, user_store
from posewire.server.user_store import check_name

PASSWORD = "a long passphrase"


async def test_in_memory() -> None:
    users = UserStore()
    await users.add("alice", PASSWORD)
    assert await users.verify("alice", PASSWORD) == "alice"
    with pytest.raises(AuthError, match="unknown user or wrong password"):
        await users.verify("alice", PASSWORD + "!")
    with pytest.raises(AuthError, match="unknown user or wrong password"):
        await users.verify("bob", PASSWORD)
    assert await users.names() == ["alice"]
    await users.set_password("alice", "another passphrase")
    await users.verify("alice", "another passphrase")
    with pytest.raises(AuthError):
        await users.verify("alice", PASSWORD)
    assert await users.remove("alice")
    assert not await users.remove("alice")
    with pytest.raises(AuthError):
        await users.verify("alice", "another passphrase")


async def test_in_a_file_that_others_may_change(tmp_path: Path) -> None:
    path = tmp_path / "state" / "users.db"
    users, other = UserStore(path), UserStore(path)
    assert await other.names() == []
    assert not await other.remove("alice")
    assert not path.exists()
    await users.add("alice", PASSWORD)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert PASSWORD.encode() not in path.read_bytes()
    await other.verify("alice", PASSWORD)
    await other.add("bob", PASSWORD)
    await users.verify("bob", PASSWORD)
    assert await users.names() == ["alice", "bob"]
    assert [file.name for file in path.parent.iterdir()] == ["users.db"], "no journal is left"
    path.unlink()
    assert await users.names() == []


async def test_two_who_add_the_same_name_at_once(tmp_path: Path) -> None:
    stores = [UserStore(tmp_path / "users.db") for _ in range(4)]
    results = await asyncio.gather(*(each.add("alice", PASSWORD) for each in stores), return_exceptions=True)
    assert [type(each) for each in results].count(type(None)) == 1
    assert [type(each) for each in results].count(DataValidationError) == 3


async def hash_of(users: UserStore, name: str) -> str:
    return str(
        await users.file.read(
            lambda connection: connection.execute("SELECT hash FROM users WHERE name = ?", (name,)).fetchone()[0]
        )
    )


async def test_hashes_are_argon2id_as_owasp_recommends_and_another_for_everyone() -> None:
    users = UserStore()
    await users.add("alice", PASSWORD)
    await users.add("bob", PASSWORD)
    alice, bob = await hash_of(users, "alice"), await hash_of(users, "bob")
    assert alice.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert alice != bob
    # Somebody unknown is compared with a hash of the very same cost.
    assert argon2.extract_parameters(users._nobody) == argon2.extract_parameters(alice)


async def set_hash(users: UserStore, name: str, text: str) -> None:
    await users.file.write(
        lambda connection: connection.execute("UPDATE users SET hash = ? WHERE name = ?", (text, name))
    )


async def test_a_hash_that_was_made_cheaper_is_made_anew_when_the_password_is_known() -> None:
    users = UserStore()
    await users.add("alice", PASSWORD)
    old = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    await set_hash(users, "alice", old)
    with pytest.raises(AuthError):
        await users.verify("alice", "wrong passphrase")
    assert await hash_of(users, "alice") == old
    await users.verify("alice", PASSWORD)
    new = await hash_of(users, "alice")
    assert "m=19456,t=2,p=1" in new
    await users.verify("alice", PASSWORD)
    assert await hash_of(users, "alice") == new


@pytest.mark.parametrize(
    "text", ["", "x", "$argon2id$v=19$m=8", "$scrypt$", "$scrypt$1$1$a$b", "$scrypt$x$1$YQ==$YQ=="]
)
async def test_a_damaged_hash_has_no_password(text: str) -> None:
    users = UserStore()
    await users.add("alice", PASSWORD)
    await set_hash(users, "alice", text)
    with pytest.raises(AuthError):
        await users.verify("alice", PASSWORD)


@pytest.mark.parametrize(
    ("name", "password", "message"),
    [
        ("", PASSWORD, "expected 1 to 128 printable"),
        ("x" * 129, PASSWORD, "expected 1 to 128 printable"),
        ("a\nb", PASSWORD, "expected 1 to 128 printable"),
        ("alice", "short", "expected at least 8 characters"),
        ("alice", "x" * 1025, "expected at most 1024 bytes"),
        ("taken", PASSWORD, "expected a name that is not taken"),
        ("tak\u00e9n", PASSWORD, "expected a name that is not taken"),
    ],
)
async def test_names_and_passwords_that_will_not_do(name: str, password: str, message: str) -> None:
    users = UserStore()
    await users.add("taken", PASSWORD)
    await users.add("take\u0301n", PASSWORD)
    with pytest.raises(DataValidationError, match=message) as caught:
        await users.add(name, password)
    assert password not in str(caught.value), "a password is never in a message"
    assert await users.names() == ["taken", "tak\u00e9n"]


@pytest.mark.parametrize(
    "name",
    [
        "a\x00b", "a\x7f", "a\u0085", "a\u200bb", "a\u202eb", "a\u2066b", "a\u200fb", "\ufeffa", "a\u00adb", "a\ud800",
        "a\ue000", "a\U000e0041", "a\u0378", "a\u2028b", "a\u2029b", "a\u00a0b", "a\u3000b", " a", "a ", " ", 5, None,
    ],
)  # fmt: skip
def test_names_that_are_not_what_they_look_like(name: Any) -> None:
    with pytest.raises(DataValidationError, match="expected 1 to 128 printable") as caught:
        check_name(name)
    assert str(caught.value).isascii()


def test_names_that_are_fine() -> None:
    for name in ("alice", "Zoë", "王小明", "a b", "O'Neil", "🙂", "x" * 128):
        assert check_name(name) == name
    assert check_name("rene\u0301") == "ren\u00e9"


async def test_who_logs_in_has_one_name_however_it_is_written() -> None:
    users = UserStore()
    await users.add("rene\u0301", PASSWORD)
    for name in ("rene\u0301", "ren\u00e9"):
        assert await users.verify(name, PASSWORD) == "ren\u00e9"
    assert await users.remove("rene\u0301")


@pytest.mark.parametrize(("name", "password"), [("a\ud800", PASSWORD), ("alice", "\ud800" * 10), ("alice", "x" * 5000)])
async def test_what_a_stranger_may_send(name: str, password: str) -> None:
    users = UserStore()
    await users.add("alice", PASSWORD)
    with pytest.raises(AuthError, match="unknown user or wrong password"):
        await users.verify(name, password)


async def test_a_password_that_only_begins_like_the_longest_is_wrong() -> None:
    users = UserStore()
    await users.add("alice", "x" * 1024)
    await users.verify("alice", "x" * 1024)
    with pytest.raises(AuthError):
        await users.verify("alice", "x" * 1025)


async def test_an_unknown_user_has_no_password_to_change() -> None:
    for name in ("nobody", "ren\u00e9"):
        with pytest.raises(DataValidationError, match="expected a known user"):
            await UserStore().set_password(name, PASSWORD)


async def test_when_users_were_added_and_changed() -> None:
    users = UserStore()
    await users.add("alice", PASSWORD)
    (before,) = await users.users()
    assert before.added == before.changed > 1.7e9
    await users.set_password("alice", PASSWORD)
    (after,) = await users.users()
    assert after.added == before.added
    assert after.changed > before.changed


# The work of hashing -------------------------------------------------------------------------------------------------


class Gate:
    """Stands in for the hash: holds every thread until it is opened, and counts them."""

    def __init__(self) -> None:
        self.running = 0
        self.most = 0
        self.lock = threading.Lock()
        self.opened = threading.Event()

    def __call__(self, text: str, secret: bytes) -> bool:
        with self.lock:
            self.running += 1
            self.most = max(self.most, self.running)
        assert self.opened.wait(30)
        with self.lock:
            self.running -= 1
        return False


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    gate = Gate()
    monkeypatch.setattr(user_store, "_matches", gate)
    return gate


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.001)


async def test_two_hashes_at_a_time_and_a_bounded_number_waits(gate: Gate) -> None:
    users = UserStore()
    tries = [asyncio.create_task(users.verify("alice", PASSWORD)) for _ in range(30)]
    await until(lambda: sum(each.done() for each in tries) == 12 and gate.running == 2)
    assert users.busy
    assert {type(each.exception()) for each in tries if each.done()} == {ResourceLimitError}
    gate.opened.set()
    await asyncio.wait(tries)
    assert [type(each.exception()) for each in tries].count(AuthError) == 18
    assert gate.most == 2
    assert not users.busy


async def test_a_hash_that_nobody_waits_for_any_more_still_counts(gate: Gate) -> None:
    users = UserStore()
    for _ in range(4):
        tries = [asyncio.create_task(users.verify("alice", PASSWORD)) for _ in range(10)]
        await until(lambda: gate.running == 2)
        for each in tries:
            each.cancel()
        await asyncio.wait(tries)
        assert not users.busy
    assert gate.most == 2, "threads cannot be cancelled"
    gate.opened.set()
    await until(lambda: gate.running == 0)
    with pytest.raises(AuthError):
        await users.verify("alice", PASSWORD)


async def test_the_loop_goes_on_while_a_password_is_checked(gate: Gate) -> None:
    users = UserStore()
    trying = asyncio.create_task(users.verify("alice", PASSWORD))
    await until(lambda: gate.running == 1)
    await asyncio.sleep(0)
    gate.opened.set()
    await asyncio.wait([trying])
    trying.exception()


async def test_known_and_unknown_users_cost_the_same_work(monkeypatch: pytest.MonkeyPatch) -> None:
    users = UserStore()
    await users.add("alice", PASSWORD)
    work: list[tuple[Any, int]] = []
    matches = user_store._matches

    def watched(text: str, secret: bytes) -> bool:
        work.append((argon2.extract_parameters(text), len(secret)))
        return matches(text, secret)

    monkeypatch.setattr(user_store, "_matches", watched)
    for name in ("alice", "nobody"):
        with pytest.raises(AuthError):
            await users.verify(name, "not the passphrase")
    assert work[0] == work[1]
    assert len(work) == 2


# The former kind of file ---------------------------------------------------------------------------------------------


def former_file(path: Path, **passwords: str) -> None:
    users = {}
    for name, password in passwords.items():
        salt = os.urandom(16)
        digest = hashlib.scrypt(password.encode(), salt=salt, n=1 << 14, r=8, p=1, maxmem=1 << 25, dklen=32)
        text = {"salt": base64.b64encode(salt).decode(), "hash": base64.b64encode(digest).decode()}
        users[name] = text | {"cost": 1 << 14, "block": 8}
    path.write_bytes(msgspec.json.format(msgspec.json.encode({"version": 1, "users": users})))


async def test_a_former_file_is_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "users.json"
    former_file(path, alice=PASSWORD, bob="another passphrase")
    users = UserStore(path)
    assert await users.names() == ["alice", "bob"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["users.json"]
    assert path.read_bytes().startswith(b"SQLite format 3")
    # While bob has a former hash, every attempt takes both ways.
    ways: list[str] = []
    for way in ("_matches", "_former_matches"):
        function = getattr(user_store, way)

        def watched(text: str, secret: bytes, way: str = way, function: Any = function) -> bool:
            ways.append(way)
            return bool(function(text, secret))

        monkeypatch.setattr(user_store, way, watched)
    for name in ("alice", "bob", "nobody"):
        with pytest.raises(AuthError):
            await users.verify(name, "not the passphrase")
        assert ways == ["_matches", "_former_matches"]
        ways.clear()
    await users.verify("alice", PASSWORD)
    assert (await hash_of(users, "alice")).startswith("$argon2id$")
    await users.verify("alice", PASSWORD)
    with pytest.raises(AuthError):
        await users.verify("alice", "another passphrase")
    await users.verify("bob", "another passphrase")
    ways.clear()
    with pytest.raises(AuthError):
        await users.verify("bob", PASSWORD)
    assert ways == ["_matches"]


async def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    broken = tmp_path / "broken.json"
    for text in (b"{", b'{"users": {"alice": {}}}', b'{"users": {"a": {"salt": "\xff"}}}'):
        broken.write_bytes(text)
        with pytest.raises(ConfigurationError, match=r"server\.users_file.*cannot be read.*former JSON file"):
            await UserStore(broken).names()
        assert broken.read_bytes() == text, "it is left as it was"
    assert os.listdir(tmp_path) == ["broken.json"]
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match=r"server\.users_file.*cannot be (read|written)"):
        await UserStore(tmp_path / "file" / "users.db").add("alice", PASSWORD)


async def test_a_file_that_is_locked_for_too_long_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from posewire.server import state_file

    monkeypatch.setattr(state_file, "_BUSY_SECONDS", 0.01)
    users = UserStore(tmp_path / "users.db")
    await users.add("alice", PASSWORD)
    other = sqlite3.connect(tmp_path / "users.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(ConfigurationError, match="locked"):
        await users.names()
    other.close()
    assert await users.names() == ["alice"]
