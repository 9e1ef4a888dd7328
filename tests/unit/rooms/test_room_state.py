"""The rules of a room, as a state machine with mirrors, and one by one."""

from __future__ import annotations

from typing import Any

import msgpack
import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from posewire.errors import PosewireError, ResourceLimitError, RoomError, RoomFullError
from posewire.limits import MAX_STREAMS
from posewire.protocol.control import (
    HostChanged,
    Joined,
    Left,
    Role,
    RoomSnapshot,
    RoomStatus,
    RoomUpdate,
    StreamKind,
    StreamOpened,
    from_plain,
    to_plain,
)
from posewire.rooms import RoomState
from posewire.rooms.room_state import Command, Join, Leave, OpenStream

users = st.sampled_from("abcdef")


def shared(state: RoomState) -> RoomSnapshot:
    """What server and mirrors must agree on; ``last_active`` is the server's own business."""
    return msgspec.structs.replace(state.snapshot(), last_active=0.0)


def over_the_wire(message: Any) -> Any:
    return from_plain(msgpack.unpackb(msgpack.packb(to_plain(message))), type(message), what="message")


class RoomStateMachine(RuleBasedStateMachine):
    """A server that is told commands, and mirrors that are told what changed, as clients are."""

    @initialize(capacity=st.integers(1, 5))
    def create(self, capacity: int) -> None:
        self.now = 1000.0
        self.server = RoomState("studio", capacity=capacity, now=self.now)
        # One from the beginning, which has seen everything.
        self.mirrors = [RoomState("studio", capacity=capacity, now=self.now)]

    def command(self, command: Command) -> None:
        self.now += 1
        before, number = self.server.snapshot(), self.server.version
        try:
            changes = self.server.apply(command, now=self.now)
        except PosewireError:
            assert self.server.snapshot() == before
            return
        assert self.server.version == number + len(changes)
        for change in changes:
            number += 1
            update = over_the_wire(RoomUpdate(room="studio", version=number, change=change))
            for mirror in self.mirrors:
                mirror.absorb(update.change)
                assert mirror.version == update.version

    @rule(user=users, role=st.sampled_from(("host", "member")), publish=st.booleans(), subscribe=st.booleans())
    def join(self, user: str, role: Role, publish: bool, subscribe: bool) -> None:
        self.command(Join(user_id=user, role=role, publish=publish, subscribe=subscribe))

    @rule(user=users)
    def leave(self, user: str) -> None:
        self.command(Leave(user_id=user))

    @rule(user=users, kind=st.sampled_from(("pose", "audio")), name=st.sampled_from("xy"))
    def open_stream(self, user: str, kind: StreamKind, name: str) -> None:
        self.command(OpenStream(user_id=user, kind=kind, name=name))

    @rule()
    def somebody_takes_a_snapshot(self) -> None:
        # Bounded, and never the one from the beginning.
        self.mirrors[4:] = []
        self.mirrors.insert(1, RoomState.from_snapshot(over_the_wire(self.server.snapshot())))

    @invariant()
    def no_more_members_than_seats(self) -> None:
        assert len(self.server.members) <= self.server.capacity

    @invariant()
    def one_host_while_anybody_is_in(self) -> None:
        roles = [member.role for member in self.server.members.values()]
        assert roles.count("host") == bool(roles)

    @invariant()
    def numbers_are_unique_and_find_their_member(self) -> None:
        members = self.server.members
        assert len({member.number for member in members.values()}) == len(members)
        for user_id, member in members.items():
            assert member.id == user_id
            assert 0 < member.number <= 0xFFFF
            assert self.server.member(member.number) is member
        assert self.server.member(0) is None

    @invariant()
    def streams_belong_to_members_who_may_publish(self) -> None:
        seen = set()
        for (number, stream_number), stream in self.server.streams.items():
            owner = self.server.members[stream.user_id]
            assert owner.publish
            assert (stream.member, stream.number) == (number, stream_number) == (owner.number, stream.number)
            assert 0 < stream.number < 256
            assert self.server.stream_number(stream.user_id, stream.kind, stream.name) == stream.number
            seen.add((stream.user_id, stream.kind, stream.name))
        assert len(seen) == len(self.server.streams)

    @invariant()
    def mirrors_show_what_there_is(self) -> None:
        for mirror in self.mirrors:
            assert shared(mirror) == shared(self.server)
            assert {number: mirror.member(number) for number in range(1, 40)} == {
                number: self.server.member(number) for number in range(1, 40)
            }

    @invariant()
    def its_status_is_true(self) -> None:
        status = self.server.status()
        assert status.member_count == len(self.server.members)
        assert (status.room_id, status.created_time) == ("studio", 1000.0)
        assert 1000.0 <= status.last_active <= self.now


TestRoomStateAndMirrors = RoomStateMachine.TestCase
TestRoomStateAndMirrors.settings = settings(max_examples=80, stateful_step_count=40)


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


@pytest.mark.parametrize("command", [Leave(user_id="eve"), OpenStream(user_id="eve", kind="pose", name="pose")])
def test_a_stranger(command: Command) -> None:
    state = room("alice")
    with pytest.raises(RoomError, match="eve is not in this room"):
        state.apply(command, now=1.0)


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
