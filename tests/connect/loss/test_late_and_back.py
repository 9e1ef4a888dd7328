"""Who comes late, comes back or goes elsewhere: nobody's frames refer to what the others do not have."""

from __future__ import annotations

import pytest

import posewire
from tests.connect.conftest import eventually, next_frame
from tests.connect.fault_proxy import FaultProxy
from tests.connect.loss.lossy_link import KEYS, Join, Link, Linked, Time, knows, numbered


async def test_whoever_starts_to_watch_late_gets_a_picture(time: Time, join: Join) -> None:
    async with join("alice") as alice, join("bob") as bob:
        await knows(alice, bob)
        link = Link(time, alice, bob)
        assert await link.send(30) == "-" * 30
        assert (link.asked, link.unread) == (0, 0), "what nobody watches is not even read"
        for shown in ("LLALLL", "LALLLA"):
            link.watch()
            assert link.frames is not None
            assert (await next_frame(link.frames)).seq == link.headers[-1].seq, "what came while nobody watched"
            assert await link.send(6) == shown, "and what comes next refers to it"
            # A pause of the watcher is the same.
            assert link.frames is not None
            await link.frames.aclose()
            link.frames = None
            assert await link.send(3) == "---"
        assert (link.asked, link.told, link.unread) == (0, 0, 0)


@KEYS
async def test_a_member_that_joins_gets_a_picture_at_once(linked: Linked, join: Join, key: bytes | None) -> None:
    async with linked(key=key) as link:
        assert await link.send(10) == "KLLLALLLAL"
        for name, frame_type, seq in (("carol", "LLA", 9), ("dora", "LLL", 12)):
            async with join(name, key=key) as member:
                frames = member.frames()
                assert (await next_frame(frames)).seq == seq, "though the publisher has sent nothing since"
                assert await link.send(3) == frame_type, "and nobody is asked for a keyframe"
                assert [(await next_frame(frames)).seq for _ in range(3)] == [seq + 1, seq + 2, seq + 3]
                assert member.receiver.drops == {}
        assert (link.asked, link.told, link.unread) == (0, 0, 0)


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
                assert await link.send(6) == "KLLLAL", "nothing is referred to that may not have come"
                assert link.headers[-1].member == alice.socket.writer.member
            assert (link.asked, link.unread) == (0, 0)
            # And with loss on both sides of it.
            link.lose = numbered(20)
            assert await link.send(3) == "LLa"
            proxy.cut()
            await eventually(lambda: alice.socket.status.reconnect_count == 3)
            await alice.socket.writable()
            link.lose = numbered(21)
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
            await eventually(lambda: not bob.receiver._keyframes.fetching)
            assert await link.send(4) == "LLAL", "the server told it what it has missed"
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
            absorb = bob.rooms._mirror.absorb
            if not told:
                bob.rooms._mirror.absorb = lambda update: None  # type: ignore[method-assign]
        state = server._reception.rooms.rooms["studio"].state
        await eventually(lambda: "alice" not in state.members)
        # It takes 65 535 who join, else.
        state._last_number = number - 1
        async with join("carol", key=key) as carol:
            bob.rooms._mirror.absorb = absorb  # type: ignore[method-assign]
            if not told:
                await bob.rooms.sync_room_state("studio")
            await knows(bob, carol)
            assert carol.socket.writer.member == number
            link = Link(time, carol, bob, seed=1)
            link.watch()
            link.lose = numbered(0)
            assert await link.send(4) == "k?KL"
