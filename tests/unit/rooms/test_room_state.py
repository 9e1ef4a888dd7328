"""The rules of a room, one by one; all of them together are in test_room_machine.py."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest

from posewire.errors import ResourceLimitError, RoomError, RoomFullError
from posewire.limits import MAX_STREAMS
from posewire.protocol.control import from_plain, to_plain
from posewire.protocol.room_view import (
    Dropped,
    GrantsChanged,
    HostChanged,
    Joined,
    Left,
    Rekeyed,
    Returned,
    Role,
    RoomSnapshot,
    RoomStatus,
    StreamOpened,
)
from posewire.rooms import RoomState
from posewire.rooms.command import (
    Ban,
    Close,
    Command,
    Drop,
    Join,
    Kick,
    Leave,
    Lock,
    OpenStream,
    Rekey,
    Return,
    SetGrants,
    SetRole,
    SetStatus,
    Unban,
)


def over_the_wire(message: Any) -> Any:
    return from_plain(msgpack.unpackb(msgpack.packb(to_plain(message))), type(message), what="message")


def room(*user_ids: str, capacity: int = 8) -> RoomState:
    state = RoomState("studio", capacity=capacity, now=0.0)
    for index, user_id in enumerate(user_ids):
        state.apply(Join(user_id=user_id), now=float(index))
    return state


def host(state: RoomState) -> str:
    return next(member.id for member in state.members.values() if member.role == "host")


def test_an_empty_room() -> None:
    state = RoomState("studio", capacity=3, now=5.0)
    assert state.snapshot() == RoomSnapshot(
        room="studio", version=0, created_time=5.0, last_active=5.0, capacity=3, members=[], streams=[]
    )
    assert state.status() == RoomStatus(room_id="studio", member_count=0, created_time=5.0, last_active=5.0)


@pytest.mark.parametrize("role", ["host", "member"])
def test_the_first_is_host_whatever_it_asks_for_and_nobody_else(role: Role) -> None:
    state = room()
    (first,) = state.apply(Join(user_id="alice", role=role), now=1.0)
    (second,) = state.apply(Join(user_id="bob", role=role), now=2.0)
    assert isinstance(first, Joined)
    assert isinstance(second, Joined)
    assert (first.member.role, second.member.role) == ("host", "member")


def test_what_is_known_of_a_member() -> None:
    state = room()
    state.apply(Join(user_id="alice", publish=False, subscribe=False), now=7.0)
    alice = state.members["alice"]
    assert (alice.join_time, alice.last_active, alice.publish, alice.subscribe) == (7.0, 7.0, False, False)
    assert state.last_active == 7.0


def test_a_full_room() -> None:
    state = room("alice", "bob", capacity=2)
    with pytest.raises(RoomFullError) as caught:
        state.apply(Join(user_id="carol"), now=3.0)
    assert (caught.value.room_id, caught.value.capacity) == ("studio", 2)
    state.apply(Leave(user_id="bob"), now=4.0)
    state.apply(Join(user_id="carol"), now=5.0)
    assert list(state.members) == ["alice", "carol"]


def test_twice_in_one_room() -> None:
    state = room("alice", capacity=1)
    with pytest.raises(RoomError, match="alice is in this room already") as caught:
        state.apply(Join(user_id="alice"), now=3.0)
    assert not isinstance(caught.value, RoomFullError)


def test_the_oldest_member_inherits() -> None:
    state = room("alice", "bob", "carol")
    changes = state.apply(Leave(user_id="alice", reason="kicked"), now=9.0)
    assert changes == [Left(user_id="alice", reason="kicked"), HostChanged(user_id="bob")]
    assert host(state) == "bob"
    assert state.members["bob"].join_time == 1.0
    # Nobody else's going changes that.
    assert state.apply(Leave(user_id="carol"), now=10.0) == [Left(user_id="carol", reason="left")]
    # She is a member now, however early she was once.
    state.apply(Join(user_id="alice"), now=11.0)
    assert host(state) == "bob"


def test_of_two_that_came_at_one_moment_the_lower_number_inherits() -> None:
    state = RoomState("studio", capacity=8, now=0.0)
    for user_id in ("zoe", "yan", "xia"):
        state.apply(Join(user_id=user_id), now=1.0)
    state.apply(Leave(user_id="zoe"), now=2.0)
    assert host(state) == "yan"


def test_the_last_one_leaves_nobody_behind() -> None:
    state = room("alice")
    assert state.apply(Leave(user_id="alice"), now=1.0) == [Left(user_id="alice", reason="left")]
    assert (state.members, state.streams, state.version) == ({}, {}, 2)


@pytest.mark.parametrize(
    "command",
    [
        Leave(user_id="eve"),
        OpenStream(user_id="eve", kind="pose", name="pose"),
        Drop(user_id="eve"),
        Return(user_id="eve"),
        Rekey(user_id="eve", salt=bytes(16), key_id=bytes(8)),
        Kick(user_id="eve"),
        SetRole(user_id="eve", role="host"),
        SetGrants(user_id="eve", publish=False),
        SetStatus(user_id="eve", status="away", by="eve"),
        Kick(user_id="alice", by="eve"),
        Lock(locked=True, by="eve"),
        Unban(user_id="alice", by=""),
    ],
)
def test_a_stranger(command: Command) -> None:
    state = room("alice")
    with pytest.raises(RoomError, match="is not in this room"):
        state.apply(command, now=1.0)
    assert (state.version, state.locked) == (1, False)


def test_who_may_not_publish_opens_no_stream() -> None:
    state = room()
    state.apply(Join(user_id="alice", publish=False), now=0.0)
    with pytest.raises(RoomError, match="alice may not publish here"):
        state.apply(OpenStream(user_id="alice", kind="pose", name="pose"), now=1.0)
    assert (state.version, state.last_active) == (1, 0.0)


def test_streams() -> None:
    state = room("alice", "bob")
    (opened,) = state.apply(OpenStream(user_id="alice", kind="pose", name="pose"), now=2.0)
    assert isinstance(opened, StreamOpened)
    # 0 is every member's stream of events.
    assert (opened.stream.number, opened.stream.member) == (1, state.members["alice"].number)
    assert state.apply(OpenStream(user_id="alice", kind="pose", name="pose"), now=3.0) == []
    assert state.version == 3
    state.apply(OpenStream(user_id="alice", kind="audio", name="pose"), now=4.0)
    state.apply(OpenStream(user_id="bob", kind="pose", name="pose"), now=5.0)
    assert state.stream_number("alice", "pose", "pose") == 1
    assert state.stream_number("alice", "audio", "pose") == 2
    assert state.stream_number("bob", "pose", "pose") == 1
    assert state.stream_number("bob", "audio", "pose") is None
    state.apply(Leave(user_id="alice"), now=6.0)
    assert state.stream_number("alice", "pose", "pose") is None
    assert [stream.user_id for stream in state.streams.values()] == ["bob"]


def test_as_many_streams_as_one_may_have() -> None:
    state = room("alice", "bob")
    for index in range(MAX_STREAMS):
        state.apply(OpenStream(user_id="alice", kind="pose", name=f"{index}"), now=2.0)
    version = state.version
    with pytest.raises(ResourceLimitError, match=f"{MAX_STREAMS} streams"):
        state.apply(OpenStream(user_id="alice", kind="pose", name="one more"), now=3.0)
    assert state.version == version
    assert state.apply(OpenStream(user_id="alice", kind="pose", name="0"), now=4.0) == []
    assert state.apply(OpenStream(user_id="bob", kind="pose", name="0"), now=5.0)


def test_a_number_is_not_given_again_at_once() -> None:
    # Packets of one who just left must not be taken for a newcomer's.
    state = room("alice", "bob")
    state.apply(Leave(user_id="bob"), now=2.0)
    state.apply(Join(user_id="carol"), now=3.0)
    assert state.members["carol"].number == 3


def test_numbers_start_over_and_skip_who_is_in(monkeypatch: pytest.MonkeyPatch) -> None:
    # Three numbers instead of 65,535.
    monkeypatch.setattr("posewire.rooms.room_state._MAX_NUMBER", 3)
    state = room("alice")
    given = []
    for user_id in ("bob", "carol", "dave", "erin"):
        state.apply(Join(user_id=user_id), now=1.0)
        given.append(state.members[user_id].number)
        state.apply(Leave(user_id=user_id), now=1.0)
    assert given == [2, 3, 2, 3]


def test_a_mirror_from_a_snapshot_is_the_same_room() -> None:
    state = room("alice", "bob")
    state.apply(OpenStream(user_id="bob", kind="audio", name="voice"), now=8.0)
    state.apply(Leave(user_id="alice"), now=9.0)
    mirror = RoomState.from_snapshot(over_the_wire(state.snapshot()))
    assert mirror.snapshot() == state.snapshot()
    assert mirror.status() == state.status()


def test_a_snapshot_does_not_change_with_the_room() -> None:
    state = room("alice")
    snapshot = state.snapshot()
    state.apply(Join(user_id="bob"), now=2.0)
    state.apply(OpenStream(user_id="bob", kind="audio", name="voice"), now=3.0)
    assert (len(snapshot.members), snapshot.streams, snapshot.version) == (1, [], 1)


# Who is over whom ----------------------------------------------------------------------------------------------------


def test_a_moderator_is_over_those_who_are_neither_host_nor_moderators() -> None:
    state = room("host", "mod", "bob", "other")
    state.apply(SetGrants(user_id="mod", moderate=True, by="host"), now=5.0)
    state.apply(SetGrants(user_id="other", moderate=True, by="host"), now=5.0)
    for victim in ("host", "other"):
        for command in (
            Kick(user_id=victim, by="mod"),
            Ban(user_id=victim, until=99.0, by="mod"),
            SetGrants(user_id=victim, publish=False, by="mod"),
            SetStatus(user_id=victim, status="silly", by="mod"),
        ):
            with pytest.raises(RoomError, match=f"mod is a moderator, which is not over {victim}"):
                state.apply(command, now=6.0)
    with pytest.raises(RoomError, match="mod cannot do that to itself"):
        state.apply(Kick(user_id="mod", by="mod"), now=6.0)
    for not_for_moderators in (Lock(locked=True, by="mod"), SetGrants(user_id="bob", moderate=True, by="mod")):
        with pytest.raises(RoomError, match="mod is not the host"):
            state.apply(not_for_moderators, now=6.0)
    assert state.apply(SetStatus(user_id="bob", status="afk", by="mod"), now=7.0)
    assert state.apply(Kick(user_id="bob", by="mod", reason="noise"), now=7.0) == [
        Left(user_id="bob", reason="kicked: noise", by="mod")
    ]
    assert state.apply(Kick(user_id="mod", by="host"), now=8.0) == [Left(user_id="mod", reason="kicked", by="host")]


def test_a_host_by_time_is_not_over_one_by_right() -> None:
    state = room("first")
    state.apply(Join(user_id="owner", owner=True, role="member"), now=1.0)
    assert host(state) == "first"
    for command in (Kick(user_id="owner", by="first"), SetGrants(user_id="owner", publish=False, by="first")):
        with pytest.raises(RoomError, match="the token of owner says host, that of first does not"):
            state.apply(command, now=2.0)


def test_a_host_by_time_does_not_mute_one_by_right_by_naming_moderating_too() -> None:
    state = room("first")
    state.apply(Join(user_id="owner", owner=True, moderate=True), now=1.0)
    with pytest.raises(RoomError, match="the token of owner says host"):
        state.apply(SetGrants(user_id="owner", publish=False, moderate=False, by="first"), now=2.0)


def test_who_is_muted_by_the_server_does_not_unmute_itself() -> None:
    state = room("first")
    state.apply(SetGrants(user_id="first", publish=False), now=1.0)
    with pytest.raises(RoomError):
        state.apply(SetGrants(user_id="first", publish=True, moderate=True, by="first"), now=2.0)


# Host ----------------------------------------------------------------------------------------------------------------


def test_one_by_right_takes_over_from_one_by_time_and_from_nobody_else() -> None:
    state = room("first", "second")
    changes = state.apply(Join(user_id="owner", owner=True, role="host"), now=2.0)
    assert changes[1:] == [HostChanged(user_id="owner")]
    state.apply(Join(user_id="other", owner=True, role="host"), now=3.0)
    assert host(state) == "owner"
    state.apply(SetRole(user_id="second", role="host", by="owner"), now=4.0)
    state.apply(Join(user_id="third", owner=True, role="host"), now=5.0)
    assert host(state) == "second", "who was made host by one who may is no host by time"


def test_who_asks_for_less_or_whose_token_says_less_does_not_take_over() -> None:
    state = room("first")
    state.apply(Join(user_id="modest", owner=True, role="member"), now=1.0)
    state.apply(Join(user_id="eager", owner=False, role="host"), now=2.0)
    assert host(state) == "first"


def test_who_was_made_host_once_and_is_it_by_time_now_gives_way_to_one_by_right() -> None:
    state = room("first", "second", "third")
    state.apply(SetRole(user_id="second", role="host", by="first"), now=3.0)
    state.apply(Leave(user_id="second"), now=4.0)
    state.apply(Join(user_id="second"), now=5.0)
    for user_id in ("first", "third"):
        state.apply(Leave(user_id=user_id), now=6.0)
    assert host(state) == "second"
    state.apply(Join(user_id="owner", owner=True, role="host"), now=7.0)
    assert host(state) == "owner"


def test_the_heir_is_there_then_by_right_then_oldest() -> None:
    state = room("host", "old", "away")
    state.apply(Join(user_id="owner", owner=True, role="member"), now=5.0)
    state.apply(Drop(user_id="away"), now=6.0)
    assert state.apply(Leave(user_id="host"), now=7.0)[1:] == [HostChanged(user_id="owner")]
    assert state.apply(Kick(user_id="owner"), now=8.0)[1:] == [HostChanged(user_id="old")]
    assert state.apply(Ban(user_id="old", until=99.0), now=9.0)[1:] == [HostChanged(user_id="away")]


def test_giving_it_up_hands_it_to_the_next_in_line() -> None:
    state = room("alice", "bob", "carol")
    assert state.apply(SetRole(user_id="alice", role="member", by="alice"), now=5.0) == [HostChanged(user_id="bob")]
    assert state.apply(SetRole(user_id="alice", role="member", by="bob"), now=6.0) == []
    with pytest.raises(RoomError, match="alice is not the host"):
        state.apply(SetRole(user_id="alice", role="host", by="alice"), now=7.0)
    alone = room("zoe")
    with pytest.raises(RoomError, match="zoe is alone here"):
        alone.apply(SetRole(user_id="zoe", role="member"), now=1.0)


# Kept out ------------------------------------------------------------------------------------------------------------


def test_a_ban_lasts_as_long_as_it_says() -> None:
    state = room("alice", "eve")
    assert state.apply(Ban(user_id="eve", until=10.0, by="alice", reason="noise"), now=2.0) == [
        Left(user_id="eve", reason="banned: noise", by="alice")
    ]
    for replaces in (False, True):
        with pytest.raises(RoomError, match="eve is banned for another 1 s"):
            state.apply(Join(user_id="eve", replaces=replaces), now=9.0)
    state.apply(Join(user_id="eve"), now=10.0)
    assert state.apply(Ban(user_id="mallory", until=20.0, by="alice"), now=11.0) == [], "who is not in is banned too"
    state.apply(Unban(user_id="mallory", by="alice"), now=12.0)
    state.apply(Unban(user_id="mallory", by="alice"), now=12.0)
    state.apply(Join(user_id="mallory"), now=13.0)


def test_as_many_bans_as_a_room_may_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("posewire.rooms.room_state._MAX_DECISIONS", 2)
    state = room("alice")
    for index in range(2):
        state.apply(Ban(user_id=f"eve{index}", until=10.0), now=1.0)
    with pytest.raises(ResourceLimitError, match="2 users are banned"):
        state.apply(Ban(user_id="eve2", until=10.0), now=2.0)
    state.apply(Ban(user_id="eve1", until=20.0), now=3.0)
    state.apply(Ban(user_id="eve2", until=20.0), now=10.0)
    assert set(state.bans) == {"eve1", "eve2"}


def test_a_locked_room_keeps_those_who_are_in() -> None:
    state = room("alice", "bob")
    state.apply(Lock(locked=True, by="alice"), now=2.0)
    with pytest.raises(RoomError, match="the room is locked"):
        state.apply(Join(user_id="carol"), now=3.0)
    state.apply(Drop(user_id="bob"), now=4.0)
    assert state.apply(Return(user_id="bob"), now=5.0) == [Returned(user_id="bob")]
    assert state.apply(Join(user_id="bob", replaces=True), now=6.0)
    state.apply(Lock(locked=False, by="alice"), now=7.0)
    state.apply(Join(user_id="carol"), now=8.0)


# Grants --------------------------------------------------------------------------------------------------------------


def test_a_token_is_a_limit_and_a_decision_holds() -> None:
    state = room("alice")
    state.apply(Join(user_id="bob", publish=False, moderate=True), now=1.0)
    with pytest.raises(RoomError, match="the token of bob does not let it publish"):
        state.apply(SetGrants(user_id="bob", publish=True, by="alice"), now=2.0)
    (change,) = state.apply(SetGrants(user_id="bob", subscribe=False, moderate=False, by="alice"), now=3.0)
    silent = GrantsChanged(user_id="bob", publish=False, subscribe=False, moderate=False)
    assert change == silent
    assert state.apply(SetGrants(user_id="bob", subscribe=False, by="alice"), now=4.0) == []
    state.apply(Leave(user_id="bob"), now=5.0)
    state.apply(Join(user_id="bob", moderate=True), now=6.0)
    bob = state.members["bob"]
    assert (bob.publish, bob.subscribe, bob.moderate) == (True, False, False), "the newer token lets it publish"
    assert state.apply(Return(user_id="bob", publish=False, moderate=True), now=7.0) == [silent]
    with pytest.raises(RoomError, match="does not let it publish"):
        state.apply(SetGrants(user_id="bob", publish=True, by="alice"), now=8.0)


def test_as_many_decisions_as_a_room_remembers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("posewire.rooms.room_state._MAX_DECISIONS", 1)
    state = room("alice", "bob", "carol")
    state.apply(SetGrants(user_id="bob", publish=False, by="alice"), now=3.0)
    with pytest.raises(ResourceLimitError, match="the grants of 1 users were changed"):
        state.apply(SetGrants(user_id="carol", publish=False, by="alice"), now=4.0)
    state.apply(SetGrants(user_id="bob", publish=True, by="alice"), now=5.0)
    assert state.members["carol"].publish
    assert state.members["bob"].publish


# Away, and gone ------------------------------------------------------------------------------------------------------


def test_a_dropped_member_keeps_all_it_has() -> None:
    state = room("alice", "bob", capacity=2)
    state.apply(OpenStream(user_id="alice", kind="pose", name="pose"), now=2.0)
    before = state.members["alice"]
    assert state.apply(Drop(user_id="alice"), now=3.0) == [Dropped(user_id="alice")]
    assert state.apply(Drop(user_id="alice"), now=3.0) == []
    with pytest.raises(RoomFullError):
        state.apply(Join(user_id="carol"), now=4.0)
    assert state.apply(Return(user_id="alice"), now=5.0) == [Returned(user_id="alice")]
    assert state.members["alice"] == before
    assert state.stream_number("alice", "pose", "pose") == 1
    assert state.apply(Return(user_id="alice"), now=6.0) == []


def test_another_key_in_the_same_seat() -> None:
    state = room("alice")
    (change,) = state.apply(Rekey(user_id="alice", salt=b"s" * 16, key_id=b"k" * 8), now=1.0)
    assert change == Rekeyed(user_id="alice", salt=b"s" * 16, key_id=b"k" * 8)
    alice = state.members["alice"]
    assert (alice.salt, alice.key_id, alice.number) == (b"s" * 16, b"k" * 8, 1)
    assert state.member(1) is alice


def test_a_closed_room_is_empty() -> None:
    state = room("alice", "bob")
    state.apply(OpenStream(user_id="bob", kind="pose", name="pose"), now=2.0)
    state.apply(Close(reason="idle"), now=3.0)
    assert (state.members, state.streams, state.member(1), state.version) == ({}, {}, None, 4)
