"""Who may log in."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from posewire import AuthError, ConfigurationError, DataValidationError
from posewire.server import UserStore

PASSWORD = "a long passphrase"


async def test_in_memory() -> None:
    users = UserStore()
    await users.add("alice", PASSWORD)
    await users.verify("alice", PASSWORD)
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
    path = tmp_path / "state" / "users.json"
    users, other = UserStore(path), UserStore(path)
    assert await other.names() == []
    await users.add("alice", PASSWORD)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert PASSWORD not in path.read_text()
    await other.verify("alice", PASSWORD)
    await other.add("bob", PASSWORD)
    await users.verify("bob", PASSWORD)
    assert await users.names() == ["alice", "bob"]
    assert [file.name for file in path.parent.iterdir()] == ["users.json"], "no partial file is left"
    path.unlink()
    assert await users.names() == []


async def test_the_same_password_has_another_hash_for_everyone(tmp_path: Path) -> None:
    path = tmp_path / "users.json"
    users = UserStore(path)
    await users.add("alice", PASSWORD)
    await users.add("bob", PASSWORD)
    assert users._users["alice"].hash != users._users["bob"].hash


@pytest.mark.parametrize(
    ("name", "password", "message"),
    [
        ("", PASSWORD, "expected 1 to 128 printable"),
        ("x" * 129, PASSWORD, "expected 1 to 128 printable"),
        ("a\nb", PASSWORD, "expected 1 to 128 printable"),
        ("alice", "short", "expected at least 8 characters"),
        ("alice", "x" * 1025, "expected at most 1024 bytes"),
        ("taken", PASSWORD, "expected a name that is not taken"),
    ],
)
async def test_names_and_passwords_that_will_not_do(name: str, password: str, message: str) -> None:
    users = UserStore()
    await users.add("taken", PASSWORD)
    with pytest.raises(DataValidationError, match=message) as caught:
        await users.add(name, password)
    assert password not in str(caught.value), "a password is never in a message"
    assert await users.names() == ["taken"]


async def test_an_unknown_user_has_no_password_to_change() -> None:
    with pytest.raises(DataValidationError, match="expected a known user"):
        await UserStore().set_password("nobody", PASSWORD)


async def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        await UserStore(broken).names()
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match=r"server\.users_file.*cannot be (read|written)"):
        await UserStore(tmp_path / "file" / "users.json").add("alice", PASSWORD)
