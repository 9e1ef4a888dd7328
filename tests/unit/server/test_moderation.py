"""What hosts and moderators do, as those it is done to and everyone else see it; and what holds when all have left."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from posewire.protocol import control
from posewire.rooms.command import Kick
from posewire.server import revocation_list
from tests.unit.server.house import Guest, House


@pytest.fixture
async def house(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    house = House(monkeypatch)
    yield house
    house.close()


@pytest.fixture
def alice(house: House) -> Guest:
    """The host."""
    return house.join("alice")


def refusal(answer: list[Any]) -> str:
    ok, error = answer
    assert not ok
    message: str = error["message"]
    return message


def kick(user: str = "eve", room: str = "studio", **more: Any) -> control.KickMember:
    return control.KickMember(room=room, user=user, **more)


def ban(user: str = "eve", seconds: float = 60.0) -> control.BanMember:
    return control.BanMember(room="studio", user=user, seconds=seconds)


def enters(guest: Guest, room: str = "studio") -> bool:
    ok: bool = guest.answer(control.JoinRoom(room=room, create=True))[0]
    return ok


# Kick ----------------------------------------------------------------------------------------------------------------


async def test_a_kick_ends_the_session_and_tells_everyone(house: House, alice: Guest) -> None:
    eve, bob = house.join("eve"), house.join("bob")
    for guest in house.guests:
        guest.written.clear()
    house.time += 1
    assert alice.ask(kick(reason="noise")) is True
    reason = "kicked from room 'studio' by alice: noise"
    assert eve.heard_all() == [(control.BYE, {"reason": reason, "retry": False})]
    assert house.started == [eve.connection.close]
    for guest in (alice, bob):
        ((name, update),) = guest.heard_all()
        assert name == control.ROOM
        assert update["change"] == {"type": "left", "user_id": "eve", "reason": "kicked: noise", "by": "alice"}
    assert eve.connection.room_id is None
    assert set(house.room().connections) == {"alice", "bob"}
    assert "kicked" in refusal(eve.answer(control.JoinRoom(room="studio")))


async def test_an_old_token_never_and_a_new_one_after_the_ban(house: House, alice: Guest) -> None:
    eve, made_before = house.join("eve"), house.connect("eve")
    house.time += 1
    alice.ask(kick())
    made_after = house.connect("eve", iat=house.time + 1)
    assert "banned for another 300 s: kicked from room 'studio' by alice" in refusal(
        made_after.answer(control.JoinRoom(room="studio"))
    )
    assert enters(made_before, "elsewhere"), "it is about this room only"
    house.time += 300
    for old in (eve, made_before):
        assert "the token was revoked" in refusal(old.answer(control.JoinRoom(room="studio")))
    assert enters(made_after)


async def test_a_kick_without_a_ban_is_against_old_tokens_only(house: House, alice: Guest) -> None:
    house.join("eve")
    house.time += 1
    alice.ask(kick(ban=0.0))
    assert not enters(house.connect("eve"))
    assert enters(house.connect("eve", iat=house.time + 0.001))


async def test_it_holds_when_the_room_was_closed_and_made_again(house: House, alice: Guest) -> None:
    eve = house.join("eve")
    house.time += 1
    alice.ask(kick())
    alice.ask(control.LeaveRoom(room="studio"))
    assert house.rooms.rooms == {}
    assert not enters(eve)
    assert house.rooms.rooms == {}, "nor may it make the room"
    assert "kicked" in refusal(eve.answer(control.CreateRoom(room="studio")))
    house.join("bob")
    assert not enters(eve)


async def test_who_is_away_does_not_come_back_to_its_seat(house: House, alice: Guest) -> None:
    eve = house.connect("eve")
    resume = eve.hello().resume
    eve.ask(control.JoinRoom(room="studio"))
    house.lose(eve)
    house.time += 1
    alice.ask(kick(reason="noise"))
    assert house.room().state.members.keys() == {"alice"}
    again = house.connect("eve")
    said = refusal(again.answer(control.Hello(resume=resume)))
    assert said == "Authentication failed [eve]: kicked from room 'studio' by alice: noise"
    assert again.connection.seat is None
    assert not enters(again)
    house.wait(60)
    assert len(house.seats) == 0


async def test_a_kicked_session_does_not_come_back_with_its_resume_token(house: House, alice: Guest) -> None:
    eve = house.connect("eve")
    resume = eve.hello().resume
    eve.ask(control.JoinRoom(room="studio"))
    house.time += 1
    alice.ask(kick())
    house.lose(eve)
    again = house.connect("eve")
    ok, answer = again.answer(control.Hello(resume=resume))
    assert not ok or not answer["resumed"]
    assert not enters(again)


async def test_a_room_that_its_last_member_is_thrown_out_of_is_closed(house: House, alice: Guest) -> None:
    victim = house.rooms.throw_out(house.room(), Kick(user_id="alice"))
    assert victim is alice.connection
    assert house.rooms.rooms == {}


@pytest.mark.parametrize(
    "request_",
    [
        kick(),
        ban(),
        control.UnbanMember(room="studio", user="eve"),
        control.LockRoom(room="studio", locked=True),
        control.SetRole(room="studio", user="bob", role="host"),
        control.SetGrants(room="studio", user="eve", publish=False),
        control.SetGrants(room="studio", user="bob", moderate=True),
        control.SetStatus(room="studio", user="eve", status="silly"),
    ],
    ids=lambda request: type(request).__name__,
)
async def test_a_member_or_a_stranger_may_not(house: House, alice: Guest, request_: Any) -> None:
    bob, eve = house.join("bob"), house.join("eve")
    outside, elsewhere = house.connect("out"), house.join("else", "stage")
    for guest in house.guests:
        guest.written.clear()
    before = house.room().state.snapshot()
    for asking in (bob, outside, elsewhere):
        assert refusal(asking.answer(request_))
    assert house.room().state.snapshot() == before
    assert len(house.revocations) == 0
    assert [guest.written for guest in house.guests] == [[]] * 5
    assert eve.connection.publish


async def test_a_host_of_one_room_is_nothing_in_another(house: House, alice: Guest) -> None:
    house.join("eve", "stage")
    other = house.join("owner", "attic", role="host", moderate=True)
    for asking in (alice, other):
        assert f"{asking.connection.user_id} is not in this room" in refusal(asking.answer(kick(room="stage")))


async def test_which_rooms_there_are_is_not_told_to_a_token_of_another(house: House, alice: Guest) -> None:
    house.join("eve", "stage")
    bound = house.connect("bound", room="studio")
    assert enters(bound)
    told = {refusal(bound.answer(kick(room=room))).replace(room, "?") for room in ("stage", "no such room")}
    assert len(told) == 1


# Ban -----------------------------------------------------------------------------------------------------------------


async def test_a_ban_counts_for_those_who_are_not_in(house: House, alice: Guest) -> None:
    eve = house.connect("eve", iat=house.time + 50)
    assert alice.ask(ban(seconds=60.0)) is True
    assert not enters(eve)
    house.time += 59
    assert "banned for another 1 s" in refusal(eve.answer(control.JoinRoom(room="studio")))
    house.time += 1
    assert enters(eve)


async def test_a_ban_throws_out_and_lifting_it_lets_new_tokens_in(house: House, alice: Guest) -> None:
    eve = house.join("eve")
    house.time += 1
    assert alice.ask(ban()) is True
    (bye,) = eve.heard(control.BYE)
    assert bye == {"reason": "banned from room 'studio' by alice", "retry": False}
    fresh = house.connect("eve", iat=house.time + 1)
    assert not enters(fresh)
    assert alice.ask(control.UnbanMember(room="studio", user="eve")) is True
    assert alice.ask(control.UnbanMember(room="studio", user="eve")) is False
    assert not enters(eve), "its token is older than the ban"
    assert enters(fresh)


async def test_a_shorter_ban_does_not_shorten_one(house: House, alice: Guest) -> None:
    alice.ask(ban(seconds=100.0))
    alice.ask(ban(seconds=1.0))
    house.time += 50
    assert not enters(house.connect("eve"))


async def test_bans_of_one_room_cost_nobody_else_a_token(
    house: House, alice: Guest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever makes a room may ban any name in it: that must not push others' revocations, and then all tokens, out."""
    monkeypatch.setattr(revocation_list, "MAX_REVOCATIONS", 20)
    honest = house.connect("honest", iat=house.time - 10)
    for index in range(40):
        house.time += 0.01
        alice.answer(ban(f"nobody-{index}", seconds=0.001))
    assert house.revocations.check(honest.connection.claims, "elsewhere") is None
    assert enters(honest, "elsewhere")


async def test_a_name_that_looks_the_same_is_not_a_way_around(house: House, alice: Guest) -> None:
    """Revocations are by normal form, rooms by the very name: who may not ban one may not ban the other."""
    composed, decomposed = "zo\u00eb", "zoe\u0308"
    owner = house.join(composed, role="host")
    alice.ask(control.SetRole(room="studio", user=composed, role="host"))
    owner.ask(control.SetGrants(room="studio", user="alice", moderate=True))
    assert not alice.answer(ban(composed))[0]
    alice.answer(ban(decomposed))
    assert house.revocations.check(owner.connection.claims, "studio") is None


@pytest.mark.parametrize(
    ("name", "twin"),
    [
        ("caf\u00e9", "cafe\u0301"),
        ("cafe\u0301", "caf\u00e9"),
        ("Kitchen", "\u212aitchen"),
        ("\u212aitchen", "Kitchen"),
    ],
)
async def test_a_room_whose_name_looks_the_same_is_not_a_way_around(house: House, name: str, twin: str) -> None:
    """Bans hold for all names that look the same: the host of another such room could lift those of this one."""
    anna, friend = house.join("anna", name), house.connect("friend")
    house.join("bob", name)
    assert anna.ask(control.KickMember(room=name, user="bob"))
    for request in (control.JoinRoom(room=twin, create=True), control.CreateRoom(room=twin)):
        assert "a room whose name looks the same is open" in refusal(friend.answer(request))
    assert refusal(friend.answer(control.UnbanMember(room=twin, user="bob")))
    assert "banned for another" in refusal(house.connect("bob").answer(control.JoinRoom(room=name)))
    house.lose(anna)
    assert friend.ask(control.CreateRoom(room=twin))


async def test_the_owner_of_the_server_has_the_last_word(house: House, alice: Guest) -> None:
    """`server.revoke(user, room, ban=…)` is not for a host of that room to lift."""
    house.revocations.add("eve", "studio", banned_until=house.time + 1000, reason="police")
    alice.ask(control.UnbanMember(room="studio", user="eve"))
    assert not enters(house.connect("eve", iat=house.time + 1))


# The rest ------------------------------------------------------------------------------------------------------------


async def test_a_locked_room(house: House, alice: Guest) -> None:
    bob, carol = house.join("bob"), house.connect("carol")
    bob.written.clear()
    assert alice.ask(control.LockRoom(room="studio", locked=True)) is True
    assert alice.ask(control.LockRoom(room="studio", locked=True)) is False
    assert [update["change"] for update in bob.heard(control.ROOM)] == [{"type": "lock", "locked": True}]
    assert "the room is locked" in refusal(carol.answer(control.JoinRoom(room="studio")))
    assert bob.ask(control.JoinRoom(room="studio"))["number"] == bob.connection.number
    assert alice.ask(control.LockRoom(room="studio", locked=False)) is True
    assert enters(carol)


async def test_roles_and_statuses(house: House, alice: Guest) -> None:
    bob = house.join("bob")
    assert bob.ask(control.SetStatus(room="studio", user="bob", status="away")) is True
    assert bob.ask(control.SetStatus(room="studio", user="bob", status="away")) is False
    assert alice.ask(control.SetRole(room="studio", user="bob", role="host")) is True
    assert alice.ask(control.SetStatus(room="studio", user="alice", status="glad")) is True
    assert "alice is not the host" in refusal(alice.answer(control.SetRole(room="studio", user="bob", role="member")))
    assert bob.ask(control.SetRole(room="studio", user="bob", role="host")) is False
    members = house.room().state.members
    assert [(each.id, each.role, each.status) for each in members.values()] == [
        ("alice", "member", "glad"),
        ("bob", "host", "away"),
    ]


async def test_a_grant_counts_at_once(house: House, alice: Guest) -> None:
    bob, carol = house.publisher("bob"), house.join("carol")
    bob.send(0)
    assert alice.ask(control.SetGrants(room="studio", user="bob", publish=False)) is True
    assert alice.ask(control.SetGrants(room="studio", user="bob", publish=False)) is False
    with pytest.raises(AssertionError, match="may not publish"):
        bob.send(1)
    assert "may not publish" in refusal(bob.answer(control.OpenStream(kind="pose", name="two")))
    alice.ask(control.SetGrants(room="studio", user="carol", subscribe=False))
    assert alice.ask(control.SetGrants(room="studio", user="bob", publish=True)) is True
    carol.written.clear()
    bob.send(2)
    assert carol.heard("frame") == []
    assert "carol may not subscribe" in refusal(carol.answer(control.FetchPicture(member=2, stream=1)))
    alice.ask(control.SetGrants(room="studio", user="carol", subscribe=True))
    carol.written.clear()
    packet = bob.send(3)
    assert carol.heard("frame") == [packet]


async def test_a_grant_holds_over_leaving_and_coming_again_with_whatever_token(house: House, alice: Guest) -> None:
    bob = house.publisher("bob")
    alice.ask(control.SetGrants(room="studio", user="bob", publish=False))
    bob.ask(control.LeaveRoom(room="studio"))
    assert bob.connection.publish, "outside it is as its token says"
    again = house.join("bob", moderate=True)
    assert not again.connection.publish
    house.rooms.renewed(again.connection)
    assert not again.connection.publish


async def test_a_token_is_a_limit(house: House, alice: Guest) -> None:
    house.join("mute", publish=False)
    request = control.SetGrants(room="studio", user="mute", publish=True)
    assert "the token of mute does not let it publish" in refusal(alice.answer(request))
    assert alice.ask(control.SetGrants(room="studio", user="mute", moderate=True)) is True


async def test_a_moderator_by_its_token_and_one_by_grant(house: House, alice: Guest) -> None:
    mod, eve, bob = house.join("mod", moderate=True), house.join("eve"), house.join("bob")
    alice.ask(control.SetGrants(room="studio", user="bob", moderate=True))
    assert mod.ask(control.SetGrants(room="studio", user="eve", publish=False)) is True
    assert "is not over alice" in refusal(mod.answer(kick("alice")))
    assert "is not over mod" in refusal(bob.answer(kick("mod")))
    assert bob.ask(kick("eve")) is True
    assert eve.connection.room_id is None
    alice.ask(control.SetGrants(room="studio", user="mod", moderate=False))
    assert "neither host nor moderator" in refusal(mod.answer(ban("eve")))


async def test_those_who_are_away_keep_and_lose_rights_too(house: House, alice: Guest) -> None:
    bob = house.connect("bob")
    resume = bob.hello().resume
    bob.ask(control.JoinRoom(room="studio"))
    house.lose(bob)
    assert alice.ask(control.SetGrants(room="studio", user="bob", publish=False, subscribe=False)) is True
    back = house.connect("bob")
    assert back.hello(resume, 0).resumed
    assert (back.connection.publish, back.connection.subscribe) == (False, False)
