"""What the server's owner takes back: at once, from those who are there and those who are away."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest

import posewire
from posewire import AuthError, PosewireError, RoomError
from posewire.server import revocation_list
from tests.connect.conftest import CONFIG, Member, changed, eventually, kinds, knows, seen
from tests.connect.fault_proxy import FaultProxy


def connect(server: posewire.Server, token: str, room: str | None = "studio", url: str | None = None) -> Any:
    return posewire.connect(url or server.url, token=token, room=room, config=CONFIG)


async def test_everywhere(server: posewire.Server, member: Member) -> None:
    old = server.issue_token("bob")
    async with member("alice") as alice, contextlib.AsyncExitStack() as stack:
        presences = seen(alice)
        sessions = [await stack.enter_async_context(connect(server, old, room)) for room in ("studio", "stage", None)]
        await eventually(lambda: knows(alice, "alice", "bob"))
        assert await server.revoke("bob", reason="has left us") == 3
        for session in sessions:
            with pytest.raises(AuthError, match=r"\[bob\]: the token was revoked: has left us"):
                await session.wait_ended()
        await eventually(lambda: knows(alice, "alice"))
        assert (kinds(presences)[-1], presences[-1].reason) == (("left", "bob"), "the token was revoked: has left us")
        with pytest.raises(AuthError, match="the token was revoked: has left us"):
            await connect(server, old).__aenter__()
        await eventually(lambda: server.stats().connections == 1)
        assert await server.revoke("bob") == 0
        async with member("bob") as bob:
            assert knows(bob, "alice", "bob")


async def test_in_one_room(server: posewire.Server, member: Member) -> None:
    old = server.issue_token("bob")
    async with (
        member("alice") as alice,
        connect(server, old, "stage") as elsewhere,
        contextlib.AsyncExitStack() as stack,
    ):
        bob = await stack.enter_async_context(connect(server, old))
        assert await server.revoke("bob", "studio") == 1
        with pytest.raises(AuthError, match="the token was revoked"):
            await bob.wait_ended()
        await eventually(lambda: knows(alice, "alice"))
        with pytest.raises(RoomError, match=r"\[studio\]: the token was revoked"):
            await elsewhere.rooms.join_room("studio")
        assert elsewhere.rooms.current_room() == "stage"
        async with member("bob"):
            await eventually(lambda: knows(alice, "alice", "bob"))


async def test_in_one_room_who_could_be_in_no_other(server: posewire.Server) -> None:
    bound = server.issue_token("bob", room_id="studio")
    async with contextlib.AsyncExitStack() as stack:
        waiting = await stack.enter_async_context(connect(server, bound, None))
        free = await stack.enter_async_context(connect(server, server.issue_token("bob"), None))
        assert await server.revoke("bob", "studio", reason="gone") == 1
        with pytest.raises(AuthError, match="the token was revoked: gone"):
            await waiting.wait_ended()
        assert await free.rooms.join_room("stage", create=True)


@pytest.mark.parametrize("room", [None, "studio"])
async def test_who_is_away(server: posewire.Server, member: Member, room: str | None) -> None:
    async with FaultProxy(server.port) as proxy, member("alice") as alice, contextlib.AsyncExitStack() as stack:
        token = server.issue_token("bob")

        async def provider() -> str:
            return token

        bob = await stack.enter_async_context(posewire.connect(proxy.url, token=provider, room="studio", config=CONFIG))
        proxy.refusing = True
        proxy.cut()
        await eventually(lambda: server.stats().seats_held == 1)
        assert await server.revoke("bob", room, reason="gone") == 1
        await eventually(lambda: knows(alice, "alice"))
        token = server.issue_token("bob")  # a newer one does not bring the old session back
        proxy.refusing = False
        with pytest.raises(AuthError, match="the token was revoked: gone"):
            await bob.wait_ended()
        async with connect(server, token) as again:
            assert again.rooms.current_room() == "studio"


async def test_with_a_ban(server: posewire.Server) -> None:
    assert await server.revoke("bob", ban=100, reason="by the owner") == 0
    with pytest.raises(AuthError, match="banned for another 100 s: by the owner"):
        await connect(server, server.issue_token("bob")).__aenter__()


async def test_it_outlives_the_server(tmp_path: Path) -> None:
    config = changed(security={"secret_key": "s" * 48}, server={"users_file": str(tmp_path / "state.db")})
    async with posewire.serve(config=config) as first:
        old = first.issue_token("bob")
        async with connect(first, first.issue_token("alice")) as alice, contextlib.AsyncExitStack() as stack:
            bob = await stack.enter_async_context(connect(first, old))
            await alice.rooms.kick_member("studio", "bob", "rude", ban=0)
            with pytest.raises(AuthError):
                await bob.wait_ended()
    async with posewire.serve(config=config) as second:
        with pytest.raises(RoomError, match="the token was revoked: kicked from room 'studio' by alice: rude"):
            await connect(second, old).__aenter__()
        async with connect(second, second.issue_token("bob")) as bob:
            assert bob.rooms.current_room() == "studio"


async def test_a_host_that_bans_many_names_does_no_harm_to_others(
    server: posewire.Server, member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revocation_list, "MAX_REVOCATIONS", 100)
    token = server.issue_token("bob")
    async with member("mallory", "her own room") as mallory:
        with contextlib.suppress(PosewireError):
            for number in range(120):
                await mallory.rooms.ban_member("her own room", f"nobody {number}", 0.001)
    async with connect(server, token) as bob:
        assert bob.rooms.current_room() == "studio"


@pytest.mark.parametrize("reason", ["by the owner", "kicked from room 'studio' by the owner"])
async def test_a_host_cannot_lift_what_the_owner_decided(server: posewire.Server, member: Member, reason: str) -> None:
    await server.revoke("mallory", "studio", ban=1000, reason=reason)
    async with member("alice") as alice:
        with contextlib.suppress(PosewireError):
            await alice.rooms.unban_member("studio", "mallory")
        with pytest.raises(PosewireError, match="by the owner"):
            async with connect(server, server.issue_token("mallory")):
                pass


async def test_a_room_with_a_name_that_is_not_nfc(server: posewire.Server) -> None:
    room = "cafe\u0301"
    async with contextlib.AsyncExitStack() as stack:
        bob = await stack.enter_async_context(connect(server, server.issue_token("bob"), room))
        assert await server.revoke("bob", room) == 1
        with pytest.raises(AuthError):
            await bob.wait_ended()
