"""Who comes, goes, drops, returns, and why: as an iterator and as a handler; and how rooms end."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

import posewire
from posewire import AuthError, RoomError, RoomNotFoundError, clock
from posewire.protocol import EVENT_STREAM, Delivery, Kind
from posewire.rooms import Presence
from tests.connect.conftest import CONFIG, Member, changed, eventually, heard, kinds, knows, landmarks, me, seen
from tests.connect.fault_proxy import FaultProxy


def connect(server: posewire.Server, name: str, room: str | None = "studio", url: str | None = None) -> Any:
    return posewire.connect(url or server.url, token=server.issue_token(name), room=room, config=CONFIG)


async def collect(session: posewire.Session) -> list[Presence]:
    async with asyncio.timeout(10):  # for a feed that does not end
        return [presence async for presence in session.rooms.presence()]


async def started(session: posewire.Session) -> asyncio.Task[list[Presence]]:
    task = asyncio.create_task(collect(session))
    await asyncio.sleep(0)
    return task


async def test_the_iterator_and_the_handler_are_told_the_same_in_order(server: posewire.Server, member: Member) -> None:
    async with FaultProxy(server.port) as proxy:
        async with member("alice") as alice:
            told, collecting = seen(alice), await started(alice)
            async with member("bob", url=proxy.url) as bob:
                proxy.cut()
                await eventually(lambda: ("returned", "bob") in kinds(told))
                await bob.rooms.update_member_status("studio", "bob", "here")
                await alice.rooms.set_member_grants("studio", "bob", moderate=True)
                await alice.rooms.lock_room("studio")
                await alice.rooms.unlock_room("studio")
                await alice.rooms.set_member_role("studio", "bob", "host")
            await eventually(lambda: len(told) == 10)
        presences = await collecting
    assert presences == told
    assert kinds(presences) == [
        ("joined", "bob"), ("dropped", "bob"), ("returned", "bob"), ("status", "bob"), ("grants", "bob"),
        ("locked", ""), ("unlocked", ""), ("host", "bob"), ("left", "bob"), ("host", "alice"),
    ]  # fmt: skip
    assert {presence.room_id for presence in presences} == {"studio"}
    left = presences[8]
    assert left.reason == "disconnected"
    assert left.member is not None
    assert (left.member.role, left.member.status) == ("host", "here"), "as it was before it left"


async def test_several_iterators_end_with_the_session(member: Member) -> None:
    async with member("alice") as alice:
        collecting = [await started(alice) for _ in range(3)]
        async with member("bob"):
            await eventually(lambda: knows(alice, "alice", "bob"))
    for task in collecting:
        assert [presence.kind for presence in await task][:1] == ["joined"]


async def test_an_iterator_ends_with_a_session_that_failed(server: posewire.Server, member: Member) -> None:
    async with contextlib.AsyncExitStack() as stack:
        alice = await stack.enter_async_context(member("alice"))
        collecting = await started(alice)
        await server.revoke("alice")
        assert await collecting == []
        with pytest.raises(AuthError, match="revoked"):
            await alice.wait_ended()


async def test_cancelling_a_wait_loses_nothing(member: Member) -> None:
    async with member("alice") as alice:
        feed = alice.rooms.presence()
        waiting = asyncio.create_task(anext(feed))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        async with member("bob"):
            presence = await anext(feed)
        assert (presence.kind, presence.user_id) == ("joined", "bob")


async def test_an_iterator_of_a_session_that_is_over_ends_at_once(member: Member) -> None:
    async with member("alice") as alice:
        pass
    async with asyncio.timeout(0.2):
        assert await collect(alice) == []


async def test_what_happened_while_a_session_was_lost_is_told() -> None:
    async with posewire.serve(config=changed(server={"resume_grace": 60})) as server, FaultProxy(server.port) as proxy:
        async with connect(server, "carol") as carol, connect(server, "alice", url=proxy.url) as alice:
            witness, reconnects = seen(carol), heard(alice, "reconnect")
            async with connect(server, "bob"):
                await eventually(lambda: knows(alice, "alice", "bob", "carol"))
                told = seen(alice)
                proxy.refusing = True
                proxy.cut()
                await eventually(lambda: ("left", "alice") in kinds(witness))
            async with connect(server, "dora"):
                proxy.refusing = False
                await eventually(lambda: bool(reconnects))
                assert knows(alice, "alice", "carol", "dora")
                await eventually(lambda: {("left", "bob"), ("joined", "dora")} <= set(kinds(told)), seconds=0.3)


# The view of the room ------------------------------------------------------------------------------------------------


async def test_an_event_right_behind_ones_joining(server: posewire.Server, member: Member) -> None:
    async with member("bob") as bob, member("alice", "stage") as alice:
        got, reception, socket = heard(alice, "n"), server._reception, bob.socket
        join = reception.rooms.join

        def join_and_talk(*args: Any) -> Any:
            """What bob sent is read right after what alice asked; her answer has not been written."""
            reception.rooms.join = join  # type: ignore[method-assign]
            joined = join(*args)
            packet = socket.writer.write(
                Kind.EVENT,
                Delivery.RELIABLE,
                EVENT_STREAM,
                version=2,
                captured_us=socket.captured_us(clock.now()),
                body=socket.protocol.encode_event("n", 1),
            )
            [connection] = [each for each in reception.connections.values() if each.user_id == "bob"]
            assert reception.relay.frame(connection, packet) == [True, 1], "alice is in the room"
            return joined

        reception.rooms.join = join_and_talk  # type: ignore[method-assign, assignment]
        await alice.rooms.join_room("studio")
        await bob.send_event("n", 2)
        await eventually(lambda: bool(got) and got[-1].data == 2)
        assert [event.data for event in got] == [1, 2]


async def test_a_room_that_refuses_us_costs_no_changes_of_ours(server: posewire.Server, member: Member) -> None:
    async with FaultProxy(server.port) as proxy, member("carol") as carol, member("alice", url=proxy.url) as alice:
        async with member("bob") as bob:
            await eventually(lambda: knows(alice, "alice", "bob", "carol"))
            proxy.freeze()
            moving = asyncio.create_task(alice.rooms.join_room("nowhere"))
            await bob.rooms.list_rooms()  # by now it has been sent
        await eventually(lambda: knows(carol, "alice", "carol"))
        proxy.thaw()
        with pytest.raises(RoomNotFoundError):
            await moving
        await eventually(lambda: knows(alice, "alice", "carol"), seconds=0.3)


# How rooms end --------------------------------------------------------------------------------------------------------


async def test_an_idle_room_is_closed_and_everyone_told_why() -> None:
    async with posewire.serve(config=changed(room={"timeout": 0.1})) as server:
        async with connect(server, "alice") as alice, connect(server, "bob") as bob:
            told = [seen(alice), seen(bob)]
            await eventually(lambda: alice.rooms.current_room() is None and bob.rooms.current_room() is None)
            await eventually(lambda: all(("closed", "") in kinds(presences) for presences in told))
            assert told[0][-1].reason == told[1][-1].reason == "nobody sent or asked anything for 0.1 s"
            assert await alice.rooms.list_rooms() == []
            assert server.stats().rooms == 0
            with pytest.raises(RoomError, match="not in a room; join one first"):
                await alice.send_pose(landmarks())
            await alice.rooms.join_room("studio", create=True)
            assert me(alice).role == "host"


async def test_frames_keep_a_room_open() -> None:
    config = changed(room={"timeout": 100, "auto_cleanup": False})
    async with posewire.serve(config=config) as server, connect(server, "alice") as alice:
        room = server._reception.rooms.rooms["studio"]
        room.active_at -= 101
        await alice.send_pose(landmarks())
        await eventually(lambda: server.stats().frames_in == 1)
        assert await server.cleanup_inactive_rooms() == 0
        room.active_at -= 101
        assert await server.cleanup_inactive_rooms() == 1
        await eventually(lambda: alice.rooms.current_room() is None)


async def test_somebody_who_comes_in_keeps_a_room_open() -> None:
    config = changed(room={"timeout": 100, "auto_cleanup": False})
    async with posewire.serve(config=config) as server, connect(server, "alice") as alice:
        server._reception.rooms.rooms["studio"].active_at -= 101
        async with connect(server, "bob") as bob:
            await bob.rooms.update_member_status("studio", "bob", "here")
            assert await server.cleanup_inactive_rooms() == 0
            assert alice.rooms.current_room() == "studio"


async def test_a_room_that_was_closed_while_one_was_away() -> None:
    config = changed(room={"timeout": 100, "auto_cleanup": False})
    async with posewire.serve(config=config) as server, FaultProxy(server.port) as proxy:
        async with connect(server, "alice", url=proxy.url) as alice, connect(server, "bob") as bob:
            told, reconnects = seen(alice), heard(alice, "reconnect")
            proxy.refusing = True
            proxy.cut()
            await eventually(lambda: server.stats().seats_held == 1)
            server._reception.rooms.rooms["studio"].active_at -= 101
            assert await server.cleanup_inactive_rooms() == 1
            await eventually(lambda: bob.rooms.current_room() is None)
            proxy.refusing = False
            await eventually(lambda: bool(reconnects))
            await eventually(lambda: ("closed", "") in kinds(told), seconds=0.2)


# What one may see -----------------------------------------------------------------------------------------------------


async def test_a_token_for_one_room_shows_no_other(server: posewire.Server, member: Member) -> None:
    token = server.issue_token("bob", room_id="studio")
    async with member("alice"), member("carol", "stage") as carol:
        async with posewire.connect(server.url, token=token, room="studio", config=CONFIG) as bob:
            assert [room.room_id for room in await bob.rooms.list_rooms()] == ["studio"]
            assert {member.id for member in await bob.rooms.get_room_members("studio")} == {"alice", "bob"}
            assert await bob.rooms.get_room_members("stage") == []
            assert await bob.rooms.get_room_info("stage") is None
            assert {room.room_id for room in await carol.rooms.list_rooms()} == {"studio", "stage"}
