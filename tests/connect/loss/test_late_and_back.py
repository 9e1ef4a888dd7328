"""Who comes late, comes back or goes elsewhere: nobody's frames refer to what the others do not have."""

from __future__ import annotations

import pytest

import posewire
from tests.connect.conftest import eventually, next_frame
from tests.connect.fault_proxy import FaultProxy
from tests.connect.loss.lossy_link import KEYS, Join, Link, Linked, Time, knows, numbered


async def test_whoever_starts_to_watch_late_asks(time: Time, join: Join) -> None:
    async with join("alice") as alice, join("bob") as bob:
        await knows(alice, bob)
        link = Link(time, alice, bob)
        assert await link.send(30) == "-" * 30
        assert (link.asked, link.unread) == (0, 0), "what nobody watches is not even read"
        link.watch()
        assert await link.send(6) == "?KLLLA"
        assert (link.asked, link.told) == (1, 1)
        # A pause of the watcher is the same.
        assert link.frames is not None
        await link.frames.aclose()
        link.frames = None
        assert await link.send(20) == "-" * 20
        link.watch()
        assert await link.send(3) == "?KL"


async def test_a_member_that_joins_gets_a_keyframe_unasked(linked: Linked, join: Join) -> None:
    async with linked() as link:
        assert await link.send(10) == "KLLLALLLAL"
        async with join("carol") as carol:
            await knows(link.publisher, carol)
            frames = carol.frames()
            assert await link.send(3) == "KLL", "all see it"
            assert [(await next_frame(frames)).seq for _ in range(3)] == [10, 11, 12]
            assert carol.receiver.drops == {}
            assert link.told == 0
        async with join("dora") as dora:
            await knows(link.publisher, dora)
            frames = dora.frames()
            assert await link.send(6) == "LALLKL", "0.2 s after the last one"
            assert [(await next_frame(frames)).seq for _ in range(2)] == [17, 18]
            assert dora.receiver.drops == {"missing_reference": 4}


@KEYS
async def test_the_publisher_comes_back(server: posewire.Server, time: Time, join: Join, key: bytes | None) -> None:
    async with FaultProxy(server.port) as proxy, join("bob", key=key) as bob:
        async with join("alice", key=key, url=proxy.url) as alice:
            await knows(alice, bob)
            link = Link(time, alice, bob)
            link.watch()
            assert await link.send(6) == "KLLLAL"
            for back in (1, 2):
                proxy.cut()
                await eventually(lambda back=back: alice.socket.status.reconnect_count == back)  # type: ignore[misc]
                await alice.socket.writable()
                await knows(bob, alice)
                assert await link.send(6) == "KLLLAL", "its numbers begin anew, so nothing old is referred to"
                assert link.headers[-1].member == alice.socket.writer.member
            assert (link.asked, link.unread) == (0, 0)
            # And with loss on both sides of it.
            link.lose = numbered(8)
            assert await link.send(3) == "LLa"
            proxy.cut()
            await eventually(lambda: alice.socket.status.reconnect_count == 3)
            await alice.socket.writable()
            link.lose = numbered(0)
            assert await link.send(10) == "k?KLLLALLL"
            assert (link.asked, link.told) == (1, 1)
            assert bob.receiver.drops == {"missing_reference": 1}


async def test_the_watcher_comes_back(server: posewire.Server, time: Time, join: Join) -> None:
    async with FaultProxy(server.port) as proxy, join("alice") as alice:
        async with join("bob", url=proxy.url) as bob:
            await knows(alice, bob)
            link = Link(time, alice, bob)
            link.watch()
            assert await link.send(10) == "KLLLALLLAL"
            proxy.cut()
            await eventually(lambda: bob.socket.status.reconnect_count == 1)
            await bob.socket.writable()
            await knows(alice, bob)
            assert await link.send(4) == "KLLL", "it joined again"
            assert (link.asked, bob.receiver.drops) == (0, {})


async def test_the_publisher_moves_to_another_room_and_back(linked: Linked) -> None:
    async with linked() as link:
        assert await link.send(3) == "KLL"
        for _ in range(2):
            await link.publisher.rooms.join_room("stage", create=True)
            await link.publisher.rooms.join_room("studio")
            await knows(link.watcher, link.publisher)
            assert await link.send(3) == "KLL"
        assert link.unread == 0


async def test_what_was_sent_from_another_seat_is_no_reference(linked: Linked) -> None:
    """Though the numbers would let it be one: they are where they were when the stream was left."""
    async with linked() as link:
        assert await link.send(3) == "KLL"
        await link.publisher.rooms.join_room("stage", create=True)
        await link.publisher.rooms.join_room("studio")
        await knows(link.watcher, link.publisher)
        link.publisher.pose.set_protocol_version("v2")
        assert await link.send(3) == "KKK"
        link.publisher.pose.set_protocol_version("v3")
        assert await link.send(3) == "KLL"
        assert link.unread == 0


async def test_a_watcher_that_changes_rooms_takes_nobody_for_another(time: Time, join: Join) -> None:
    """Two members with the same number, in two rooms: what one sent is no reference for the other's frames."""
    async with join("alice") as alice, join("carol", room="stage") as carol, join("bob") as bob:
        await knows(alice, bob)
        first = Link(time, alice, bob)
        first.watch()
        assert await first.send(6) == "KLLLAL"
        await bob.rooms.join_room("stage")
        await knows(carol, bob)
        assert alice.socket.writer.member == carol.socket.writer.member
        second = Link(time, carol, bob, seed=1)
        second.watch()
        second.lose = numbered(0, 6)
        assert await second.send(11) == "k?KLLLa??KL"


@KEYS
@pytest.mark.parametrize(
    "told",
    [
        True,
        False,
    ],
)
async def test_whoever_gets_the_number_of_a_member_that_left_is_not_taken_for_it(
    server: posewire.Server,
    time: Time,
    join: Join,
    key: bytes | None,
    told: bool,
) -> None:
    """The same number and the same stream, and a frame that refers to a number of which the other's frame is kept.

    Not told: the changes do not reach the watcher, which then fetches the state of the room.
    """
    async with join("bob", key=key) as bob:
        async with join("alice", key=key) as alice:
            await knows(bob, alice)
            number = alice.socket.writer.member
            link = Link(time, alice, bob)
            link.watch()
            assert await link.send(3) == "KLL"
            absorb = bob.rooms._absorb
            if not told:
                bob.rooms._absorb = lambda update: None  # type: ignore[method-assign]
        state = server._rooms.rooms["studio"].state
        await eventually(lambda: "alice" not in state.members)
        # It takes 65 535 who join, else.
        state._last_number = number - 1
        async with join("carol", key=key) as carol:
            bob.rooms._absorb = absorb  # type: ignore[method-assign]
            if not told:
                await bob.rooms.sync_room_state("studio")
            await knows(bob, carol)
            assert carol.socket.writer.member == number
            link = Link(time, carol, bob, seed=1)
            link.watch()
            link.lose = numbered(0)
            assert await link.send(4) == "k?KL"
