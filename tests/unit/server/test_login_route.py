"""The login route, over HTTP on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import re
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from posewire import AuthError, ConfigurationError, ResourceLimitError, SecurityConfig
from posewire.server import TokenAuthority, UserStore, login_route
from posewire.server.login_limiter import LoginLimiter
from posewire.server.login_route import MAX_BODY_BYTES, LoginRoute
from posewire.server.revocation_list import RevocationList
from posewire.sockets.login import login

PASSWORD = "a long passphrase"
JSON = {"Content-Type": "application/json"}


class House:
    """A login route on a port, and what is behind it."""

    def __init__(self, tokens: TokenAuthority | None = None) -> None:
        self.now = 100.0
        self.users = UserStore()
        self.tokens = tokens or TokenAuthority(b"s" * 64, lifetime=3600)
        limiter = LoginLimiter(address=(4, 6.0), name=(3, 30.0))
        route = LoginRoute(self.users, self.tokens, lambda: {"status": "ok"}, limiter, now=lambda: self.now)
        self.app = web.Application(client_max_size=MAX_BODY_BYTES)
        route.add_to(self.app)
        self.url = ""
        self.port = 0
        self.http: aiohttp.ClientSession

    async def post(self, data: Any = None, **options: Any) -> tuple[int, dict[str, Any], Any]:
        async with self.http.post(f"{self.url}/login", data=data, **options) as response:
            assert response.headers["Cache-Control"] == "no-store"
            return response.status, await response.json(), response.headers

    async def attempt(self, username: str, password: str) -> tuple[int, dict[str, Any], Any]:
        return await self.post(json={"username": username, "password": password})


@contextlib.asynccontextmanager
async def opened(house: House) -> AsyncIterator[House]:
    runner = web.AppRunner(house.app, access_log=None, shutdown_timeout=0.1, lingering_time=0.01)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    house.port = runner.addresses[0][1]
    house.url = f"http://127.0.0.1:{house.port}"
    await house.users.add("alice", PASSWORD)
    async with aiohttp.ClientSession() as house.http:
        yield house
    await runner.cleanup()


@pytest.fixture
async def house() -> AsyncIterator[House]:
    async with opened(House()) as house:
        yield house


async def test_the_right_password_gives_a_token(house: House) -> None:
    status, answer, _ = await house.attempt("alice", PASSWORD)
    assert status == 200
    assert answer["user_id"] == "alice"
    assert house.tokens.verify(answer["token"]).sub == "alice"


async def test_a_password_that_is_changed_while_it_is_checked_was_the_old_one(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    verify = house.users.verify

    async def slowly(name: str, password: str) -> str:
        name = await verify(name, password)
        await house.users.set_password(name, "another passphrase")
        return name

    monkeypatch.setattr(house.users, "verify", slowly)
    status, answer, _ = await house.attempt("alice", PASSWORD)
    assert status == 200
    revocations = RevocationList(house.users.file)
    await revocations.load()
    assert revocations.check(house.tokens.verify(answer["token"])) == "the token was revoked: the password was changed"
    monkeypatch.undo()
    _, answer, _ = await house.attempt("alice", "another passphrase")
    assert revocations.check(house.tokens.verify(answer["token"])) is None


async def test_the_token_has_the_name_in_its_normal_form(house: House) -> None:
    await house.users.add("ren\u00e9", PASSWORD)
    _, answer, _ = await house.attempt("rene\u0301", PASSWORD)
    assert answer["user_id"] == house.tokens.verify(answer["token"]).sub == "ren\u00e9"


async def test_an_unknown_user_and_a_wrong_password_get_the_same_answer(house: House) -> None:
    answers = []
    for name in ("alice", "nobody", "a\u202eb"):
        status, answer, headers = await house.attempt(name, "not the passphrase")
        kept = {key: value for key, value in headers.items() if key not in ("Date", "Content-Length")}
        text = {**answer["error"], "message": answer["error"]["message"].replace(name, "?")}
        text["fields"] = {key: value.replace(name, "?") for key, value in text["fields"].items()}
        answers.append((status, kept, text))
    assert answers[0][0] == 401
    assert answers[0] == answers[1] == answers[2]


async def test_too_many_failures_are_told_how_long_to_wait(house: House) -> None:
    for _ in range(3):
        assert (await house.attempt("alice", "wrong"))[0] == 401
    status, answer, headers = await house.attempt("alice", PASSWORD)
    assert (status, headers["Retry-After"]) == (429, "30")
    assert answer["error"]["type"] == "ResourceLimitError"
    assert "try again in 30 s" in answer["error"]["message"]
    house.now += 29.5
    assert (await house.attempt("alice", PASSWORD))[2]["Retry-After"] == "1"
    house.now += 0.5
    assert (await house.attempt("alice", PASSWORD))[0] == 200


async def test_names_that_cannot_be_count_for_their_address(house: House) -> None:
    statuses = [(await house.attempt("x" * 200 + str(n), PASSWORD))[0] for n in range(5)]
    assert statuses == [401, 401, 401, 429, 429]


async def test_successes_are_not_limited_and_reset_no_failure(house: House) -> None:
    for _ in range(3):
        await house.attempt("bob", "wrong")
    for _ in range(8):
        assert (await house.attempt("alice", PASSWORD))[0] == 200
    assert [(await house.attempt("carol", "wrong"))[0] for _ in range(2)] == [401, 429]


async def test_many_guesses_at_once_do_not_slip_through(house: House) -> None:
    guesses = await asyncio.gather(*(house.attempt("alice", f"guess {n}") for n in range(10)))
    assert sorted(status for status, _, _ in guesses) == [401] * 3 + [429] * 7


async def test_the_client_says_what_is_wrong(house: House) -> None:
    assert house.tokens.verify(await login(house.url, "alice", PASSWORD, timeout=5)).sub == "alice"
    for _ in range(3):
        with pytest.raises(AuthError, match="unknown user or wrong password"):
            await login(house.url, "alice", "wrong", timeout=5)
    with pytest.raises(ResourceLimitError, match="too many failed logins; try again in 30 s"):
        await login(house.url, "alice", PASSWORD, timeout=5)


async def test_no_place_among_the_hashes(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(house.users, "_checking", 18)
    for _ in range(10):
        status, answer, headers = await house.attempt("alice", "wrong")
        assert (status, headers["Retry-After"]) == (503, "1")
        assert answer["error"]["type"] == "ResourceLimitError"
    monkeypatch.setattr(house.users, "_checking", 0)
    assert (await house.attempt("alice", "wrong"))[0] == 401, "it did not count as a failure"


async def test_what_is_wrong_with_our_files_is_not_told(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(name: str, password: str) -> str:
        raise ConfigurationError("server.users_file", "/secret/place", "cannot be read")

    monkeypatch.setattr(house.users, "verify", broken)
    status, answer, _ = await house.attempt("alice", PASSWORD)
    assert status == 503
    assert "/secret/place" not in str(answer)
    assert "/secret/place" in caplog.text


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "text/plain;charset=UTF-8",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "",
    ],
)
async def test_a_form_of_another_page_cannot_log_in(house: House, content_type: str) -> None:
    """These are all that a cross-origin page can send without a preflight (Fetch, CORS-safelisted)."""
    body = f'{{"username": "alice", "password": "{PASSWORD}"}}'
    headers = {"Content-Type": content_type, "Origin": "https://evil.example"}
    status, answer, _ = await house.post(body, headers=headers)
    assert status == 415
    assert "expected application/json" in answer["error"]["message"]


async def test_a_preflight_is_not_answered(house: House) -> None:
    headers = {
        "Origin": "https://evil.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type",
    }
    async with house.http.options(f"{house.url}/login", headers=headers) as response:
        assert response.status == 405
        assert not [name for name in response.headers if name.startswith("Access-Control")]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'{"username": "alice"}',
        b'{"username": 1, "password": 2}',
        b'{"username": null, "password": ""}',
        b"\xff",
        b'{"username": "\xff", "password": ""}',
        b'{"username": "\\ud800", "password": ""}',
        b"[" * 10_000,
        b'{"x":' * 3000,
    ],
)
async def test_logins_that_make_no_sense(house: House, body: bytes) -> None:
    status, answer, _ = await house.post(body, headers=JSON)
    assert status == 400
    assert answer["error"]["type"] == "DataValidationError"


async def raw(house: House, request: bytes) -> bytes:
    """Send a request that is never finished; return the answer."""
    before = asyncio.all_tasks()
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
    writer.write(request)
    async with asyncio.timeout(20):
        answer = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    if serving := asyncio.all_tasks() - before:
        await asyncio.wait(serving, timeout=20)
    return answer


HEAD = b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


async def test_a_long_body_is_refused_before_it_comes(house: House) -> None:
    answer = await raw(house, HEAD + b"Content-Length: 16385\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert re.search(rb"Cache-Control: no-store", answer)


async def test_a_long_body_in_pieces_is_not_kept(house: House) -> None:
    pieces = b"".join(b"1000\r\n" + b"x" * 4096 + b"\r\n" for _ in range(5))
    answer = await raw(house, HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + pieces)
    assert answer.startswith(b"HTTP/1.1 413 ")


async def test_a_zip_bomb_is_not_unpacked(house: House) -> None:
    bomb = zlib.compress(b" " * 1_000_000)
    status, _, _ = await house.post(bomb, headers=JSON | {"Content-Encoding": "deflate"})
    assert status == 415


async def test_a_body_that_does_not_come(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login_route, "_BODY_SECONDS", 0.05)
    async with asyncio.timeout(5):
        answer = await raw(house, HEAD + b"Content-Length: 100\r\n\r\n{")
    assert answer.startswith(b"HTTP/1.1 408 ")


async def test_a_server_that_only_verifies_gives_no_tokens(tmp_path: Path) -> None:
    key = ed25519.Ed25519PrivateKey.generate().public_key()
    (tmp_path / "key.pem").write_bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    security = SecurityConfig(token_algorithm="EdDSA", public_key_file=str(tmp_path / "key.pem"))
    async with opened(House(TokenAuthority.from_config(security))) as house:
        status, answer, _ = await house.attempt("alice", PASSWORD)
        assert status == 501
        assert "get one from their issuer" in answer["error"]["message"]


async def test_health_and_other_methods(house: House) -> None:
    async with house.http.get(f"{house.url}/healthz") as response:
        assert await response.json() == {"status": "ok"}
    async with house.http.get(f"{house.url}/login") as response:
        assert response.status == 405
