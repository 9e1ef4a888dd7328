"""The judge finds what is wrong: each invariant, broken on purpose in a history that is otherwise fine."""

from __future__ import annotations

from typing import Any

import pytest
from benchmarks.chaos.census import census, growth
from benchmarks.chaos.history import Comeback, End, History, Outcome, Received, Sent, Stay, View
from benchmarks.chaos.invariants import judge
from benchmarks.chaos.named_pose import is_pose, named_pose, read_name
from benchmarks.chaos.plan import make_plan

from posewire.rooms import RoomState

GRACE = 1.0
ROOM: dict[str, Any] = {"room": "red", "version": 2, "members": [{"id": "ann"}, {"id": "bob"}], "streams": []}


def sent(number: int, began: int, outcome: Outcome = "returned", room: str = "red") -> Sent:
    return Sent(sender="ann.1", number=number, room=room, began=began, outcome=outcome)


def came(number: int, at: int, receiver: str = "bob.1") -> Received:
    return Received(receiver=receiver, sender="ann.1", number=number, room="red", at=at)


def view(session: str, **changes: Any) -> View:
    fields: dict[str, Any] = {"connected": True, "room": "red", "expected": "red", "mirror": ROOM}
    return View(session=session, **{**fields, **changes})


@pytest.fixture
def history() -> History:
    """Ann sends three events to Bob, who was in the room before."""
    history = History()
    history.stays = [Stay(session="ann.1", room="red", began=1), Stay(session="bob.1", room="red", began=2)]
    history.sent = [sent(1, 3), sent(2, 5), sent(3, 7)]
    history.received = [came(1, 4), came(2, 6), came(3, 8)]
    history.rooms = {"red": ROOM}
    history.views = [view("ann.1"), view("bob.1")]
    return history


def only(history: History, kind: str) -> None:
    wrong = judge(history, grace=GRACE)
    assert [line.partition(":")[0] for line in wrong] == [kind], wrong


def test_a_history_without_a_fault_is_fine(history: History) -> None:
    assert judge(history, grace=GRACE) == []


def test_an_event_that_did_not_come_is_lost(history: History) -> None:
    del history.received[2]
    only(history, "lost")


def test_an_event_sent_before_somebody_came_is_not_owed_to_him(history: History) -> None:
    history.stays[1].began = 4
    del history.received[0]
    assert judge(history, grace=GRACE) == []


def test_an_event_whose_send_raised_may_be_missing_and_may_come_but_not_twice(history: History) -> None:
    history.sent[1] = sent(2, 5, "raised")
    assert judge(history, grace=GRACE) == []
    history.received.insert(2, came(2, 7))
    only(history, "doubled")
    del history.received[1:3]
    assert judge(history, grace=GRACE) == []


def test_an_event_that_came_twice_is_doubled(history: History) -> None:
    history.received.append(came(3, 9))
    only(history, "doubled")


def test_an_older_event_after_a_newer_one_is_out_of_order(history: History) -> None:
    history.received = [came(2, 4), came(1, 6), came(3, 8)]
    only(history, "out of order")


def test_whoever_was_not_resumed_may_miss_the_end_of_his_stay_but_has_no_hole_in_it(history: History) -> None:
    history.stays[1].ended = 9
    del history.received[2]
    assert judge(history, grace=GRACE) == []
    history.received = [came(1, 4), came(3, 8)]
    only(history, "lost")


def test_what_came_after_the_stay_says_nothing_about_it(history: History) -> None:
    history.stays[1].ended = 5
    history.stays.append(Stay(session="bob.1", room="red", began=6))
    del history.received[1]
    assert judge(history, grace=GRACE) == []


def test_whoever_came_back_is_owed_everything_from_then_on(history: History) -> None:
    history.stays[1].ended = 3
    history.stays.append(Stay(session="bob.1", room="red", began=6))
    history.received = []
    only(history, "lost")


def test_an_event_that_nobody_sent_is_forged(history: History) -> None:
    history.received.append(came(4, 9))
    only(history, "forged")


def test_an_event_in_another_room_is_leaked(history: History) -> None:
    history.received.append(came(1, 9, receiver="cem.1"))
    only(history, "leaked")


@pytest.mark.parametrize(
    ("resumed", "reason", "seconds", "generations", "kind"),
    [
        (True, "", 0.1, 0, None),
        (False, "", 2.0, 0, "no reason"),
        (False, "the seat was given up", 2.0, 0, None),
        (False, "why not", 0.1, 0, "not resumed"),
        (False, "a new server", 0.1, 1, None),
    ],
)
def test_who_comes_back_in_time_is_resumed_and_who_is_not_is_told_why(
    history: History, resumed: bool, reason: str, seconds: float, generations: int, kind: str | None
) -> None:
    back = Comeback(session="bob.1", at=9, resumed=resumed, reason=reason, seconds=seconds, generations=generations)
    history.comebacks.append(back)
    if kind is None:
        assert judge(history, grace=GRACE) == []
    else:
        only(history, kind)


def test_whose_token_ended_need_not_be_resumed(history: History) -> None:
    back = Comeback(
        session="bob.1", at=9, resumed=False, reason="the token", seconds=0.1, generations=0, token_ended=True
    )
    history.comebacks.append(back)
    assert judge(history, grace=GRACE) == []


@pytest.mark.parametrize(
    ("moving", "reason", "excused"),
    [
        (True, "the session has another seat than it knows of", True),
        (False, "the session has another seat than it knows of", False),
        (True, "the seat was given up", False),
    ],
)
def test_who_was_moving_may_have_lost_its_seat_to_the_move(
    history: History, moving: bool, reason: str, excused: bool
) -> None:
    back = Comeback(session="bob.1", at=9, resumed=False, reason=reason, seconds=0.1, generations=0, moving=moving)
    history.comebacks.append(back)
    if excused:
        assert judge(history, grace=GRACE) == []
    else:
        only(history, "not resumed")


def test_a_session_ends_for_what_was_done_to_it_and_for_nothing_else(history: History) -> None:
    history.ends.append(End(session="cem.1", error="AuthError", detail="kicked", named=True))
    only(history, "without a cause")
    history.excuse("cem.1", "AuthError")
    assert judge(history, grace=GRACE) == []
    history.ends[0] = End(session="cem.1", error="", detail="", named=True)
    assert judge(history, grace=GRACE) == []
    history.ends[0] = End(session="cem.1", error="KeyError", detail="'x'", named=False)
    assert "a bug: cem.1 ended with KeyError: 'x'" in judge(history, grace=GRACE)


@pytest.mark.parametrize(
    ("changes", "kinds"),
    [
        ({"connected": False}, {"not back", "ghosts"}),
        ({"room": None, "mirror": None}, {"elsewhere", "ghosts"}),
        ({"mirror": {**ROOM, "version": 1}}, {"rooms differ"}),
        ({"room": "blue", "expected": None}, {"no such room", "ghosts"}),
    ],
)
def test_everybody_is_in_his_place_and_sees_the_same(
    history: History, changes: dict[str, Any], kinds: set[str]
) -> None:
    history.views[1] = view("bob.1", **changes)
    assert {line.partition(":")[0] for line in judge(history, grace=GRACE)} == kinds


def test_a_seat_that_is_held_is_not_a_ghost(history: History) -> None:
    held = {**ROOM, "members": [{"id": "ann", "present": True}, {"id": "bob", "present": False}]}
    history.rooms = {"red": held}
    history.views = [view("ann.1", mirror=held)]
    assert judge(history, grace=GRACE) == []
    history.views.append(view("bob.1", mirror=held))
    only(history, "no seat")


def test_plans_are_made_of_their_seed() -> None:
    assert make_plan(7) == make_plan(7)
    assert make_plan(7) != make_plan(8)
    for seed in range(200):
        plan = make_plan(seed)
        times = [step.at for step in plan.steps]
        assert times == sorted(times)
        assert all(step.at + step.seconds <= plan.seconds for step in plan.steps)
        assert len({person.name for person in plan.people}) == len(plan.people) >= 3
        assert str(seed) in plan.render()


def test_a_pose_is_known_by_itself() -> None:
    points = named_pose(3, 5000)
    assert read_name(points) == (3, 5000)
    assert is_pose(points + 0.49 / 2048, 3, 5000)
    assert not is_pose(points, 3, 5001)
    points[20, 1] += 0.6 / 2048
    assert not is_pose(points, 3, 5000)


def test_the_census_counts_what_nobody_told_it_of() -> None:
    state = RoomState("red", capacity=2, now=0.0)
    before = census({"rooms": [state]})
    state.members["ann"] = state  # type: ignore[assignment]  # a circle ends
    after = census({"rooms": [state]})
    assert growth(before, after, {}) == ["RoomState.members: 0 entries, then 1"]
    assert growth(before, after, {"RoomState.members": "it is what it is for"}) == []
