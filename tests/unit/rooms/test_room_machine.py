"""The rules of a room as a state machine: every command, asked by everybody, with mirrors and a model of the rights."""

from __future__ import annotations

from typing import Any

import msgpack
import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from posewire.errors import PosewireError, RoomError
from posewire.protocol.control import from_plain, to_plain
from posewire.protocol.room_view import (
    Change,
    GrantsChanged,
    HostChanged,
    Left,
    LockChanged,
    Role,
    RoomMember,
    RoomSnapshot,
    RoomUpdate,
    StatusChanged,
    StreamKind,
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
from posewire.rooms.presence import Presence, differences, presence_of

USERS = "abcdef"
indices = st.integers(0, 59)
"""Stand for somebody: see `RoomMachine.who` and `RoomMachine.asker`."""
grants = st.sampled_from((None, False, None, True))
roles = st.sampled_from(("host", "member"))
Rights = tuple[bool, bool, bool, bool]
"""To publish, subscribe and moderate, and whether the token says host."""


def shared(state: RoomState) -> RoomSnapshot:
    """What server and mirrors must agree on; ``last_active`` is the server's own business."""
    return msgspec.structs.replace(state.snapshot(), last_active=0.0)


def everything(state: RoomState) -> dict[str, Any]:
    """All that a room knows, what only the server does too: nothing of it may be changed by a refused command."""
    return {name: dict(value) if isinstance(value, dict) else value for name, value in vars(state).items()}


def over_the_wire(message: Any) -> Any:
    return from_plain(msgpack.unpackb(msgpack.packb(to_plain(message))), type(message), what="message")


class Naive:
    """Somebody who knows of a room only what its presence feed tells."""

    def __init__(self, state: RoomState) -> None:
        self.view = RoomState.from_snapshot(state.snapshot())
        self.names = set(state.members)
        self.away = {member.id for member in state.members.values() if not member.present}
        self.host = next((member.id for member in state.members.values() if member.role == "host"), None)
        self.said = {member.id: member.status for member in state.members.values()}
        self.rights = {member.id: rights_of(member) for member in state.members.values()}
        self.locked = state.locked

    def hear(self, change: Change) -> None:
        before = self.view.members.get(change.user_id) if isinstance(change, Left) else None
        self.view.absorb(change)
        if (presence := presence_of(change, before, self.view)) is not None:
            self.take(presence)

    def catch_up(self, snapshot: RoomSnapshot) -> None:
        state = RoomState.from_snapshot(snapshot)
        for presence in differences(self.view, state):
            self.take(presence)
        self.view = state

    def take(self, presence: Presence) -> None:
        name, member = presence.user_id, presence.member
        assert presence.room_id == "studio"
        assert (member is None) == (presence.kind in ("locked", "unlocked", "closed"))
        assert member is None or member.id == name
        match presence.kind:
            case "joined":
                assert member is not None
                assert name not in self.names, "joined twice"
                self.names.add(name)
                self.said[name], self.rights[name] = member.status, rights_of(member)
                if not member.present:
                    self.away.add(name)
                if member.role == "host":
                    self.host = name
            case "left":
                self.names.remove(name)
                self.away.discard(name)
            case "dropped":
                assert name not in self.away
                self.away.add(name)
            case "returned":
                self.away.remove(name)
            case "host":
                self.host = name
            case "grants":
                assert member is not None
                assert self.rights[name] != rights_of(member), "nothing new"
                self.rights[name] = rights_of(member)
            case "status":
                assert member is not None
                assert self.said[name] != member.status, "nothing new"
                self.said[name] = member.status
            case "locked" | "unlocked":
                assert self.locked != (presence.kind == "locked"), "nothing new"
                self.locked = presence.kind == "locked"
            case "closed":
                self.names.clear()
                self.away.clear()

    def check(self, server: RoomState) -> None:
        members = server.members
        assert self.names == set(members)
        assert self.away == {name for name, member in members.items() if not member.present}
        assert {name: self.said[name] for name in members} == {name: m.status for name, m in members.items()}
        assert {name: self.rights[name] for name in members} == {name: rights_of(m) for name, m in members.items()}
        assert self.locked == server.locked
        if members:
            assert self.host is not None
            assert members[self.host].role == "host"


def rights_of(member: RoomMember) -> Rights:
    return member.publish, member.subscribe, member.moderate, member.owner


class RoomMachine(RuleBasedStateMachine):
    """A server that is told every command by everybody; mirrors, feeds, and what the rights must be."""

    @initialize(capacity=st.integers(1, 6))
    def create(self, capacity: int) -> None:
        self.now = 1000.0
        self.server = RoomState("studio", capacity=capacity, now=self.now)
        self.mirrors = [RoomState("studio", capacity=capacity, now=self.now)]
        self.feed = Naive(self.server)
        self.late_feed = Naive(self.server)
        self.decided: dict[str, list[bool | None]] = {user: [None, None, None] for user in USERS}
        self.tokens: dict[str, Rights] = {}
        self.banned: dict[str, float] = {}

    # Somebody: commands about nobody, asked by nobody who may, are seldom interesting --------------------------------

    def fill(self, index: int) -> None:
        """Let some in, with tokens that differ: Hypothesis likes to leave rules out, the one of joining as well."""
        for number in range(self.server.capacity):
            bits = index * 7 + number
            publish, subscribe, moderate = bits % 4 > 0, bits % 5 > 0, bits % 3 == 0
            token = Join(
                user_id=USERS[number], publish=publish, subscribe=subscribe, moderate=moderate, owner=bits % 7 == 0
            )
            if self.command(token) is not None:
                self.tokens[token.user_id] = (publish, subscribe, moderate, token.owner)

    def who(self, index: int, *, newcomer: bool = False) -> str:
        if not newcomer and len(self.server.members) < min(2, self.server.capacity):
            self.fill(index)
        there = list(self.server.members)
        often = [user for user in USERS if user not in there] if newcomer else there
        pool: list[str] = [*often, *often, *often, *USERS]
        return pool[index % len(pool)]

    def asker(self, index: int) -> str | None:
        over = [member.id for member in self.server.members.values() if member.role == "host" or member.moderate]
        pool: list[str | None] = [None, *(over * 6), *self.server.members, None, *USERS, "stranger", ""]
        return pool[index % len(pool)]

    # Carrying out ----------------------------------------------------------------------------------------------------

    def command(self, command: Command) -> list[Change] | None:
        """Carry a command out; None when it was refused."""
        self.now += 1
        members, known, number = dict(self.server.members), everything(self.server), self.server.version
        try:
            changes = self.server.apply(command, now=self.now)
        except PosewireError:
            assert everything(self.server) == known, "a refused command changed something"
            return None
        assert self.server.version == number + len(changes)
        assert self.server.last_active == self.now
        for change in changes:
            number += 1
            update = over_the_wire(RoomUpdate(room="studio", version=number, change=change))
            assert type(update.change) is type(change)
            for mirror in self.mirrors:
                mirror.absorb(update.change)
                assert mirror.version == update.version
                assert sum(member.role == "host" for member in mirror.members.values()) <= 1
            self.feed.hear(update.change)
        self.check_may(command, members, changes)
        return changes

    def check_may(self, command: Command, before: dict[str, RoomMember], changes: list[Change]) -> None:
        """What was carried out was asked by somebody who may, of somebody he is over."""
        by = getattr(command, "by", None)
        if isinstance(command, Join | Leave | Drop | Return | Rekey | OpenStream | Close) or by is None:
            return
        assert by in before, "who is not in the room decides nothing there"
        asking, other = before[by], before.get(command.user_id) if not isinstance(command, Lock) else None
        if isinstance(command, SetStatus) and command.user_id == by:
            return
        if isinstance(command, Lock | SetRole) or (isinstance(command, SetGrants) and command.moderate is not None):
            assert asking.role == "host"
            return
        assert asking.role == "host" or asking.moderate
        if isinstance(command, Unban) or other is None:
            return
        assert other is not asking
        assert asking.owner or not other.owner
        assert asking.role == "host" or (other.role == "member" and not other.moderate)
        assert all(change.by == by for change in changes if isinstance(change, Left))

    # Coming and going ------------------------------------------------------------------------------------------------

    @rule(
        user_index=indices,
        role=roles,
        publish=st.booleans(),
        subscribe=st.booleans(),
        moderate=st.booleans(),
        owner=st.booleans(),
        replaces=st.booleans(),
    )
    def join(
        self, user_index: int, role: Role, publish: bool, subscribe: bool, moderate: bool, owner: bool, replaces: bool
    ) -> None:
        user = self.who(user_index, newcomer=True)
        was, locked, members = self.server.members.get(user), self.server.locked, len(self.server.members)
        command = Join(
            user_id=user,
            role=role,
            publish=publish,
            subscribe=subscribe,
            moderate=moderate,
            owner=owner,
            replaces=replaces,
        )
        banned = self.banned.get(user, 0.0) > self.now + 1
        if (changes := self.command(command)) is None:
            refused = banned or (locked and members) or members >= self.server.capacity
            assert (was is not None and not replaces) if was is not None else refused, "refused for no reason"
            return
        self.tokens[user] = (publish, subscribe, moderate, owner)
        member = self.server.members[user]
        assert (member.present, member.status, member.owner) == (True, "", owner)
        took_over = any(isinstance(change, HostChanged) for change in changes)
        if took_over:
            assert owner
            assert role == "host"
        if was is not None:
            assert replaces
            assert member.number != was.number
            assert member.role == ("host" if took_over else was.role), "who takes its own place keeps its role"
            return
        assert not banned
        assert members < self.server.capacity
        assert not (locked and members)

    @rule(user_index=indices)
    def leave(self, user_index: int) -> None:
        user = self.who(user_index)
        if self.command(Leave(user_id=user, reason="bored")) is not None:
            assert user not in self.server.members

    @rule(user_index=indices)
    def drop(self, user_index: int) -> None:
        user = self.who(user_index)
        there = user in self.server.members
        assert (self.command(Drop(user_id=user)) is not None) == there
        assert not there or not self.server.members[user].present

    @rule(
        user_index=indices,
        publish=st.booleans(),
        subscribe=st.booleans(),
        moderate=st.booleans(),
        owner=st.booleans(),
    )
    def come_back(self, user_index: int, publish: bool, subscribe: bool, moderate: bool, owner: bool) -> None:
        user = self.who(user_index)
        was = self.server.members.get(user)
        command = Return(user_id=user, publish=publish, subscribe=subscribe, moderate=moderate, owner=owner)
        if self.command(command) is None:
            assert was is None
            return
        assert was is not None
        self.tokens[user] = (publish, subscribe, moderate, owner)
        member = self.server.members[user]
        assert member.present
        assert (member.number, member.salt, member.role, member.join_time, member.status) == (
            was.number,
            was.salt,
            was.role,
            was.join_time,
            was.status,
        )

    @rule(user_index=indices, by_index=indices, reason=st.sampled_from(("", "noise")))
    def kick(self, user_index: int, by_index: int, reason: str) -> None:
        user = self.who(user_index)
        by = self.asker(by_index)
        changes = self.command(Kick(user_id=user, by=by, reason=reason))
        if changes is not None:
            assert changes[0] == Left(user_id=user, reason=f"kicked: {reason}" if reason else "kicked", by=by)

    @rule(user_index=indices, by_index=indices, seconds=st.sampled_from((0.5, 3.0, 20.0)))
    def ban(self, user_index: int, by_index: int, seconds: float) -> None:
        user = self.who(user_index)
        by = self.asker(by_index)
        until = self.now + 1 + seconds
        if self.command(Ban(user_id=user, until=until, by=by)) is not None:
            self.banned[user] = max(until, self.banned.get(user, 0.0))
            assert user not in self.server.members

    @rule(user_index=indices, by_index=indices)
    def unban(self, user_index: int, by_index: int) -> None:
        user = self.who(user_index)
        by = self.asker(by_index)
        changes = self.command(Unban(user_id=user, by=by))
        if changes is not None:
            assert changes == []
            self.banned.pop(user, None)
            assert user not in self.server.bans

    @rule(seconds=st.sampled_from((1.0, 30.0)))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    # Deciding --------------------------------------------------------------------------------------------------------

    @rule(locked=st.booleans(), by_index=indices)
    def lock(self, locked: bool, by_index: int) -> None:
        by = self.asker(by_index)
        was = self.server.locked
        changes = self.command(Lock(locked=locked, by=by))
        if changes is not None:
            assert changes == ([] if was == locked else [LockChanged(locked=locked)])

    @rule(user_index=indices, role=roles, by_index=indices)
    def set_role(self, user_index: int, role: Role, by_index: int) -> None:
        user = self.who(user_index)
        by = self.asker(by_index)
        if self.command(SetRole(user_id=user, role=role, by=by)) is not None:
            assert self.server.members[user].role == role

    @rule(user_index=indices, publish=grants, subscribe=grants, moderate=grants, by_index=indices)
    def set_grants(
        self, user_index: int, publish: bool | None, subscribe: bool | None, moderate: bool | None, by_index: int
    ) -> None:
        user = self.who(user_index)
        by = self.asker(by_index)
        command = SetGrants(user_id=user, publish=publish, subscribe=subscribe, moderate=moderate, by=by)
        changes = self.command(command)
        if changes is None:
            return
        for index, grant in enumerate((publish, subscribe, moderate)):
            if grant is not None:
                self.decided[user][index] = grant
                assert rights_of(self.server.members[user])[index] == grant, "it was done"
        assert all(isinstance(change, GrantsChanged) for change in changes)

    @rule(user_index=indices, status=st.sampled_from(("", "away")), by_index=indices)
    def set_status(self, user_index: int, status: str, by_index: int) -> None:
        user = self.who(user_index)
        by = self.asker(by_index)
        changes = self.command(SetStatus(user_id=user, status=status, by=by))
        if changes is not None:
            assert self.server.members[user].status == status
            assert all(isinstance(change, StatusChanged) for change in changes)

    @rule(user_index=indices, salt=st.sampled_from((bytes(16), b"x" * 16)))
    def rekey(self, user_index: int, salt: bytes) -> None:
        user = self.who(user_index)
        if self.command(Rekey(user_id=user, salt=salt, key_id=salt[:8])) is not None:
            assert self.server.members[user].salt == salt

    @rule(user_index=indices, kind=st.sampled_from(("pose", "audio")), name=st.sampled_from("xy"))
    def open_stream(self, user_index: int, kind: StreamKind, name: str) -> None:
        user = self.who(user_index)
        member = self.server.members.get(user)
        done = self.command(OpenStream(user_id=user, kind=kind, name=name)) is not None
        assert done == (member is not None and member.publish)

    @precondition(lambda self: len(self.server.members) > 2)
    @rule()
    def close(self) -> None:
        self.command(Close(reason="nobody did anything"))
        assert not self.server.members

    # Watching --------------------------------------------------------------------------------------------------------

    @rule()
    def somebody_takes_a_snapshot(self) -> None:
        # Bounded, and never the one from the beginning.
        self.mirrors[4:] = []
        self.mirrors.insert(1, RoomState.from_snapshot(over_the_wire(self.server.snapshot())))

    @rule()
    def somebody_who_missed_it_catches_up(self) -> None:
        self.late_feed.catch_up(over_the_wire(self.server.snapshot()))
        self.late_feed.check(self.server)

    @invariant()
    def a_feed_tells_who_is_there(self) -> None:
        self.feed.check(self.server)

    @invariant()
    def no_more_members_than_seats(self) -> None:
        assert len(self.server.members) <= self.server.capacity

    @invariant()
    def one_host_while_anybody_is_in(self) -> None:
        roles = [member.role for member in self.server.members.values()]
        assert roles.count("host") == bool(roles)

    @invariant()
    def nobody_who_is_banned_is_in(self) -> None:
        assert not [user for user in self.server.members if self.banned.get(user, 0.0) > self.now]

    @invariant()
    def rights_are_what_the_token_says_and_the_room_has_decided(self) -> None:
        for user, member in self.server.members.items():
            publish, subscribe, moderate, owner = self.tokens[user]
            assert member.owner == owner
            decided = self.decided[user]
            assert member.publish == (publish and decided[0] is not False)
            assert member.subscribe == (subscribe and decided[1] is not False)
            assert member.moderate == (moderate if decided[2] is None else decided[2])

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
    def streams_belong_to_members(self) -> None:
        seen = set()
        for (number, stream_number), stream in self.server.streams.items():
            owner = self.server.members[stream.user_id]
            assert (stream.member, stream.number) == (number, stream_number) == (owner.number, stream.number)
            assert 0 < stream.number < 256
            assert self.server.stream_number(stream.user_id, stream.kind, stream.name) == stream.number
            seen.add((stream.user_id, stream.kind, stream.name))
        assert len(seen) == len(self.server.streams)

    @invariant()
    def mirrors_show_what_there_is(self) -> None:
        for mirror in self.mirrors:
            assert shared(mirror) == shared(self.server)
            for member in self.server.members.values():
                assert mirror.member(member.number) == member

    @invariant()
    def its_status_is_true(self) -> None:
        status = self.server.status()
        assert (status.member_count, status.is_locked) == (len(self.server.members), self.server.locked)
        assert (status.room_id, status.created_time) == ("studio", 1000.0)
        assert 1000.0 <= status.last_active <= self.now

    @invariant()
    def a_mere_member_can_do_nothing_to_others(self) -> None:
        """Tried on a copy, in every state: the machine's own rules would get there too seldom."""
        members = self.server.members.values()
        meek = [member for member in members if member.role == "member" and not member.moderate]
        others = [member for member in members if member not in meek[:1]]
        if not meek or not others:
            return
        by, other = meek[0].id, others[0].id
        known = everything(self.server)
        for command in (
            Kick(user_id=other, by=by),
            Ban(user_id=other, by=by, until=self.now + 9),
            Ban(user_id="stranger", by=by, until=self.now + 9),
            Unban(user_id="stranger", by=by),
            Lock(locked=not self.server.locked, by=by),
            SetRole(user_id=by, role="host", by=by),
            SetRole(user_id=other, role="member", by=by),
            SetGrants(user_id=other, publish=False, by=by),
            SetGrants(user_id=by, moderate=True, by=by),
            SetStatus(user_id=other, status="silly", by=by),
        ):
            try:
                self.server.apply(command, now=self.now)
            except RoomError:
                assert everything(self.server) == known
            else:
                raise AssertionError(f"carried out: {command}")


TestRoomOfManyMinds = RoomMachine.TestCase
TestRoomOfManyMinds.settings = settings(max_examples=120, stateful_step_count=50)
