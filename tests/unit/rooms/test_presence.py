"""What a loop over presence sees: one thing after the other, also when some were missed."""

from __future__ import annotations

import asyncio

import pytest

from posewire.protocol.room_view import HostChanged, Rekeyed, RoomMember, StatusChanged, Stream, StreamOpened
from posewire.rooms import RoomState
from posewire.rooms.command import Command, Drop, Join, Kick, Leave, Lock, Rekey, SetGrants, SetRole, SetStatus
from posewire.rooms.presence import Presence, PresenceFeed, differences, presence_of


def room(*commands: Command) -> RoomState:
    state = RoomState("studio", capacity=9, now=0.0)
    for now, command in enumerate(commands):
        state.apply(command, now=float(now))
    return state


def seen(number: int) -> Presence:
    return Presence(kind="locked", room_id=str(number))


async def test_in_order_and_then_it_ends() -> None:
    feed = PresenceFeed()
    for number in range(3):
        feed.put(seen(number))
    feed.end()
    assert [presence async for presence in feed] == [seen(0), seen(1), seen(2)]
    with pytest.raises(StopAsyncIteration):
        await anext(feed)


async def test_it_waits_and_a_cancelled_wait_loses_nothing() -> None:
    feed = PresenceFeed()
    waiting = asyncio.create_task(anext(feed), name="test.next")
    await asyncio.sleep(0)
    waiting.cancel()
    feed.put(seen(1))
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await anext(feed) == seen(1)
    later = asyncio.create_task(anext(feed), name="test.next")
    await asyncio.sleep(0)
    assert not later.done()
    feed.put(seen(2))
    assert await later == seen(2)


async def test_its_end_wakes_who_waits() -> None:
    feed = PresenceFeed()
    waiting = asyncio.create_task(anext(feed, None), name="test.next")
    await asyncio.sleep(0)
    feed.end()
    assert await waiting is None


async def test_who_falls_behind_loses_the_oldest() -> None:
    feed = PresenceFeed()
    for number in range(1003):
        feed.put(seen(number))
    feed.end()
    assert feed.dropped == 3
    assert [presence async for presence in feed] == [seen(number) for number in range(3, 1003)]


def test_who_left_is_shown_as_it_was() -> None:
    state = room(Join(user_id="alice"), Join(user_id="eve"))
    before = state.members["eve"]
    (change,) = state.apply(Kick(user_id="eve", by="alice", reason="noise"), now=3.0)
    assert presence_of(change, before, state) == Presence(
        kind="left", room_id="studio", user_id="eve", reason="kicked: noise", by="alice", member=before
    )


def test_everything_else_is_shown_as_it_is_afterwards() -> None:
    state = room(Join(user_id="alice"), Join(user_id="bob"))
    for command, kind in (
        (SetStatus(user_id="bob", status="away"), "status"),
        (SetRole(user_id="bob", role="host"), "host"),
        (SetGrants(user_id="bob", publish=False), "grants"),
        (Drop(user_id="bob"), "dropped"),
    ):
        (change,) = state.apply(command, now=5.0)
        presence = presence_of(change, None, state)
        assert presence == Presence(kind=kind, room_id="studio", user_id="bob", member=state.members["bob"])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [
        StreamOpened(stream=Stream(user_id="alice", member=1, number=1, kind="pose", name="pose")),
        Rekeyed(user_id="alice", salt=bytes(16), key_id=bytes(8)),
    ],
)
def test_what_is_nobodys_presence(change: StreamOpened | Rekeyed) -> None:
    state = room(Join(user_id="alice"))
    state.absorb(change)
    assert presence_of(change, None, state) is None


def test_differences_of_the_same_view() -> None:
    old, new = (room(Join(user_id="alice"), Lock(locked=True)) for _ in range(2))
    assert list(differences(old, new)) == []
    new.apply(Rekey(user_id="alice", salt=bytes(16), key_id=bytes(8)), now=3.0)
    assert list(differences(old, new)) == []


def test_who_left_and_came_again_did_both() -> None:
    old = room(Join(user_id="alice"), Join(user_id="bob"))
    new = room(Join(user_id="alice"), Join(user_id="bob"), Leave(user_id="bob"), Join(user_id="bob"))
    assert [(each.kind, each.user_id, each.reason) for each in differences(old, new)] == [
        ("left", "bob", "missed"),
        ("joined", "bob", ""),
    ]


def test_what_changed_about_those_who_stayed() -> None:
    old = room(Join(user_id="alice"), Join(user_id="bob"))
    new = RoomState.from_snapshot(old.snapshot())
    bob: RoomMember = new.members["bob"]
    new.absorb(StatusChanged(user_id=bob.id, status="away"))
    new.absorb(HostChanged(user_id=bob.id))
    found = list(differences(old, new))
    assert [(each.kind, each.user_id) for each in found] == [("host", "bob"), ("status", "bob")]
    assert all(each.member == new.members["bob"] for each in found)


def test_a_room_that_was_left_by_all() -> None:
    old, new = room(Join(user_id="alice"), Join(user_id="bob")), room()
    assert [each.kind for each in differences(old, new)] == ["left", "left"]
