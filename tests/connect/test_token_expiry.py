"""Tokens that end while a session lives."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import jwt
import pytest

import posewire
from posewire import AuthError, ConnectionError, RoomError
from posewire.sockets import token_refresher
from tests.connect.conftest import CONFIG, Member, eventually, heard, kinds, knows, landmarks, me, seen
from tests.connect.fault_proxy import FaultProxy


def connect(server: posewire.Server, provider: Any, url: str | None = None) -> posewire.Session:
    return posewire.connect(url or server.url, token=provider, room="studio", config=CONFIG)


def provider_of(steps: Iterator[str | BaseException]) -> tuple[Callable[[], Awaitable[str]], list[str | BaseException]]:
    """Return a provider that gives, or raises, one step after the other, and what it gave."""
    given: list[str | BaseException] = []

    async def provider() -> str:
        step = next(steps)
        given.append(step)
        if isinstance(step, BaseException):
            raise step
        return step

    return provider, given


async def test_a_fixed_token_ends_the_session(server: posewire.Server, member: Member) -> None:
    async with member("bob") as bob, contextlib.AsyncExitStack() as stack:
        presences = seen(bob)
        alice = await stack.enter_async_context(connect(server, server.issue_token("alice", ttl=0.2)))
        assert alice.socket.welcome is not None
        assert 0 < alice.socket.welcome.expires_in <= 0.2
        await alice.send_pose(landmarks())
        with pytest.raises(AuthError, match=r"\[alice\]: the token has expired"):
            await alice.wait_ended()
        with pytest.raises(AuthError, match="the token has expired"):
            await alice.send_pose(landmarks())
        await eventually(lambda: kinds(presences) == [("joined", "alice"), ("left", "alice")])
        assert presences[-1].reason == "the token has expired"
        assert server.stats().seats_held == 0


async def test_it_ends_while_the_member_is_away(server: posewire.Server, member: Member) -> None:
    token = server.issue_token("alice", ttl=0.3)
    async with FaultProxy(server.port) as proxy, contextlib.AsyncExitStack() as stack:
        alice = await stack.enter_async_context(connect(server, token, proxy.url))
        proxy.refusing = True
        proxy.cut()
        exp = jwt.decode(token, options={"verify_signature": False})["exp"]
        await eventually(lambda: server._tokens._now() > exp)
        proxy.refusing = False
        with pytest.raises(AuthError, match="the token has expired"):
            await alice.wait_ended()


async def test_a_provider_is_asked_in_time_and_the_session_goes_on(server: posewire.Server, member: Member) -> None:
    provider, given = provider_of(server.issue_token("alice", ttl=0.5) for _ in range(1000))
    async with member("bob") as bob, connect(server, provider) as alice:
        got, presences, reconnects = heard(bob, "n"), seen(bob), heard(alice, "disconnect")
        await eventually(lambda: len(given) >= 4)  # the first has ended twice
        await alice.send_event("n", 1)
        await eventually(lambda: bool(got))
        assert not presences
        assert not reconnects
        assert alice.socket.status.reconnect_count == 0


async def test_name_and_password_are_refreshed_too(server: posewire.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    await server.add_user("alice", "a long passphrase")
    monkeypatch.setattr(server._tokens, "_lifetime", 2.0)
    monkeypatch.setattr(token_refresher, "_SHARE", 0.1)  # the hash is slow: leave it the rest
    credentials = {"username": "alice", "password": "a long passphrase"}
    async with posewire.connect(server.url, credentials=credentials, room="studio", config=CONFIG) as alice:
        [first] = server._reception.connections.values()
        iat = first.claims.iat
        await eventually(lambda: first.claims.iat > iat)
        assert alice.socket.status.reconnect_count == 0


@pytest.mark.parametrize(
    "failure",
    [
        ConnectionError("not now"),
        TimeoutError("not now"),
        OSError("network unreachable"),
    ],
)
async def test_a_provider_that_fails_twice_and_then_works(
    server: posewire.Server, failure: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_refresher, "_SHARE", 0.2)  # or the third attempt has too little left of such a short time

    def steps() -> Iterator[str | BaseException]:
        yield server.issue_token("alice", ttl=0.4)
        yield failure
        yield failure
        while True:
            yield server.issue_token("alice", ttl=0.4)

    provider, given = provider_of(steps())
    async with connect(server, provider) as alice:
        await eventually(lambda: len(given) >= 5 or not alice.socket.connected)
        assert alice.socket.connected
        assert alice.rooms.current_room() == "studio"
        assert alice.socket.status.reconnect_count == 0


async def test_a_provider_that_has_no_network_either(server: posewire.Server) -> None:
    """What it fetches tokens over is often gone with the connection, and back with it."""
    steps: list[str | BaseException] = [
        server.issue_token("alice"),
        OSError("network unreachable"),
        server.issue_token("alice"),
    ]
    provider, given = provider_of(iter(steps))
    async with FaultProxy(server.port) as proxy, connect(server, provider, proxy.url) as alice:
        proxy.cut()
        await eventually(lambda: len(given) == 3 or alice._failure is not None)
        assert alice._failure is None
        await eventually(lambda: alice.socket.connected)


async def test_a_provider_that_never_works_again(server: posewire.Server) -> None:
    def steps() -> Iterator[str | BaseException]:
        yield server.issue_token("alice", ttl=0.3)
        while True:
            yield ConnectionError("not now")

    provider, given = provider_of(steps())
    async with contextlib.AsyncExitStack() as stack:
        alice = await stack.enter_async_context(connect(server, provider))
        with pytest.raises(AuthError, match="the token has expired"):
            await alice.wait_ended()
        assert len(given) > 2


async def test_a_refresh_with_somebody_elses_token(server: posewire.Server, member: Member) -> None:
    tokens = [server.issue_token("alice", ttl=0.5), *[server.issue_token("mallory") for _ in range(9)]]
    provider, _ = provider_of(iter(tokens))
    async with member("bob") as bob, contextlib.AsyncExitStack() as stack:
        alice = await stack.enter_async_context(connect(server, provider))
        with pytest.raises(AuthError, match=r"\[mallory\]: this session is that of 'alice'"):
            await alice.wait_ended()
        await eventually(lambda: knows(bob, "bob"))


async def test_coming_back_with_somebody_elses_token(server: posewire.Server) -> None:
    tokens = [server.issue_token("alice"), *[server.issue_token("mallory") for _ in range(9)]]
    provider, _ = provider_of(iter(tokens))
    async with FaultProxy(server.port) as proxy, contextlib.AsyncExitStack() as stack:
        alice = await stack.enter_async_context(connect(server, provider, proxy.url))
        proxy.cut()
        await eventually(lambda: alice._failure is not None or alice.socket.status.reconnect_count == 1)
        with pytest.raises(AuthError):
            await alice.send_pose(landmarks())


@pytest.mark.parametrize("away", [False, True])
async def test_fewer_grants_take_effect(server: posewire.Server, member: Member, *, away: bool) -> None:
    def steps() -> Iterator[str]:
        yield server.issue_token("bob", ttl=30 if away else 0.5, moderate=True)
        while True:
            yield server.issue_token("bob", publish=False, subscribe=False)

    provider, _ = provider_of(steps())
    async with FaultProxy(server.port) as proxy, member("alice") as alice, connect(server, provider, proxy.url) as bob:
        presences, got, witness = seen(alice), heard(bob, "n"), heard(bob, "presence")
        assert me(bob).moderate
        if away:
            proxy.cut()
        await eventually(lambda: ("grants", "bob") in kinds(presences))
        await eventually(lambda: bool(witness) and not me(bob).publish)
        assert not me(bob).moderate
        with pytest.raises(RoomError, match="bob may not publish here"):
            await bob.send_pose(landmarks())
        with pytest.raises(RoomError, match="bob may not subscribe here"):
            bob.frames()
        with pytest.raises(RoomError, match="bob is neither host nor moderator"):
            await bob.rooms.kick_member("studio", "alice")
        await alice.send_event("n", 1)
        await bob.rooms.list_rooms()
        assert not got


async def test_a_refresh_that_takes_the_ownership(server: posewire.Server) -> None:
    def steps() -> Iterator[str]:
        yield server.issue_token("boss", ttl=1.5, role="host")
        while True:
            yield server.issue_token("boss")

    provider, given = provider_of(steps())
    async with connect(server, provider) as boss:
        assert me(boss).owner
        await eventually(lambda: len(given) >= 2)
        await boss.rooms.list_rooms()
        assert not me(boss).owner


async def test_a_refresh_into_another_room_is_refused(server: posewire.Server) -> None:
    def steps() -> Iterator[str]:
        yield server.issue_token("alice", ttl=0.5)
        while True:
            yield server.issue_token("alice", room_id="stage")

    provider, _ = provider_of(steps())
    async with contextlib.AsyncExitStack() as stack:
        alice = await stack.enter_async_context(connect(server, provider))
        with pytest.raises(AuthError, match="the token is for room 'stage', the session is in another"):
            await alice.wait_ended()
