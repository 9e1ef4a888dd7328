"""Who may have which seat: tokens that are used once, one chance for an answer that was lost, and nothing left over."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from posewire.config import ServerConfig
from posewire.errors import AuthError
from posewire.server import seat_keeper as seat_keeper_module
from posewire.server.fast_path import Outgoing
from posewire.server.seat import Seat
from posewire.server.seat_keeper import SeatKeeper
from tests.unit.server.house import Timers

UNKNOWN = "the server does not know this session (any more)"


class Caller:
    """A connection, as far as seats go."""

    def __init__(self, user_id: str = "alice", room_id: str | None = "studio") -> None:
        self.user_id = user_id
        self.room_id = room_id
        self.seat: Any = None


class Rig:
    """A keeper by a clock of its own."""

    def __init__(self, *, held_by_one: int = 2, **config: Any) -> None:
        self.time = 0.0
        self.timers = Timers(lambda: self.time)
        self.given_up: list[Any] = []
        self.keeper: Any = SeatKeeper(ServerConfig(**config), held_by_one=held_by_one, give_up=self.given_up.append)

    def wait(self, seconds: float) -> None:
        self.time += seconds
        self.timers.run()

    def session(self, user_id: str = "alice") -> tuple[Caller, str]:
        caller = Caller(user_id)
        return caller, self.keeper.begin(caller)

    def resume(self, token: str, user_id: str = "alice", received: int = 0) -> tuple[Caller, str]:
        """Come back with a token; returns the new connection, and the next token or why there is none."""
        caller = Caller(user_id, None)
        older = self.keeper.find(caller, token, received)
        if isinstance(older, str):
            return caller, older
        room_id = older.room_id
        seat, following = self.keeper.take_over(older, caller, token)
        caller.room_id, older.room_id = room_id, None
        assert caller.seat is seat
        assert older.seat is None
        return caller, following

    def empty(self) -> bool:
        return not self.keeper._by_token and not self.keeper._held and not len(self.keeper)


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Rig:
    return patched(monkeypatch, Rig())


def patched(monkeypatch: pytest.MonkeyPatch, rig: Rig) -> Rig:
    monkeypatch.setattr(seat_keeper_module, "asyncio", SimpleNamespace(get_running_loop=lambda: rig.timers))
    return rig


def test_a_server_that_holds_no_seats_gives_no_token() -> None:
    rig = Rig(resume_grace=0)
    caller, token = rig.session()
    assert (caller.seat, token) == (None, "")
    rig.keeper.arrived(caller)
    rig.keeper.release(caller)
    assert rig.empty()
    assert rig.resume("")[1] == UNKNOWN


def test_a_token_is_a_secret_and_another_one_each_time(rig: Rig) -> None:
    tokens = []
    _, token = rig.session()
    for _ in range(5):
        tokens.append(token)
        caller, token = rig.resume(token)
        rig.keeper.arrived(caller)
    assert len(set(tokens)) == 5
    assert all(40 <= len(each) <= 64 for each in tokens)


def test_it_is_used_once(rig: Rig) -> None:
    _, first = rig.session()
    caller, second = rig.resume(first)
    rig.keeper.arrived(caller)
    rig.keeper.arrived(caller)
    assert rig.resume(first)[1] == UNKNOWN
    assert rig.resume(second)[1] not in (UNKNOWN, first, second)


def test_the_one_before_is_good_while_the_answer_may_have_been_lost(rig: Rig) -> None:
    begun, first = rig.session()
    seat = begun.seat
    _, second = rig.resume(first)
    caller, third = rig.resume(first)
    assert caller.seat is seat
    assert third not in (UNKNOWN, first, second)
    rig.keeper.arrived(caller)
    assert rig.resume(first)[1] == UNKNOWN


def test_two_answers_in_a_row_may_be_lost(rig: Rig) -> None:
    """A link that flaps lets a request through and cuts its answer off, more than once."""
    begun, first = rig.session()
    seat = begun.seat
    for _ in range(4):
        caller, token = rig.resume(first)
        assert token != UNKNOWN
        assert caller.seat is seat


def test_a_token_that_never_came_may_be_forgotten_but_not_mixed_up(rig: Rig) -> None:
    _, first = rig.session()
    rig.resume(first)
    caller, _ = rig.resume(first)
    assert len(rig.keeper._by_token) <= 2, "only what can still be asked with"
    assert set(rig.keeper._by_token.values()) == {caller}


def test_a_session_that_begins_twice_keeps_its_seat(rig: Rig) -> None:
    caller, first = rig.session()
    seat = caller.seat
    second = rig.keeper.begin(caller)
    assert caller.seat is seat
    assert second != first
    assert set(rig.keeper._by_token) == {first, second}


def test_whose_session_it_is(rig: Rig) -> None:
    caller, token = rig.session()
    assert rig.resume(token, "mallory")[1] == "the session is another user's"
    assert rig.keeper._by_token[token] is caller
    assert rig.resume("x" * 43)[1] == UNKNOWN
    assert rig.resume("")[1] == UNKNOWN


def test_a_void_seat_is_for_nobody_and_another_user_is_not_told_why(rig: Rig) -> None:
    caller, token = rig.session()
    rig.keeper.hold(caller)
    caller.seat.void = "kicked from room 'studio' by bob: noise"
    caller.room_id = None
    with pytest.raises(AuthError, match="kicked from room 'studio' by bob: noise") as caught:
        rig.resume(token)
    assert caught.value.user_id == "alice"
    assert rig.resume(token, "mallory")[1] == "the session is another user's"
    rig.wait(20.0)
    assert rig.given_up == [caller]
    assert rig.empty()


def test_a_session_in_no_room_has_a_seat_too(rig: Rig) -> None:
    caller, token = rig.session()
    caller.room_id = None
    seat = caller.seat
    back, following = rig.resume(token)
    assert back.seat is seat
    assert rig.resume(following)[0].seat is seat


def test_what_was_missed_must_be_there(rig: Rig) -> None:
    caller, token = rig.session()
    for _ in range(3):
        caller.seat.journal.append(Outgoing(b"x"))
    assert rig.resume(token, received=4)[1] == "4 messages cannot have come, of 3"
    caller.seat.journal.confirm(2)
    assert rig.resume(token, received=1)[1] == "more than 1048576 bytes of messages were missed"
    caller, token = rig.resume(token, received=3)
    caller.seat.journal.append(Outgoing(bytes(2 << 20)))
    assert rig.resume(token, received=3)[1] == "more than 1048576 bytes of messages were missed"


def test_it_is_held_for_the_time_of_grace(rig: Rig) -> None:
    caller, token = rig.session()
    rig.keeper.hold(caller)
    assert (len(rig.keeper), rig.keeper.held()) == (1, [caller])
    rig.wait(19.9)
    assert rig.given_up == []
    caller, token = rig.resume(token)
    assert rig.keeper.held() == []
    rig.wait(100.0)
    assert rig.given_up == [], "the timer of the connection before"
    rig.keeper.hold(caller)
    rig.wait(20.0)
    assert rig.given_up == [caller]
    assert caller.seat is None
    assert rig.resume(token)[1] == UNKNOWN
    assert rig.empty()


def test_of_too_many_of_one_user_the_one_held_longest_is_given_up(rig: Rig) -> None:
    callers = [rig.session()[0] for _ in range(4)]
    bob, _ = rig.session("bob")
    rig.keeper.hold(bob)
    for caller in callers:
        rig.wait(1.0)
        rig.keeper.hold(caller)
    assert rig.given_up == callers[:2]
    assert rig.keeper.held() == [bob, *callers[2:]]


@pytest.mark.parametrize(
    "limit",
    range(1, 11),
)
def test_as_many_as_are_allowed_are_held(monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    rig = patched(monkeypatch, Rig(held_by_one=limit))
    callers = [rig.session()[0] for _ in range(limit)]
    for caller in callers:
        rig.keeper.hold(caller)
    assert rig.given_up == []
    assert rig.keeper.held() == callers


def test_let_go_twice(rig: Rig) -> None:
    caller, _ = rig.session()
    rig.keeper.hold(caller)
    rig.keeper.release(caller)
    rig.keeper.release(caller)
    rig.wait(100.0)
    assert rig.given_up == []
    assert rig.empty()


def test_the_end_of_the_server_gives_nobody_up(rig: Rig) -> None:
    for _ in range(2):
        rig.keeper.hold(rig.session()[0])
    rig.keeper.close()
    rig.wait(100.0)
    assert rig.given_up == []
    assert rig.empty()


def test_what_was_refused_is_not_taken_for_passed_on_and_is_forgotten_with_the_room() -> None:
    seat = Seat(1000)
    seat.next_event = 3
    seat.refuse(3)
    seat.refuse(1)
    assert (seat.next_event, seat.settled) == (4, 1)
    for seq in range(4, 4 + 2000):
        seat.refuse(seq)
    assert len(seat.refused) == 1024, "bounded"
    assert seat.next_event == 2004
    seat.enter()
    assert (seat.next_event, seat.settled, seat.refused) == (0, 0, {})


class SeatMachine(RuleBasedStateMachine):
    """Sessions that lose connections and answers; the model knows which tokens must work and which must not."""

    def __init__(self) -> None:
        super().__init__()
        self.rig = Rig(held_by_one=100)
        self.patch = pytest.MonkeyPatch()
        patched(self.patch, self.rig)
        self.live: dict[int, Caller] = {}
        self.token: dict[int, str] = {}
        """What the session has."""
        self.given: dict[int, str] = {}
        """What the server gave it last, if that has come or not."""
        self.dead: set[str] = set()
        """Tokens that were used, and whose successor has come."""

    def teardown(self) -> None:
        for caller in self.live.values():
            self.rig.keeper.release(caller)
        assert self.rig.empty()
        self.patch.undo()

    def some(self, data: st.DataObject) -> int:
        return data.draw(st.sampled_from(sorted(self.live)))

    @precondition(lambda self: len(self.live) < 4)
    @rule(user=st.sampled_from("ab"))
    def begin(self, user: str) -> None:
        number = len(self.token)
        self.live[number], self.token[number] = self.rig.session(user)

    @precondition(lambda self: self.live)
    @rule(data=st.data(), lost=st.booleans(), answered=st.booleans())
    def come_back(self, data: st.DataObject, lost: bool, answered: bool) -> None:
        number = self.some(data)
        caller, had = self.live[number], self.token[number]
        if lost:
            self.rig.keeper.hold(caller)
        seat = caller.seat
        self.live[number], given = self.rig.resume(had, caller.user_id)
        assert given != UNKNOWN, "a session that has its token must come back"
        assert self.live[number].seat is seat
        if answered:
            self.rig.keeper.arrived(self.live[number])
            self.token[number] = given
            self.dead.add(had)

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        number = self.some(data)
        self.rig.keeper.release(self.live.pop(number))
        self.dead.add(self.token[number])

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def stay_away(self, data: st.DataObject) -> None:
        number = self.some(data)
        caller = self.live.pop(number)
        self.rig.keeper.hold(caller)
        self.rig.wait(20.0)
        assert self.rig.given_up.pop() is caller
        self.dead.add(self.token[number])

    @rule()
    def an_old_token_opens_nothing(self) -> None:
        for token in self.dead:
            assert self.rig.resume(token, "a")[1] == UNKNOWN
            assert self.rig.resume(token, "b")[1] == UNKNOWN

    @invariant()
    def nothing_is_left_over(self) -> None:
        keeper = self.rig.keeper
        assert set(keeper._by_token.values()) == set(self.live.values())
        assert len(keeper._by_token) <= 2 * len(self.live)
        assert not len(keeper)


TestSeats = SeatMachine.TestCase
TestSeats.settings = settings(max_examples=60, stateful_step_count=30)
