"""`posewire user`, `posewire revoke` and what `posewire token` makes, as a shell calls them."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

import posewire
from posewire.cli.app import cli
from posewire.cli.local_state import state_dir, users_file
from posewire.server import TokenAuthority, UserStore
from posewire.server.revocation_list import RevocationList
from posewire.server.state_file import StateFile
from posewire.server.token_authority import Claims

PASSWORD = "a long passphrase"


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith("POSEWIRE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("POSEWIRE_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def invoke(*arguments: str, **options: Any) -> Result:
    return CliRunner().invoke(cli, list(arguments), **options)


def add(name: str, password: str = PASSWORD) -> Result:
    return invoke("user", "add", name, "--password-stdin", input=password + "\n")


def verify(name: str, password: str) -> str:
    return asyncio.run(UserStore(users_file(posewire.Config())).verify(name, password))


def verdict(name: str, room: str | None = None, iat: float = 0.0) -> str | None:
    revocations = RevocationList(StateFile(users_file(posewire.Config())))
    asyncio.run(revocations.load())
    return revocations.check(Claims(sub=name, exp=1e11, iat=iat), room)


def test_add_change_list_remove() -> None:
    assert invoke("user", "list").output == ""
    assert invoke("user", "list", "--json").output == "[]\n"
    for name in ("bob", "alice-the-long"):
        assert add(name).exit_code == 0
    assert users_file(posewire.Config()).name == "users.db"
    verify("bob", PASSWORD)
    lines = invoke("user", "list").output.splitlines()
    assert [line.split()[0] for line in lines] == ["alice-the-long", "bob"]
    assert lines[0].index("since") == lines[1].index("since")
    (alice, _) = msgspec.json.decode(invoke("user", "list", "--json").output)
    assert alice["name"] == "alice-the-long"
    assert alice["added"] == alice["changed"] > 1.7e9

    result = invoke("user", "passwd", "bob", input="another passphrase\nanother passphrase\n")
    assert result.exit_code == 0
    assert "another" not in result.output
    verify("bob", "another passphrase")
    assert verdict("bob", iat=1.7e9) == "the token was revoked: the password was changed"
    assert verdict("bob", iat=9e10) is None

    assert invoke("user", "remove", "bob").exit_code == 0
    assert verdict("bob", iat=1.7e9) == "the token was revoked: the user was removed"
    assert [each["name"] for each in msgspec.json.decode(invoke("user", "list", "--json").output)] == ["alice-the-long"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("user", "passwd", "nobody", "--password-stdin"), "expected a known user"),
        (("user", "remove", "nobody"), "'nobody' - not in"),
        (("user", "add", "a\u202eb", "--password-stdin"), "expected 1 to 128 printable"),
        (("revoke", ""), "expected 1 to 128"),
        (("revoke", "alice", "--lift"), "not banned everywhere"),
    ],
)
def test_what_cannot_be_done_is_said(arguments: tuple[str, ...], words: str) -> None:
    result = invoke(*arguments, input=PASSWORD + "\n")
    assert isinstance(result.exception, posewire.DataValidationError)
    assert words in str(result.exception)


def test_lift_is_not_a_ban() -> None:
    assert invoke("revoke", "alice", "--lift", "--ban", "5").exit_code == 2
    assert invoke("revoke", "alice", "--ban", "-5").exit_code == 2


def test_revoke_in_a_room_with_a_ban_and_lift_it() -> None:
    result = invoke("revoke", "alice", "--room", "studio", "--ban", "3600", "--reason", "spam")
    assert result.output == "The tokens of alice are void in studio, and banned for 3600 s.\n"
    assert str(verdict("alice", "studio", iat=9e10)).endswith("s: spam")
    assert verdict("alice", "lobby") is None
    assert verdict("alice") is None
    result = invoke("revoke", "alice", "--room", "studio", "--lift")
    assert result.output == "alice may come back in studio, with a new token.\n"
    assert verdict("alice", "studio", iat=9e10) is None
    assert verdict("alice", "studio", iat=1.7e9) == "the token was revoked: spam"


def test_revoke_everywhere() -> None:
    assert invoke("revoke", "alice").output == "The tokens of alice are void everywhere.\n"
    assert verdict("alice", "studio", iat=1.7e9) == "the token was revoked"
    assert verdict("bob", "studio", iat=1.7e9) is None


def test_what_posewire_0_1_left_goes_on_to_be_used() -> None:
    state_dir().mkdir(parents=True)
    (state_dir() / "users.json").write_text('{"version": 1, "users": {}}')
    add("alice")
    assert os.listdir(state_dir()) == ["users.json"]
    verify("alice", PASSWORD)


def test_a_token_that_may_moderate() -> None:
    for options, moderate in (((), False), (("--moderate",), True)):
        token = invoke("token", "alice", *options).output.strip()
        secret = (state_dir() / "secret").read_bytes()
        assert TokenAuthority(secret, lifetime=1).verify(token).moderate is moderate


def test_a_token_signed_with_a_key_pair(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    (own_home / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    monkeypatch.setenv("POSEWIRE_SECURITY_TOKEN_ALGORITHM", "EdDSA")
    monkeypatch.setenv("POSEWIRE_SECURITY_PRIVATE_KEY_FILE", "key.pem")
    token = invoke("token", "alice").output.strip()
    assert TokenAuthority.from_config(posewire.load_config().security).verify(token).sub == "alice"
    assert not state_dir().exists(), "no secret is made that nobody needs"


@pytest.mark.parametrize("name", ["user add", "user passwd", "user remove", "user list", "revoke"])
def test_help_has_an_example(name: str) -> None:
    assert f"Example:  posewire {name}" in invoke(*name.split(), "--help").output.replace("\n  ", " ")
