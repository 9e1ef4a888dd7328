"""Coming back at the worst moment: while the answer to something else is under way, or with a great deal missed."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

import posewire
from posewire import ConnectionError, PosewireError
from tests.connect.conftest import Member, changed, eventually, heard, knows, landmarks, me, next_frame
from tests.connect.fault_proxy import FaultProxy
from tests.connect.test_resume import back, open_session


async def test_the_answer_to_joining_again_is_lost(server: posewire.Server, member: Member) -> None:
    """Cut for longer than the grace time, and again while it rejoins: a new seat, of which the answer never came."""
    async with FaultProxy(server.port) as proxy, member("alice", url=proxy.url) as alice, member("bob") as bob:
        got, reconnects, seats = heard(bob, "n"), heard(alice, "reconnect"), server._reception.seats
        proxy.refusing = True
        proxy.cut()
        await eventually(lambda: server.stats().seats_held == 1)
        seats._expire(seats.held()[0])
        await eventually(lambda: knows(bob, "bob"))
        rooms = server._reception.rooms
        join = rooms.join

        def join_and_cut(*args: Any) -> Any:
            rooms.join = join  # type: ignore[method-assign]
            joined = join(*args)
            proxy.cut()
            return joined

        rooms.join = join_and_cut  # type: ignore[method-assign, assignment]
        proxy.refusing = False
        await eventually(lambda: bool(reconnects) and knows(bob, "alice", "bob"))
        assert bob.rooms.state is not None
        assert alice.socket.writer.member == bob.rooms.state.members["alice"].number
        await alice.send_event("n", 1)
        await eventually(lambda: len(got) == 1)


async def test_the_answer_to_joining_another_room_is_lost(server: posewire.Server, member: Member) -> None:
    async with FaultProxy(server.port) as proxy, member("bob") as bob, member("carol", "stage") as carol:
        async with member("alice", url=proxy.url) as alice:
            got = heard(bob, "n")
            proxy.mute()
            outstanding = asyncio.create_task(alice.send_event("n", 1))
            await eventually(lambda: len(got) == 1)
            moving = asyncio.create_task(alice.rooms.join_room("stage"))
            await eventually(lambda: knows(carol, "alice", "carol"))
            proxy.cut()
            proxy.unmute()
            with contextlib.suppress(PosewireError):
                await moving
            await back(alice)
            with contextlib.suppress(ConnectionError):
                await outstanding  # not RoomError: bob has it
            here, there = (bob, carol) if alice.rooms.current_room() == "studio" else (carol, bob)
            await eventually(lambda: knows(here, here.user_id, "alice") and knows(there, there.user_id))
            assert me(alice).number == alice.socket.writer.member
            later = heard(here, "n")
            await alice.send_event("n", 2)
            await eventually(lambda: len(later) == 1)


async def test_a_burst_that_arrived_does_not_prevent_a_resume() -> None:
    async with posewire.serve(config=changed(server={"recipient_limit": 65_536})) as server:
        async with FaultProxy(server.port) as proxy, open_session(server, "alice") as alice:
            async with open_session(server, "bob", proxy.url) as bob:
                got, reconnects = heard(bob, "n"), heard(bob, "reconnect")
                proxy.freeze()
                for number in range(10):
                    await alice.send_event("n", [number, "x" * 8000])
                proxy.thaw()
                await eventually(lambda: len(got) == 10)
                await alice.send_event("n", None)
                await eventually(lambda: len(got) == 11)
                proxy.cut()
                await eventually(lambda: bool(reconnects))
                assert reconnects[0].data["resumed"]


async def test_six_sessions_of_one_user_are_cut_at_once() -> None:
    async with posewire.serve(config=changed(socket={"max_connections": 10})) as server:
        async with FaultProxy(server.port) as proxy, contextlib.AsyncExitStack() as stack:
            sessions = [
                await stack.enter_async_context(open_session(server, "alice", proxy.url, room=f"room {number}"))
                for number in range(6)
            ]
            reconnects = [heard(session, "reconnect") for session in sessions]
            proxy.refusing = True
            proxy.cut()
            await eventually(lambda: server.stats().connections == 0)
            assert server.stats().seats_held == 6
            proxy.refusing = False
            await eventually(lambda: all(reconnects))
            assert all(events[0].data["resumed"] for events in reconnects)


async def test_an_event_that_was_refused_is_not_reported_as_sent(server: posewire.Server, member: Member) -> None:
    async with FaultProxy(server.port) as proxy, member("alice") as alice, member("bob", url=proxy.url) as bob:
        got = heard(alice, "n")
        proxy.mute()
        await alice.rooms.set_member_grants("studio", "bob", publish=False)
        first = asyncio.create_task(bob.send_event("n", 1))
        await eventually(lambda: server.stats().drops.get("refused", 0) == 1)
        await alice.rooms.set_member_grants("studio", "bob", publish=True)
        second = asyncio.create_task(bob.send_event("n", 2))
        await eventually(lambda: len(got) == 1)
        proxy.cut()
        proxy.unmute()
        await second
        with pytest.raises(PosewireError):
            await first


async def test_many_small_events_were_missed(server: posewire.Server, member: Member) -> None:
    """Far within the journal's limit of bytes, and the server says that the session was resumed."""
    async with FaultProxy(server.port) as proxy, member("alice") as alice, member("bob", url=proxy.url) as bob:
        got, reconnects = heard(bob, "n"), heard(bob, "reconnect")
        proxy.refusing = True
        proxy.cut()
        await eventually(lambda: server.stats().seats_held == 1)
        for number in range(4000):
            await alice.socket.submit_event("n", number)
        await alice.send_event("n", 4000)
        proxy.refusing = False
        await eventually(lambda: bool(got) and got[-1].data == 4000)
        assert reconnects[0].data["resumed"]
        assert [event.data for event in got] == list(range(4001))


async def test_a_link_that_flaps_faster_than_one_may_connect() -> None:
    async with posewire.serve(config=changed(admission={"member_connects": 2, "burst": 1})) as server:
        async with FaultProxy(server.port) as proxy, open_session(server, "alice", proxy.url) as alice:
            for count in range(1, 4):
                proxy.cut()
                await eventually(lambda: alice.socket.status.reconnect_count == count or alice._failure is not None)  # noqa: B023
                assert alice._failure is None


async def test_a_receiver_that_is_back_sees_the_newest_picture(server: posewire.Server, member: Member) -> None:
    async with FaultProxy(server.port) as proxy, member("alice") as alice, member("bob", url=proxy.url) as bob:
        frames = bob.frames()
        await alice.send_pose(landmarks(0))
        await next_frame(frames)
        proxy.refusing = True
        proxy.cut()
        await eventually(lambda: server.stats().seats_held == 1)
        for seed in range(1, 7):
            await alice.send_pose(landmarks(seed))
            await alice.sender.flush()
        proxy.refusing = False
        await back(bob)
        async with asyncio.timeout(0.3):
            assert (await anext(frames)).seq == 6
