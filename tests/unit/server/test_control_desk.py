"""What the desk answers: who may come back as whom, with what it missed, and who may see which room."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from posewire.config import ServerConfig
from posewire.protocol import Delivery, FrameType, Header, Kind, control
from posewire.protocol.control import from_plain
from posewire.protocol.room_view import Name, RoomUpdate
from posewire.rooms import RoomState
from tests.unit.server.house import Guest, House


@pytest.fixture
async def house(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    house = House(monkeypatch, ServerConfig(recipient_limit=4096))
    yield house
    house.close()


@pytest.fixture
def alice(house: House) -> Guest:
    return house.publisher("alice")


def member(house: House, name: str, room: Name = "studio", session: str = "") -> tuple[Guest, str]:
    """Let a client in that can come back; returns its resume token too."""
    guest = house.connect(name, session=session)
    welcome = guest.hello()
    assert not welcome.resumed
    assert welcome.reason == ""
    guest.ask(control.JoinRoom(room=room, create=True))
    guest.written.clear()
    return guest, welcome.resume


def once(guest: Guest) -> list[Any]:
    """Return what came of what is journalled, in order."""
    return [data for name, data in guest.heard_all() if name in (control.FRAME, control.ROOM)]


def refusal(answer: list[Any]) -> str:
    ok, error = answer
    assert not ok
    message: str = error["message"]
    return message


# Hello ---------------------------------------------------------------------------------------------------------------


async def test_a_welcome_says_what_the_token_says(house: House) -> None:
    guest = house.connect("alice", room="studio", role="host", publish=False, moderate=True)
    welcome = guest.hello()
    assert (welcome.user_id, welcome.room, welcome.role) == ("alice", "studio", "host")
    assert (welcome.publish, welcome.subscribe, welcome.moderate) == (False, True, True)
    assert (welcome.acknowledges, welcome.expires_in) == (True, 3600.0)
    assert (welcome.resumed, welcome.received) == (False, 0)
    assert len(welcome.resume) > 40


async def test_one_that_cannot_come_back_gets_no_seat(house: House) -> None:
    guest = house.connect("old")
    welcome = guest.hello(None)
    assert (welcome.resume, welcome.resumed, welcome.reason) == ("", False, "")
    assert guest.connection.seat is None


async def test_no_seats_no_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House(monkeypatch, ServerConfig(resume_grace=0))
    guest = house.connect("alice")
    assert guest.hello().resume == ""
    assert guest.connection.seat is None
    house.close()


async def test_what_is_no_request_is_refused_in_words(house: House) -> None:
    guest = house.connect("alice")
    answer = house.desk.answer(guest.connection, "room.explode", {})
    assert "expected one of frame, hello" in refusal(answer)
    assert "Expected `object`" in refusal(house.desk.answer(guest.connection, "room.join", [1]))
    assert house.desk.answer(guest.connection, "heartbeat", None) == [True, round(house.time * 1e6)]


# Coming back ---------------------------------------------------------------------------------------------------------


async def test_who_comes_back_is_where_it_was_and_has_what_it_missed(house: House, alice: Guest) -> None:
    bob, resume = member(house, "bob")
    bob.ask(control.OpenStream(kind="pose", name="pose"))
    first = alice.event(0)
    assert once(bob)[-1] == first
    received = house_count(bob)
    bob_number = bob.connection.number
    house.lose(bob)
    assert not house.room().state.members["bob"].present
    missed = [alice.event(1), alice.event(2)]
    carol = house.join("carol")
    house.wait(19.0)
    back = house.connect("bob")
    alice.written.clear()
    welcome = back.hello(resume, received)
    assert (welcome.resumed, welcome.reason) == (True, "")
    assert welcome.resume not in ("", resume)
    assert back.connection.number == bob_number
    heard = once(back)
    assert [data for data in heard if isinstance(data, bytes)] == missed
    assert changes(heard) == ["dropped", "joined", "returned"]
    assert changes(once(alice)) == ["returned"]
    assert house.room().state.members["bob"].present
    assert house.room().state.stream_number("bob", "pose", "pose") == 1
    house.wait(100.0)
    assert set(house.room().connections) == {"alice", "bob", "carol"}
    event = back.event(0)
    assert event in once(carol)


def changes(heard: list[Any]) -> list[str]:
    return [data["change"]["type"] for data in heard if isinstance(data, dict)]


def house_count(guest: Guest) -> int:
    """Messages that were journalled for a session: what a client has counted that got all of them."""
    seat = guest.connection.seat
    assert seat is not None
    return seat.journal.count


async def test_in_order_and_once_over_any_number_of_cuts(house: House, alice: Guest) -> None:
    """A client that counts, and loses the end of what was written to it at each cut."""
    bob, resume = member(house, "bob")
    mirror = RoomState.from_snapshot(house.room().state.snapshot())
    received, heard, seq = 0, [], 0
    sent = []
    for cut in range(12):
        for _ in range(3):
            sent.append(alice.event(seq))
            seq += 1
        alice.ask(control.SetStatus(room="studio", user="alice", status=f"{cut}"))
        got = once(bob)
        got = got[: len(got) - cut % 4]
        heard += got
        received += len(got)
        house.lose(bob)
        sent.append(alice.event(seq))
        seq += 1
        bob = house.connect("bob")
        welcome = bob.hello(resume, received)
        assert welcome.resumed
        resume = welcome.resume
        house.desk.confirm(bob.connection, {"received": received})
    heard += once(bob)
    assert [data for data in heard if isinstance(data, bytes)] == sent
    for data in heard:
        if isinstance(data, dict):
            update = from_plain(data, RoomUpdate, what="update")
            assert update.version == mirror.version + 1
            mirror.absorb(update.change)
    assert mirror.snapshot().members == house.room().state.snapshot().members


async def test_events_that_are_sent_again_are_passed_on_once(house: House, alice: Guest) -> None:
    bob, resume = member(house, "bob")
    alice.written.clear()
    events = [bob.event(seq) for seq in range(3)]
    house.lose(bob)
    back = house.connect("bob")
    welcome = back.hello(resume, house_count(bob) if bob.connection.seat else 0)
    assert welcome.received == 3
    again = [back.event(seq) for seq in range(5)]
    assert again[:3] == events
    assert [data for data in once(alice) if isinstance(data, bytes)] == again
    assert house.relay.frame(back.connection, again[0]) == [True, 0]


async def test_another_stay_begins_to_count_anew(house: House, alice: Guest) -> None:
    bob, _ = member(house, "bob")
    bob.event(7)
    bob.ask(control.JoinRoom(room="stage", create=True))
    bob.ask(control.JoinRoom(room="studio"))
    alice.written.clear()
    event = bob.event(0)
    assert alice.heard(control.FRAME) == [event]


async def test_an_event_that_is_late_for_the_room_before_does_not_eat_those_of_the_next(house: House) -> None:
    """Written in one room before the answer that we are in another had come; members have the same numbers there."""
    member(house, "a")
    bob, _ = member(house, "bob")
    header = Header(3, Kind.EVENT, Delivery.RELIABLE, FrameType.KEY, 0, bob.connection.number, 41, 0, 0)
    member(house, "c", "stage")
    bob.ask(control.JoinRoom(room="stage"))
    dave = house.join("dave", "stage")
    house.relay.frame(bob.connection, header.pack() + bytes(10))
    events = [bob.event(seq) for seq in range(3)]
    assert dave.heard(control.FRAME) == events


async def test_a_refused_event_is_not_taken_for_one_that_was_passed_on(house: House, alice: Guest) -> None:
    """Refused, with the answer lost; the next one passed on: the client must not be told that both were."""
    bob, resume = member(house, "bob")
    bob.event(0)
    alice.ask(control.SetGrants(room="studio", user="bob", publish=False))
    with pytest.raises(AssertionError, match="may not publish"):
        bob.event(1)
    alice.ask(control.SetGrants(room="studio", user="bob", publish=True))
    bob.event(2)
    house.lose(bob)
    welcome = house.connect("bob").hello(resume, 0)
    assert welcome.resumed
    assert welcome.received <= 1, "the server has not taken event 1"


async def test_a_session_is_resumed_where_the_client_knows_it_is(house: House, alice: Guest) -> None:
    """The answer to a join was lost: the server has it in another room, with another number, than it knows of."""
    bob, resume = member(house, "bob")
    knows = (bob.connection.room_id, bob.connection.number)
    bob.ask(control.JoinRoom(room="stage", create=True))
    house.lose(bob)
    back = house.connect("bob")
    welcome = back.hello(resume, 0, knows[1])
    assert not welcome.resumed or (back.connection.room_id, back.connection.number) == knows


async def test_half_open_the_newer_wins_and_the_older_is_told(house: House, alice: Guest) -> None:
    bob, resume = member(house, "bob")
    event = alice.event(0)
    bob.written.clear()
    back = house.connect("bob")
    alice.written.clear()
    assert back.hello(resume, 0).resumed
    assert event in once(back)
    (bye,) = bob.heard(control.BYE)
    assert bye == {"reason": "this session was resumed on another connection", "retry": False}
    assert house.started == [bob.connection.close]
    assert changes(once(alice)) == [], "nobody was away"
    assert house.room().connections["bob"] is back.connection
    house.lose(bob)
    house.wait(100.0)
    assert house.room().connections["bob"] is back.connection
    event = alice.event(1)
    assert event in once(back)
    assert bob.heard(control.FRAME) == []
    assert refusal(house.relay.frame(bob.connection, event))


async def test_a_session_that_shows_its_token_where_it_is_goes_on(house: House) -> None:
    guest = house.connect("alice")
    first = guest.hello()
    again = guest.hello(first.resume)
    assert (again.resumed, again.reason) == (False, "the session is on this connection already")
    assert again.resume not in ("", first.resume)
    guest.ask(control.JoinRoom(room="studio", create=True))
    house.lose(guest)
    assert house.connect("alice").hello(again.resume).resumed


async def test_a_token_that_was_used_opens_nothing_once_the_next_has_come(house: House, alice: Guest) -> None:
    bob, first = member(house, "bob")
    house.lose(bob)
    back = house.connect("bob")
    assert back.hello(first, 0).resumed
    house.desk.confirm(back.connection, {"received": 0})
    thief = house.connect("bob")
    welcome = thief.hello(first, 0)
    assert (welcome.resumed, welcome.reason) == (False, "the server does not know this session (any more)")
    assert house.room().connections["bob"] is back.connection


async def test_a_request_of_the_application_while_hello_is_under_way(house: House, alice: Guest) -> None:
    bob, resume = member(house, "bob")
    house.lose(bob)
    back = house.connect("bob")
    back.hello(resume, 0)  # its answer is lost
    back.ask(control.Heartbeat())
    house.lose(back)
    assert house.connect("bob").hello(resume, 0).resumed


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("late", "the server does not know this session"),
        ("other user", "the session is another user's"),
        ("too much", "more than 4096 bytes of messages were missed"),
        ("impossible", "99 messages cannot have come"),
        ("in a room", "the session is in room 'attic' already"),
    ],
)
async def test_why_not(house: House, alice: Guest, how: str, reason: str) -> None:
    bob, resume = member(house, "bob")
    name, received = "bob", 0
    if how == "left":
        bob.ask(control.LeaveRoom(room="studio"))
    if how != "left":
        house.lose(bob)
    if how == "closed":
        house.rooms.close_room(house.room(), "idle")
    if how == "late":
        house.wait(20.0)
    if how == "too much":
        for seq in range(3):
            alice.event(seq, size=2000)
    if how == "impossible":
        received = 99
    if how == "other user":
        name = "mallory"
    back = house.connect(name)
    if how == "in a room":
        back.ask(control.JoinRoom(room="attic", create=True))
    welcome = back.hello(resume, received)
    assert not welcome.resumed
    assert reason in welcome.reason
    assert welcome.resume != resume
    seat = back.connection.seat
    assert seat is not None
    assert (seat.journal.count, welcome.received) == (0, 0)


async def test_its_token_must_be_good_for_the_room(house: House, alice: Guest) -> None:
    bob, resume = member(house, "bob")
    house.lose(bob)
    other = house.connect("bob", room="stage")
    assert "the token of bob is for room 'stage'" in refusal(other.answer(control.Hello(resume=resume)))
    house.revocations.add("bob", "studio", reason="police")
    old = house.connect("bob")
    assert "the token was revoked: police" in refusal(old.answer(control.Hello(resume=resume)))
    house.time += 1
    assert house.connect("bob").hello(resume).resumed, "neither has used it up"


async def test_a_newer_token_says_what_it_may(house: House, alice: Guest) -> None:
    bob, resume = member(house, "bob")
    house.lose(bob)
    back = house.connect("bob", publish=False, moderate=True)
    assert back.hello(resume).resumed
    seen = house.room().state.members["bob"]
    assert (seen.publish, seen.moderate) == (False, True)
    assert not back.connection.publish


async def test_who_does_not_come_back_is_gone_and_its_room_with_it(house: House) -> None:
    bob, _ = member(house, "bob")
    bob.ask(control.CreateRoom(room="never used"))
    house.lose(bob)
    house.wait(20.0)
    assert "studio" not in house.rooms.rooms
    assert len(house.seats) == 0


async def test_rooms_that_nobody_is_in_go_with_the_session_not_with_a_connection(house: House, alice: Guest) -> None:
    bob, resume = member(house, "bob")
    bob.ask(control.CreateRoom(room="never used"))
    house.lose(bob)
    back = house.connect("bob")
    assert back.hello(resume).resumed
    assert "never used" in house.rooms.rooms
    back.ask(control.LeaveRoom(room="studio"))
    house.lose(back)
    assert set(house.rooms.rooms) == {"studio"}


async def test_a_session_that_once_missed_too_much_can_be_resumed_when_it_has_all(house: House, alice: Guest) -> None:
    bob, resume = member(house, "bob")
    for seq in range(3):
        alice.event(seq, size=2000)
    received = house_count(bob)
    house.desk.confirm(bob.connection, {"received": received})
    alice.event(3)
    house.lose(bob)
    assert house.connect("bob").hello(resume, received).resumed


async def test_a_newer_session_of_the_user_stays_the_newer_one(house: House, alice: Guest) -> None:
    """It took the place of one whose goodbye was lost: that one must not take it back when it comes again."""
    first, resume = member(house, "bob")
    second, _ = member(house, "bob")
    assert house.room().connections["bob"] is second.connection
    house.lose(first)
    again = house.connect("bob")
    ok, answer = again.answer(control.Hello(resume=resume))
    assert not ok
    assert "another session of bob took its place" in answer["message"]


async def test_a_session_that_is_away_gives_way_to_a_newer_one(house: House, alice: Guest) -> None:
    first, resume = member(house, "bob")
    house.lose(first)
    second, _ = member(house, "bob")
    assert house.room().connections["bob"] is second.connection
    again = house.connect("bob")
    assert "another session of bob took its place" in refusal(again.answer(control.Hello(resume=resume)))
    house.wait(20.0)
    assert house.room().connections["bob"] is second.connection
    assert len(house.seats) == 0


async def test_the_same_session_may_join_anew_when_it_is_not_resumed(house: House, alice: Guest) -> None:
    first, _ = member(house, "bob", session="s1")
    house.lose(first)
    second, _ = member(house, "bob", session="s1")
    assert house.room().connections["bob"] is second.connection
    assert second.heard(control.BYE) == []
    house.wait(20.0)
    assert house.room().connections["bob"] is second.connection


async def test_confirmations_free_what_is_remembered(house: House, alice: Guest) -> None:
    bob, _ = member(house, "bob")
    for seq in range(100):
        alice.event(seq, size=500)
        house.desk.confirm(bob.connection, {"received": house_count(bob)})
    seat = bob.connection.seat
    assert seat is not None
    for nonsense in (None, {}, {"received": -1}, {"received": "all"}, {"received": 10**6}):
        house.desk.confirm(bob.connection, nonsense)
    assert seat.journal.count >= 100
    outsider = house.connect("old")
    house.desk.confirm(outsider.connection, {"received": 0})


# What may be seen ----------------------------------------------------------------------------------------------------


async def test_a_token_for_one_room_shows_no_other(house: House, alice: Guest) -> None:
    house.join("erin", "stage")
    anyone, bound = house.connect("anyone"), house.connect("bound", room="stage")
    lost = house.connect("lost", room="nowhere")
    assert [room["room_id"] for room in anyone.ask(control.ListRooms())] == ["studio", "stage"]
    assert [room["room_id"] for room in bound.ask(control.ListRooms())] == ["stage"]
    assert lost.ask(control.ListRooms()) == []
    for guest, room, seen in ((anyone, "studio", True), (bound, "studio", False), (bound, "stage", True)):
        info = guest.ask(control.RoomInfo(room=room))
        members = guest.ask(control.RoomMembers(room=room))
        assert (info is not None, bool(members)) == (seen, seen)
    assert anyone.ask(control.RoomInfo(room="nowhere")) is None
    assert anyone.ask(control.RoomMembers(room="nowhere")) == []


@pytest.mark.parametrize("only", ["studio", None])
async def test_a_token_that_was_made_void_for_a_room_shows_it_no_more(
    house: House, alice: Guest, only: Name | None
) -> None:
    other = house.connect("bob", room=only)  # a second connection, on which it did not join
    house.join("bob", room="studio")
    assert len(other.ask(control.RoomMembers(room="studio"))) == 2
    assert alice.ask(control.KickMember(room="studio", user="bob"))
    assert other.ask(control.RoomMembers(room="studio")) == []
    assert other.ask(control.RoomInfo(room="studio")) is None
    assert other.ask(control.ListRooms()) == []


async def test_a_sync_by_difference_or_by_snapshot(house: House, alice: Guest) -> None:
    bob = house.join("bob")
    mirror = RoomState.from_snapshot(house.room().state.snapshot())
    version = mirror.version
    for index in range(3):
        bob.ask(control.SetStatus(room="studio", user="bob", status=f"{index}"))
    ahead = house.room().state.version
    answer = from_plain(bob.ask(control.SyncRoom(room="studio", version=version)), control.SyncedRoom, what="answer")
    assert answer.snapshot is None
    for change in answer.changes:
        mirror.absorb(change)
    assert mirror.snapshot().members == house.room().state.snapshot().members
    assert mirror.version == ahead
    assert bob.ask(control.SyncRoom(room="studio", version=ahead)) == {"snapshot": None, "changes": []}
    for unknown in (None, ahead + 1):
        whole = from_plain(bob.ask(control.SyncRoom(room="studio", version=unknown)), control.SyncedRoom, what="a")
        assert whole.snapshot == house.room().state.snapshot()
        assert whole.changes == []
    for index in range(300):
        bob.ask(control.SetStatus(room="studio", user="bob", status=f"again {index}"))
    ahead = house.room().state.version
    for known, by_difference in ((0, False), (ahead - 257, False), (ahead - 256, True)):
        found = bob.ask(control.SyncRoom(room="studio", version=known))
        assert (found["snapshot"] is None) == by_difference
        assert len(found["changes"]) == (256 if by_difference else 0)


async def test_a_sync_is_for_members(house: House, alice: Guest) -> None:
    house.join("erin", "stage")
    assert "alice is not in this room" in refusal(alice.answer(control.SyncRoom(room="stage", version=0)))
    assert "Room not found" in refusal(alice.answer(control.SyncRoom(room="nowhere")))


async def test_leaving_where_one_is_not(house: House, alice: Guest) -> None:
    assert alice.ask(control.LeaveRoom(room="stage")) is False
    assert alice.ask(control.LeaveRoom(room="studio")) is True
    assert alice.ask(control.LeaveRoom(room="studio")) is False


async def test_a_newer_token_is_given_to_who_renews(house: House, alice: Guest) -> None:
    assert alice.ask(control.RefreshToken(token="a.b.c")) == 60.0
