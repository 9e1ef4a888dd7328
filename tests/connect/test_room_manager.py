"""Rooms, seen by their members and decided by the server."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import posewire
from posewire import AuthError, DataValidationError, Event, RoomError, RoomFullError, RoomNotFoundError
from posewire.protocol import control
from posewire.rooms import RoomState
from tests.connect.conftest import CONFIG, Member, changed, eventually, landmarks, next_frame


def mirrored(state: RoomState) -> tuple[Any, ...]:
    """All that a mirror keeps; when a room was last active only the server knows."""
    return state.version, state.members, state.streams


async def test_create_join_list_leave(member: Member) -> None:
    async with member("alice", None) as alice, member("bob", None) as bob:
        assert await alice.rooms.create_room("studio")
        assert not await bob.rooms.create_room("studio")
        assert await alice.rooms.join_room("studio", "alice")
        assert await bob.rooms.join_room("studio", "bob", role="host")
        members = await bob.rooms.get_room_members("studio")
        assert [(one.id, one.role) for one in members] == [("alice", "host"), ("bob", "member")]
        info = await alice.rooms.get_room_info("studio")
        assert info is not None
        assert (info.room_id, info.member_count, info.is_locked) == ("studio", 2, False)
        assert [room.room_id for room in await alice.rooms.list_rooms()] == ["studio"]
        assert alice.rooms.current_room() == alice.rooms.current_room("bob") == "studio"
        assert alice.rooms.current_room("nobody") is None
        assert await alice.rooms.leave_room("studio")
        assert not await alice.rooms.leave_room("studio")
        assert alice.rooms.current_room() is None
        await eventually(lambda: bob.rooms.state is not None and len(bob.rooms.state.members) == 1)
        assert bob.rooms.state is not None
        assert bob.rooms.state.members["bob"].role == "host", "the host left; the next one is host"


async def test_an_emptied_room_is_closed(member: Member) -> None:
    async with member("alice") as alice:
        await alice.rooms.leave_room("studio")
        assert await alice.rooms.list_rooms() == []
        assert await alice.rooms.get_room_info("studio") is None
        assert await alice.rooms.get_room_members("studio") == []
        with pytest.raises(RoomNotFoundError, match="studio") as caught:
            await alice.rooms.join_room("studio")
        assert caught.value.code == 404


async def test_joining_another_room_leaves_the_first(member: Member) -> None:
    async with member("alice") as alice, member("bob") as bob:
        await alice.rooms.join_room("stage", create=True)
        assert alice.rooms.current_room() == "stage"
        await eventually(lambda: bob.rooms.state is not None and "alice" not in bob.rooms.state.members)
        await alice.rooms.join_room("studio")
        assert {room.room_id for room in await bob.rooms.list_rooms()} == {"studio"}


async def test_joining_the_room_one_is_in_changes_nothing(member: Member) -> None:
    async with member("alice") as alice, member("bob") as bob:
        assert bob.rooms.state is not None
        version = bob.rooms.state.version
        await bob.rooms.join_room("studio")
        assert bob.rooms.state.version == version
        assert await alice.rooms.get_room_members("studio")


async def test_a_full_room_refuses_and_the_refused_stays_where_it_was() -> None:
    async with posewire.serve(config=changed(room={"max_clients": 2})) as server:
        sessions = [
            posewire.connect(server.url, token=server.issue_token(name), room=room, config=CONFIG)
            for name, room in (("alice", "studio"), ("bob", "studio"), ("carol", "stage"))
        ]
        async with sessions[0], sessions[1], sessions[2] as carol:
            with pytest.raises(RoomFullError, match=r"studio.*capacity: 2") as caught:
                await carol.rooms.join_room("studio")
            assert caught.value.capacity == 2
            assert carol.rooms.current_room() == "stage"
            assert len(await carol.rooms.get_room_members("stage")) == 1
        full = posewire.connect(server.url, token=server.issue_token("dora"), room="studio", config=CONFIG)
        async with full as dora:
            assert dora.rooms.current_room() == "studio", "there is room again"


async def test_connect_fails_clearly_when_the_room_is_full(member: Member) -> None:
    async with posewire.serve(config=changed(room={"max_clients": 1})) as server:
        async with posewire.connect(server.url, token=server.issue_token("alice"), room="studio", config=CONFIG):
            second = posewire.connect(server.url, token=server.issue_token("bob"), room="studio", config=CONFIG)
            with pytest.raises(RoomFullError):
                async with second:
                    pass


async def test_unknown_room_bad_names_and_roles(member: Member) -> None:
    async with member("alice") as alice:
        with pytest.raises(RoomNotFoundError):
            await alice.rooms.join_room("nowhere")
        assert alice.rooms.current_room() == "studio"
        for name in ("", "x" * 129):
            with pytest.raises(RoomError, match="bad room name"):
                await alice.rooms.create_room(name)
        with pytest.raises(ValueError, match="expected 'host' or 'member'"):
            await alice.rooms.join_room("studio", role="king")  # type: ignore[arg-type]
        with pytest.raises(AuthError, match="a token speaks for one user"):
            await alice.rooms.join_room("studio", "bob")
        with pytest.raises(AuthError, match="a token speaks for one user"):
            await alice.rooms.leave_room("studio", "bob")
        with pytest.raises(RoomError, match="not in this room"):
            await alice.rooms.broadcast("wave", None, "other")
        with pytest.raises(RoomNotFoundError):
            await alice.rooms.sync_room_state("nowhere")


async def test_a_token_for_one_room_opens_no_other(server: posewire.Server, member: Member) -> None:
    token = server.issue_token("alice", room_id="studio")
    async with (
        member("bob", "stage"),
        posewire.connect(server.url, token=token, room="studio", config=CONFIG) as alice,
    ):
        assert alice.socket.welcome is not None
        assert alice.socket.welcome.room == "studio"
        with pytest.raises(RoomError, match="the token of alice is for room 'studio'"):
            await alice.rooms.join_room("stage")
        with pytest.raises(RoomError, match="the token of alice is for room 'studio'"):
            await alice.rooms.create_room("attic")


async def test_too_many_rooms() -> None:
    async with posewire.serve(config=changed(room={"max_rooms": 1})) as server:
        async with posewire.connect(server.url, token=server.issue_token("alice"), room="a", config=CONFIG) as alice:
            with pytest.raises(posewire.ResourceLimitError, match="1 rooms are open"):
                await alice.rooms.create_room("b")


async def test_broadcast_reaches_all_others_and_nobody_else(member: Member) -> None:
    got: dict[str, list[Event]] = {"alice": [], "bob": [], "carol": [], "dora": []}
    async with (
        member("alice") as alice,
        member("bob") as bob,
        member("carol") as carol,
        member("dora", "stage") as dora,
    ):
        for session in (alice, bob, carol, dora):
            session.on("note", got[session.user_id].append)
        assert await alice.rooms.broadcast("note", {"text": "hé", "n": [1, 2.5, None, b"\x00"]}, "studio")
        await eventually(lambda: bool(got["bob"]) and bool(got["carol"]))
        await dora.rooms.list_rooms()
    assert [len(events) for events in got.values()] == [0, 1, 1, 0]
    assert got["bob"][0].data == {"text": "hé", "n": [1, 2.5, None, b"\x00"]}


async def test_grants_are_kept_on_the_server_and_said_on_the_client(member: Member, server: posewire.Server) -> None:
    async with member("alice") as alice, member("bob", publish=False, subscribe=False) as bob:
        for sending in (bob.send_pose(landmarks()), bob.send_event("wave"), bob.send_audio(b"\0\0")):
            with pytest.raises(RoomError, match="bob may not publish"):
                await sending
        # The same without the client's own check.
        assert bob.rooms.state is not None
        with pytest.raises(RoomError, match="bob may not publish"):
            await bob.rooms.broadcast("wave", None, "studio")
        with pytest.raises(RoomError, match="bob may not publish"):
            await bob.rooms.open_stream("pose", "pose")
        with pytest.raises(RoomError, match="bob may not subscribe"):
            bob.frames()
        await alice.send_pose(landmarks())
        await alice.sender.flush()
        await alice.rooms.list_rooms()
        await bob.rooms.list_rooms()
        assert server.stats().frames_out == 0


async def test_a_newer_session_of_the_same_user_takes_the_seat(member: Member) -> None:
    async with member("bob") as bob:
        with pytest.raises(AuthError, match="another session of alice took its place"):
            async with member("alice") as old:
                byes: list[Event] = []
                old.on("bye", byes.append)
                async with member("alice") as new:
                    await eventually(lambda: bool(byes))
                    frames = bob.frames()
                    await new.send_pose(landmarks())
                    assert (await next_frame(frames)).user_id == "alice"
                    assert [one.id for one in await bob.rooms.get_room_members("studio")] == ["bob", "alice"]
                    await old.wait_ended()


async def test_the_mirror_equals_the_server_and_mends_itself(member: Member) -> None:
    async with member("alice") as alice, member("bob") as bob:
        state = alice.rooms.state
        assert state is not None
        await eventually(lambda: len(state.members) == 2)
        # An update that was missed: the next one shows the gap, and the difference is fetched.
        state.version -= 1
        del state.members["bob"]
        await bob.send_pose(landmarks())
        await eventually(lambda: "bob" in state.members)
        mended = alice.rooms.state
        assert mended is not None
        assert set(mended.members) == {"alice", "bob"}
        assert bob.rooms.state is not None
        assert mirrored(mended) == mirrored(bob.rooms.state)


@pytest.mark.parametrize(
    ("version", "change"),
    [("new", 5), (2, {"type": "left", "user_id": "ghost", "reason": ""}), (2, {"type": "host", "user_id": "ghost"})],
)
async def test_an_update_that_makes_no_sense_is_survived(member: Member, version: Any, change: Any) -> None:
    async with member("alice") as alice:
        alice.socket._inbound.event(control.ROOM, {"room": "studio", "version": version, "change": change})
        assert alice.rooms._mirror.stale.is_set()
        await eventually(lambda: not alice.rooms._mirror.stale.is_set())
        assert alice.rooms.current_room() == "studio"


async def test_room_changes_are_events(member: Member) -> None:
    changes: list[Any] = []
    async with member("alice") as alice:
        alice.on("room", lambda event: changes.append(event.data["change"]["type"]))
        async with member("bob") as bob:
            await bob.send_pose(landmarks())
            await bob.sender.flush()
        await eventually(lambda: len(changes) == 3)
    assert changes == ["joined", "stream", "left"]


async def test_changes_between_the_answer_and_its_reading_are_not_lost(member: Member) -> None:
    """Many come and go while one joins over and over: its mirror must never miss a change."""
    async with member("alice") as alice, member("bob", "stage") as bob, member("carol", "stage") as carol:

        async def wander(session: posewire.Session) -> None:
            for room in ("studio", "stage") * 5:
                await session.rooms.join_room(room, create=True)

        await asyncio.gather(wander(bob), wander(carol))
        await alice.rooms.sync_room_state("studio")
        state = alice.rooms.state
        assert state is not None
        assert set(state.members) == {"alice"}
        await bob.rooms.join_room("studio")
        await eventually(lambda: "bob" in state.members)
        assert bob.rooms.state is not None
        assert mirrored(bob.rooms.state) == mirrored(state)


async def test_only_members_may_look_into_a_room(member: Member) -> None:
    async with member("alice"), member("bob", "stage") as bob:
        with pytest.raises(RoomError, match="bob is not in this room"):
            await bob.rooms.sync_room_state("studio")


async def test_a_room_that_cannot_be_synced_is_left_to_the_next_time(
    member: Member, caplog: pytest.LogCaptureFixture
) -> None:
    async with member("alice") as alice:
        await alice.socket.request(control.LeaveRoom(room="studio"), bool)  # behind the manager's back
        with caplog.at_level("INFO"):
            alice.rooms._mirror.stale.set()
            await eventually(lambda: "room state not synced" in caplog.text)
        await alice.rooms.leave_room("studio")
        alice.rooms._mirror.stale.set()
        await eventually(lambda: not alice.rooms._mirror.stale.is_set())
        assert alice.socket.connected


async def test_packets_of_nobody_are_counted(member: Member) -> None:
    async with member("alice") as alice, member("bob") as bob:
        frames = bob.frames()
        assert bob.rooms.state is not None
        numbers = bob.rooms.state._by_number
        await alice.send_pose(landmarks())
        await next_frame(frames)
        stranger = numbers.pop(1)
        await alice.send_event("wave")
        await eventually(lambda: bob.receiver.drops == {"unknown_member": 1})
        numbers[1] = stranger
        bob.rooms.state.streams.clear()
        await alice.send_pose(landmarks())
        await eventually(lambda: bob.receiver.drops == {"unknown_member": 1, "unknown_stream": 1})


async def test_rooms_nobody_joined_are_few_and_go_with_their_maker(server: posewire.Server, member: Member) -> None:
    async with member("bob") as bob:
        async with member("alice", None) as alice:
            for index in range(16):
                assert await alice.rooms.create_room(f"empty-{index}")
            with pytest.raises(posewire.ResourceLimitError, match="alice made 16 rooms that nobody is in"):
                await alice.rooms.create_room("one too many")
            await bob.rooms.join_room("empty-0")
            assert await alice.rooms.create_room("now it can be")
        await eventually(lambda: server.stats().connections == 1)
        assert [room.room_id for room in await bob.rooms.list_rooms()] == ["empty-0"]


@pytest.mark.parametrize(
    ("event", "answer", "reason"),
    [
        ("room.sync", {"changes": [{"type": "dropped", "user_id": "ghost"}]}, "expected a member"),
        ("stream.open", 256, "expected 1 to 255"),
        ("stream.open", 0, "expected 1 to 255"),
        ("heartbeat", (1 << 64) - 1, "expected microseconds since 1970"),
        ("heartbeat", -1, "expected microseconds since 1970"),
    ],
)
async def test_an_answer_of_a_hostile_server_is_refused_by_name(
    member: Member, monkeypatch: pytest.MonkeyPatch, event: str, answer: Any, reason: str
) -> None:
    async with member("alice") as alice:
        lane = alice.socket.lane
        assert lane is not None
        honest = lane.request

        async def request(name: str, data: Any) -> Any:
            return answer if name == event else await honest(name, data)

        monkeypatch.setattr(lane, "request", request)
        with pytest.raises(DataValidationError, match=reason):
            if event == "room.sync":
                await alice.rooms.sync_room_state("studio")
            elif event == "stream.open":
                await alice.rooms.open_stream("pose", "main")
            else:
                await alice.socket._heartbeat.time.measure()
        monkeypatch.undo()
        await alice.send_pose(landmarks())
