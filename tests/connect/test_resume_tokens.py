"""Resume tokens in the hands of their owner, of others, and of nobody: said by hand, one request at a time."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

import posewire
from posewire import AuthError, DataValidationError, RoomError
from posewire.sockets.lane import Lane
from tests.connect.conftest import CONFIG, Member, eventually


@contextlib.asynccontextmanager
async def raw(server: posewire.Server, name: str, said: list[Any] | None = None) -> AsyncIterator[Lane]:
    """A connection that says by itself what it has to say."""
    lane = Lane(
        server.url,
        CONFIG.socket,
        on_frame=lambda packet: None,
        on_event=lambda event, data: said.append((event, data)) if said is not None else None,
    )
    await lane.open(server.issue_token(name), f"session of {name}")
    try:
        yield lane
    finally:
        await lane.close(goodbye=False)


async def hello(lane: Lane, resume: str = "", received: int = 0) -> dict[str, Any]:
    answer: dict[str, Any] = await lane.request("hello", {"resume": resume, "received": received})
    return answer


async def join(lane: Lane) -> int:
    joined = await lane.request("room.join", {"room": "studio", "create": True})
    return int(joined["number"])


async def test_a_resume_token_is_good_for_its_user_only(server: posewire.Server) -> None:
    async with raw(server, "alice") as alice, raw(server, "mallory") as mallory:
        token = (await hello(alice))["resume"]
        await join(alice)
        answer = await hello(mallory, token)
        assert (answer["resumed"], answer["reason"]) == (False, "the session is another user's")
        assert alice.id, "nothing happened to her"
        with pytest.raises(RoomError, match="mallory is not in this room"):
            await mallory.request("room.sync", {"room": "studio"})


async def test_the_newer_of_two_wins_and_the_older_is_told(server: posewire.Server) -> None:
    said: list[Any] = []
    async with raw(server, "alice", said) as owner, raw(server, "alice") as thief:
        token = (await hello(owner))["resume"]
        number = await join(owner)
        answer = await hello(thief, token)
        assert answer["resumed"]
        await eventually(owner.closed.is_set)
        assert ("bye", {"reason": "this session was resumed on another connection", "retry": False}) in said
        room = await thief.request("room.sync", {"room": "studio"})
        assert [member["number"] for member in room["snapshot"]["members"]] == [number]


async def test_a_session_whose_token_was_stolen_ends_with_the_reason(server: posewire.Server, member: Member) -> None:
    async with contextlib.AsyncExitStack() as stack:
        alice = await stack.enter_async_context(member("alice"))
        thief = await stack.enter_async_context(raw(server, "alice"))
        assert (await hello(thief, alice.socket._resumption._token))["resumed"]
        with pytest.raises(AuthError, match="this session was resumed on another connection"):
            await alice.wait_ended()


async def test_a_token_is_used_once_but_for_an_answer_that_was_lost(server: posewire.Server) -> None:
    async with raw(server, "alice") as first:
        token = (await hello(first))["resume"]
        number = await join(first)
    async with raw(server, "alice") as second:
        answer = await hello(second, token)
        assert answer["resumed"]
    async with raw(server, "alice") as third:  # the second never showed that it had its new token
        newest = await hello(third, token)
        assert newest["resumed"]
        third.tell("confirm", {"received": 0})  # now it does
        assert await join(third) == number
    for void in (token, answer["resume"]):
        async with raw(server, "alice") as fourth:
            again = await hello(fourth, void)
            assert (again["resumed"], again["reason"]) == (False, "the server does not know this session (any more)")
    async with raw(server, "alice") as fifth:
        assert (await hello(fifth, newest["resume"]))["resumed"], "these attempts did no harm"


@pytest.mark.parametrize("token", ["garbage", "x" * 64, "ä" * 43, "\x00"])
async def test_a_token_that_is_none(server: posewire.Server, token: str) -> None:
    async with raw(server, "alice") as alice:
        answer = await hello(alice, token)
        assert (answer["resumed"], answer["reason"]) == (False, "the server does not know this session (any more)")
        assert await join(alice) == 1


async def test_counts_that_cannot_be(server: posewire.Server) -> None:
    async with raw(server, "alice") as first:
        token = (await hello(first))["resume"]
        await join(first)
        first.tell("confirm", {"received": 1000})
        first.tell("confirm", {"received": -1})
        first.tell("confirm", "all of it")
        async with raw(server, "alice") as second:
            for wrong in (-1, 1 << 60):
                with pytest.raises(DataValidationError, match="received"):
                    await hello(second, token, wrong)
            with pytest.raises(DataValidationError, match="resume"):
                await hello(second, "x" * 65)
            answer = await hello(second, token, 1000)
            assert (answer["resumed"], answer["reason"]) == (False, "1000 messages cannot have come, of 0")
        async with raw(server, "alice") as third:
            assert (await hello(third, token, 0))["resumed"]


async def test_a_second_hello_leaves_nothing_behind(server: posewire.Server) -> None:
    async with raw(server, "alice") as first:
        token = (await hello(first))["resume"]
        await join(first)
        async with raw(server, "alice") as second:
            await hello(second)
            assert (await hello(second, token))["resumed"]
    await eventually(lambda: server.stats().connections == 0)
    seats = server._reception.seats
    for connection in seats.held():
        seats._expire(connection)
    assert not seats._by_token


async def test_a_new_session_frees_the_seat_of_the_lost_one(server: posewire.Server, member: Member) -> None:
    async with raw(server, "alice") as first:
        await hello(first)
        await join(first)
    await eventually(lambda: server.stats().seats_held == 1)
    async with member("alice"):
        assert server.stats().seats_held == 0


async def test_the_session_that_was_replaced_while_it_was_away_is_over(server: posewire.Server, member: Member) -> None:
    async with raw(server, "alice") as first:
        token = (await hello(first))["resume"]
        await join(first)
    await eventually(lambda: server.stats().seats_held == 1)
    async with member("alice"), raw(server, "alice") as second:
        with pytest.raises(AuthError, match="another session of alice took its place"):
            await hello(second, token)
