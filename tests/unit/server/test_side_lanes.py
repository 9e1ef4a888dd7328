"""What goes down which of a session's connections; who may open one is in tests/connect/test_lanes.py."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from posewire.config import AdmissionConfig
from posewire.errors import AuthError
from posewire.protocol import Delivery, FrameType, Header, Kind, control
from posewire.server.admission import Admission
from tests.unit.server.house import Guest, House

K, A, L = FrameType.KEY, FrameType.ANCHOR, FrameType.LEAF


@pytest.fixture
async def house(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    house = House(monkeypatch)
    yield house
    house.close()


def lane(house: House, guest: Guest, name: str) -> Guest:
    """Give a guest's session a further connection; returns what its client sees of it."""
    other = house.connect(f"{name} of {guest.connection.user_id}")
    guest.connection.add_outlet(name, other.connection.outlet)
    house.rooms.rerouted(guest.connection)
    return other


async def test_poses_go_down_a_lane_and_all_else_does_not(house: House) -> None:
    alice, bob = house.publisher("alice"), house.join("bob")
    alice.ask(control.OpenStream(kind="audio", name="voice"))
    side = lane(house, bob, "one")
    bob.written.clear()
    pose = alice.send(0)
    sound = alice.send(0, stream=2, kind=Kind.AUDIO, delivery=Delivery.ORDERED)
    event = alice.event(0)
    assert side.heard("frame") == [pose]
    assert bob.heard("frame") == [sound, event]
    bob.connection.remove_outlet("one")
    house.rooms.rerouted(bob.connection)
    pose = alice.send(1)
    assert (side.heard("frame"), bob.heard("frame")) == ([], [pose])


async def test_a_publisher_stays_on_its_lane_while_that_is_there(house: House) -> None:
    bob = house.join("bob").connection
    for name in "abc":
        bob.add_outlet(name, house.connect(name).connection.outlet)
    before = {number: bob.pose_outlet(number) for number in range(300)}
    for name in "abc":
        share = sum(outlet is bob._side_outlets[name] for outlet in before.values())
        assert 50 < share < 150
    gone = bob._side_outlets["b"]
    bob.remove_outlet("b")
    for number, outlet in before.items():
        assert (bob.pose_outlet(number) is outlet) == (outlet is not gone)


async def test_what_waits_on_the_way_that_is_left_is_let_go_of_but_for_sound(house: House) -> None:
    alice, bob = house.publisher("alice", "pose", "other"), house.join("bob")
    alice.ask(control.OpenStream(kind="audio", name="voice"))
    bob.stick((alice, 2))
    alice.send(0)
    house.relay.frame(
        alice.connection,
        Header(2, Kind.AUDIO, Delivery.ORDERED, K, 3, alice.connection.number, 0, 0, round(house.time * 1e6)).pack(),
    )
    assert bob.connection.waiting > 1
    side = lane(house, bob, "one")
    assert bob.connection.waiting == 1, "the sound"
    bob.written.clear()
    pose = alice.send(1)
    assert side.heard("frame") == [pose]
    bob.recover()
    assert len(bob.heard("frame")) == 1
    assert bob.connection.outlet._mailbox is None, "nothing is waited for any more"


async def test_a_report_is_about_all_of_them(house: House) -> None:
    alice, bob = house.publisher("alice"), house.join("bob")
    side = lane(house, bob, "one")
    bob.report()
    for seq in range(5):
        alice.send(seq)
        house.time += 1.0
    assert bob.connection.waiting == 1, "it does not read what it gets on its lane"
    bob.report()
    side.connection.outlet.flush(house.time)
    assert bob.connection.waiting == 0


def side_lane(house: House, guest: Guest, **limits: Any) -> Any:
    """Return a lane as the relay sees it, with limits of its own."""
    admission = Admission(AdmissionConfig(burst=1, **limits), most_connections=10)
    assert admission.knock("198.51.100.7", house.time) is None
    quota = admission.enter(guest.connection.user_id, "198.51.100.7", house.time)
    counted: list[int] = []
    return SimpleNamespace(
        connection=guest.connection, quota=quota, receipts=SimpleNamespace(count=counted.append), counted=counted
    )


def pose(guest: Guest, seq: int) -> bytes:
    return Header(3, Kind.POSE, Delivery.LATEST, K, 1, guest.connection.number, seq, 0, 0).pack() + bytes(50)


async def test_limits_hold_on_a_lane_too(house: House) -> None:
    alice, bob = house.publisher("alice"), house.join("bob")
    side = side_lane(house, alice, member_frames=10, patience=10)
    bob.written.clear()
    alice.written.clear()
    for seq in range(30):
        house.relay.side_frame(side, pose(alice, seq))
    came = len(bob.heard("frame"))
    assert 10 <= came < 20
    assert house.relay.drops["over_limit"] == 30 - came
    assert len(side.counted) == 30, "or its sender would take them for being under way for ever"
    for seq in range(30, 200):
        house.relay.side_frame(side, pose(alice, seq))
    assert alice.heard("bye"), "the session ends, not the lane only"


async def test_what_comes_late_by_another_way_is_dropped(house: House) -> None:
    alice, bob = house.publisher("alice"), house.join("bob")
    side = side_lane(house, alice)
    bob.written.clear()
    alice.send(5)
    for seq in (4, 5, 6):
        house.relay.side_frame(side, pose(alice, seq))
    assert house.relay.drops == {"late": 2}
    assert len(bob.heard("frame")) == 2
    house.relay.side_frame(side, b"no packet")
    assert house.relay.drops["damaged"] == 1


async def test_tickets_of_a_connection_that_is_going(house: House) -> None:
    alice = house.join("alice")
    ticket = alice.ask(control.OpenLane())["ticket"]
    alice.connection.dismiss(control.Bye(reason="enough"))
    with pytest.raises(AuthError, match="gone"):
        house.lanes.redeem(ticket, "alice", alice.connection.session_id)
    strange: list[object] = [None, 7, b"t", "", {}, []]
    for nonsense in strange:
        with pytest.raises(AuthError, match="does not know"):
            house.lanes.redeem(nonsense, "alice", alice.connection.session_id)
    bob = house.join("bob")
    bob.ask(control.OpenLane())
    house.lanes.end(bob.connection)
    assert not house.lanes._tickets
    assert not house.lanes._ticket_of
