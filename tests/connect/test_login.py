"""Logging in, being revoked and staying out: against a whole server."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

import posewire
from posewire import AuthError, ResourceLimitError
from posewire.server import TokenAuthority, UserStore
from posewire.server.revocation_list import RevocationList
from posewire.server.state_file import StateFile
from posewire.sockets.login import login

from .conftest import CONFIG, changed

PASSWORD = "a long passphrase"
SECRET = "kZ3vT9qLw0RbXy7uHn5sMd2fGj8cPa4e"


def credentials(name: str = "alice", password: str = PASSWORD) -> dict[str, str]:
    return {"username": name, "password": password}


def kept(path: Path) -> posewire.Config:
    return changed(server={"users_file": str(path)}, security={"secret_key": SECRET})


async def refused(url: str, reason: str, **access: Any) -> None:
    with pytest.raises(AuthError, match=reason):
        async with posewire.connect(url, config=CONFIG, **access):
            pass


async def test_log_in_with_the_name_in_another_form(server: posewire.Server) -> None:
    await server.add_user("rene\u0301", PASSWORD)
    async with posewire.connect(
        server.url, credentials=credentials("rene\u0301"), room="studio", config=CONFIG
    ) as rene:
        assert rene.user_id == "ren\u00e9"


async def test_brute_force_is_told_to_wait_and_others_are_let_in(server: posewire.Server) -> None:
    await server.add_user("alice", PASSWORD)
    await server.add_user("bob", PASSWORD)
    for _ in range(5):
        with pytest.raises(AuthError, match="unknown user or wrong password"):
            await login(server.url, "alice", "a wrong guess", timeout=5)
    with pytest.raises(ResourceLimitError, match=r"too many failed logins; try again in \d+ s"):
        async with posewire.connect(server.url, credentials=credentials(), config=CONFIG):
            pass
    async with posewire.connect(server.url, credentials=credentials("bob"), config=CONFIG) as bob:
        assert bob.user_id == "bob"


async def test_a_login_survives_a_restart_and_so_does_its_revocation(tmp_path: Path) -> None:
    config = kept(tmp_path / "state.db")
    async with posewire.serve(config=config) as server:
        await server.add_user("alice", PASSWORD)
        token = await login(server.url, "alice", PASSWORD, timeout=5)
        other = server.issue_token("bob")
    async with posewire.serve(config=config) as server:
        async with posewire.connect(server.url, token=token, room="studio", config=CONFIG):
            pass
        await server.revoke("alice", reason="by hand")
        await refused(server.url, "revoked: by hand", token=token)
    async with posewire.serve(config=config) as server:
        await refused(server.url, "revoked: by hand", token=token)
        async with posewire.connect(server.url, token=other, room="studio", config=CONFIG):
            pass
        async with posewire.connect(server.url, credentials=credentials(), room="studio", config=CONFIG):
            pass


async def ended(session: posewire.Session) -> str:
    """Wait until a session is over; say why."""
    async with asyncio.timeout(10):
        with pytest.raises(AuthError) as caught:
            async for _ in session.frames():
                pass
    return str(caught.value)


@pytest.mark.parametrize("how", ["revoke", "remove", "passwd"])
async def test_what_another_process_revokes_ends_live_sessions_within_a_second(tmp_path: Path, how: str) -> None:
    path = tmp_path / "state.db"
    async with posewire.serve(config=kept(path)) as server:
        await server.add_user("alice", PASSWORD)
        token = await login(server.url, "alice", PASSWORD, timeout=5)
        async with posewire.connect(server.url, token=server.issue_token("bob"), room="studio", config=CONFIG) as bob:
            async with posewire.connect(server.url, token=token, room="studio", config=CONFIG) as alice:
                if how == "revoke":
                    cli = RevocationList(StateFile(path))
                    cli.add("alice", before=time.time(), banned_until=time.time() + 60)
                    await cli.flush()
                elif how == "remove":
                    assert await UserStore(path).remove("alice")
                else:
                    await UserStore(path).set_password("alice", "another passphrase")
                since = time.monotonic()
                reason = await ended(alice)
                assert time.monotonic() - since < 1.5
                assert {"revoke": "banned", "remove": "the user was removed", "passwd": "changed"}[how] in reason
            await refused(server.url, "banned|revoked", token=token)
            assert await bob.rooms.list_rooms(), "the others do not notice"
        if how == "passwd":
            again = await login(server.url, "alice", "another passphrase", timeout=5)
            async with posewire.connect(server.url, token=again, room="studio", config=CONFIG):
                pass


async def test_a_server_that_only_verifies(tmp_path: Path) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private, public = tmp_path / "private.pem", tmp_path / "public.pem"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    issuing = posewire.SecurityConfig(token_algorithm="RS256", private_key_file=str(private))
    security = posewire.SecurityConfig(token_algorithm="RS256", public_key_file=str(public))
    issuer = TokenAuthority.from_config(issuing)
    async with posewire.serve(config=msgspec.structs.replace(CONFIG, security=security)) as server:
        token = issuer.issue("alice")
        async with posewire.connect(server.url, token=token, room="studio", config=CONFIG) as alice:
            assert alice.user_id == "alice"
        # The public key is no secret: signing with it as if it were one makes no token.
        with pytest.raises(posewire.ConfigurationError, match="text of a key file"):
            TokenAuthority(public.read_bytes(), lifetime=60)
        await refused(server.url, "not accepted", token=TokenAuthority(SECRET.encode(), lifetime=60).issue("alice"))
        with pytest.raises(posewire.ConfigurationError, match="private_key_file"):
            server.issue_token("alice")
        await refused(server.url, "gives no tokens", credentials=credentials())


@pytest.mark.parametrize("access", [{"credentials": credentials()}, {"token": "secret"}])
async def test_a_client_stays_at_the_server_it_was_told(access: Any) -> None:
    """Who sends it elsewhere could lead it off TLS, or to a server whose name nobody has looked at."""
    asked: list[str] = []

    async def elsewhere(request: web.Request) -> web.Response:
        asked.append(request.path)
        if request.path == "/stolen":
            return web.json_response({"token": "stolen"})
        raise web.HTTPTemporaryRedirect("/stolen")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", elsewhere)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        with pytest.raises(posewire.ConnectionError, match=r"redirects to '/stolen'"):
            async with posewire.connect(url, config=changed(socket={"reconnect_attempts": 0}), **access):
                pass
        assert "/stolen" not in asked
    finally:
        await runner.cleanup()
