"""What the relay does with packets that are over a limit; all else of it is in test_room.py."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from posewire.config import AdmissionConfig
from posewire.errors import ResourceLimitError
from posewire.protocol import Delivery, FrameType, Header, Kind, control
from posewire.server.admission import Admission
from posewire.server.relay import NOTICE
from tests.unit.server.house import Guest, House


@pytest.fixture
async def house(monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:  # type: ignore[misc]
    house = House(monkeypatch)
    yield house
    house.close()


def limit(house: House, guest: Guest, **settings: float) -> None:
    """Give a guest a quota."""
    admission = Admission(AdmissionConfig(burst=1, **settings), most_connections=10)  # type: ignore[arg-type]
    assert admission.knock("198.51.100.7", house.time) is None
    guest.connection.quota = admission.enter(guest.connection.user_id, "198.51.100.7", house.time)


def send(house: House, guest: Guest, seq: int, frame_type: FrameType = FrameType.LEAF) -> list[object]:
    header = Header(3, Kind.POSE, Delivery.LATEST, frame_type, 1, guest.connection.number, seq, 1, 0)
    return house.relay.frame(guest.connection, header.pack() + bytes(50))


async def test_what_is_over_the_limit_is_counted_and_acknowledged_and_goes_to_nobody(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = house.publisher("alice"), house.join("bob")
    limit(house, alice, member_frames=10, patience=1000)
    bob.written.clear()
    counted: list[int] = []
    monkeypatch.setattr(alice.connection.receipts, "count", counted.append)
    answers = [send(house, alice, seq) for seq in range(15)]
    assert [answer[0] for answer in answers] == [True] * 10 + [False] * 5
    assert answers[-1][1] == ResourceLimitError(alice.connection.quota.explain()).to_wire()
    assert house.relay.drops == {"over_limit": 5}
    assert len(bob.written) == 10
    assert len(counted) == 15, "or its sender would take them for being under way for ever"
    house.time += 0.1
    assert send(house, alice, 15)[0] is True


async def test_its_sender_is_told_once_and_then_dismissed(house: House) -> None:
    alice = house.publisher("alice")
    limit(house, alice, member_frames=10, patience=10)
    alice.written.clear()
    for seq in range(60):
        send(house, alice, seq)
    assert [notice["code"] for notice in alice.heard(NOTICE)] == ["over_limit"]
    assert not house.started
    for seq in range(60, 120):
        send(house, alice, seq)
    assert len(house.started) == 1, "closed once"
    (bye,) = alice.heard(control.BYE)
    assert bye["retry"] is True
    assert "over the limit of 10 frames" in bye["reason"]


async def test_damage_counts_as_the_least_of_frames(house: House) -> None:
    alice = house.publisher("alice")
    limit(house, alice, member_frames=10, patience=1000)
    for _ in range(30):
        assert house.relay.frame(alice.connection, b"\xff" * 40)[0] is False
    assert house.relay.drops == {"damaged": 10, "over_limit": 20}


async def test_what_is_no_packet_at_all_is_damage(house: House) -> None:
    alice = house.publisher("alice")
    limit(house, alice, member_frames=10)
    for wrong in (None, "text", 5, ["frame"]):
        assert house.relay.frame(alice.connection, wrong)[0] is False
    assert house.relay.drops == {"damaged": 4}
