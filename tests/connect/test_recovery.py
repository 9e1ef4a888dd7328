"""What an application adds to the recovery of a session is tried, and not for ever."""

from __future__ import annotations

import pytest

import posewire
from posewire import AuthError, ConnectionError
from tests.connect.conftest import CONFIG, Member, changed, eventually
from tests.connect.fault_proxy import FaultProxy


async def test_a_strategy_for_a_token_that_has_expired(server: posewire.Server, member: Member) -> None:
    short = server.issue_token("alice", ttl=0.2)
    seen: list[AuthError] = []
    session = posewire.connect(server.url, token=short, room="studio", config=CONFIG)

    async def renew(error: AuthError) -> bool:
        seen.append(error)
        return await session.socket.authenticate({"token": server.issue_token("alice")})

    session.recovery.add_strategy(AuthError, renew)
    async with member("bob") as bob, session:
        await eventually(lambda: session.socket.status.reconnect_count == 1)
        assert "has expired" in str(seen[0])
        heard: list[str] = []
        bob.on("wave", lambda event: heard.append(event.user_id))
        await session.send_event("wave")
        await eventually(lambda: heard == ["alice"])
    assert len(seen) == 1


async def test_a_strategy_that_says_it_helped_and_did_not(server: posewire.Server) -> None:
    session = posewire.connect(server.url, token=server.issue_token("alice", ttl=0.2), room="studio", config=CONFIG)
    asked: list[AuthError] = []
    session.recovery.add_strategy(AuthError, asked.append)
    with pytest.raises(AuthError, match="has expired"):
        async with session:
            await session.wait_ended()
    assert 1 <= len(asked) <= 3, "not for ever"


@pytest.mark.parametrize("failure", [ConnectionError("the shop that sells tokens is closed"), KeyError("a bug")])
async def test_a_strategy_that_fails_is_as_good_as_none(server: posewire.Server, failure: Exception) -> None:
    session = posewire.connect(server.url, token=server.issue_token("alice", ttl=0.2), room="studio", config=CONFIG)

    def fails(error: AuthError) -> bool:
        raise failure

    session.recovery.add_strategy(AuthError, fails)
    with pytest.raises(AuthError, match="has expired"):
        async with session:
            await session.wait_ended()


async def test_a_strategy_for_when_the_attempts_are_used_up(server: posewire.Server) -> None:
    """Of one type, the first added is the first asked: the built-in one, which comes back by itself."""
    config = changed(socket={"reconnect_attempts": 1})
    async with FaultProxy(server.port) as proxy:
        session = posewire.connect(proxy.url, token=server.issue_token("alice"), room="studio", config=config)
        asked: list[BaseException] = []

        def open_the_door(error: BaseException) -> bool:
            asked.append(error)
            proxy.refusing = False
            return True

        session.recovery.add_strategy(ConnectionError, open_the_door)
        async with session:
            proxy.refusing = True
            proxy.cut()
            await eventually(lambda: session.socket.status.reconnect_count == 1)
            assert len(asked) == 1
