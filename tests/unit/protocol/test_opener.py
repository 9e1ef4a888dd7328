"""The way in: each refusal under its name, and no packet twice."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posewire.errors import ProtocolError
from posewire.protocol import (
    HEADER_BYTES,
    Delivery,
    FrameType,
    Header,
    Kind,
    Opener,
    PoseData,
    RoomSeal,
    Seal,
    unpack_header,
)
from posewire.protocol.body_v1 import encode_pose
from posewire.protocol.opener import _MOST_PEERS
from posewire.protocol.replay_window import WINDOW
from posewire.protocol.room_view import RoomMember
from tests.unit.strategies import damaged

NOW = 1_700_000_000.0
SIGNING_KEY = b"the key that the members of a room share"
ROOM_KEY = bytes(range(32))
SEALS = {
    Seal.MAC: RoomSeal(Seal.MAC, SIGNING_KEY, "studio"),
    Seal.AEAD: RoomSeal(Seal.AEAD, ROOM_KEY, "studio"),
}
MODES = list(SEALS)
HEADER = Header(2, Kind.POSE, Delivery.LATEST, FrameType.KEY, 1, 7, 0, 0, round(NOW * 1e6))
POINT = PoseData(np.full((1, 4), 0.5, dtype=np.float32), skeleton="point")


def member(name: str = "alice", number: int = 7, *, salt: bytes = b"s" * 16, mode: Seal = Seal.AEAD) -> RoomMember:
    key_id = SEALS[mode].key_id
    return RoomMember(id=name, number=number, join_time=0.0, last_active=0.0, salt=salt, key_id=key_id)


def opener(mode: Seal) -> Opener:
    return Opener(SEALS[mode], max_age=30.0)


def sealed(mode: Seal, body: bytes = b"body", *, by: RoomMember | None = None, **fields: Any) -> bytes:
    by = by or member(mode=mode)
    header = msgspec.structs.replace(HEADER, seal=mode, **fields)
    return SEALS[mode].key_of(by.id, by.salt).seal(header, body)


def plain(body: bytes = b"body", **fields: Any) -> bytes:
    return msgspec.structs.replace(HEADER, **fields).pack() + body


def v1(*, now: float = NOW, key: bytes = SIGNING_KEY) -> bytes:
    return encode_pose(POINT, key=key, now=now, threshold=None, level=6)


def offer(opener: Opener, packet: bytes, by: RoomMember, *, now: float = NOW) -> str:
    """Return what became of a packet: ``taken``, or why not."""
    try:
        header = unpack_header(packet)
        opened = opener.open(header, packet, by, signing_key=SIGNING_KEY, now=now)
    except ProtocolError as error:
        return error.reason
    assert opened[:HEADER_BYTES] == packet[:HEADER_BYTES]
    return "taken"


@pytest.mark.parametrize("mode", MODES)
@given(body=st.binary(max_size=100), seq=st.integers(0, 0xFFFF_FFFF), stream=st.integers(0, 255))
def test_what_was_sealed_is_opened(mode: Seal, body: bytes, seq: int, stream: int) -> None:
    packet = sealed(mode, body, seq=seq, stream=stream)
    header = msgspec.structs.replace(HEADER, seal=mode, seq=seq, stream=stream)
    opened = opener(mode).open(header, packet, member(mode=mode), signing_key=b"", now=0.0)
    assert opened == packet[:HEADER_BYTES] + body


@pytest.mark.parametrize(
    ("mode", "packet", "by", "reason"),
    [
        # Under a room key there is encryption or nothing.
        (Seal.AEAD, plain(), member(), "unsealed"),
        (Seal.AEAD, plain(), member(salt=b""), "unsealed"),
        (Seal.AEAD, plain(v1(), version=1), member(), "unsealed"),
        (Seal.AEAD, sealed(Seal.MAC), member(), "unsealed"),
        (Seal.AEAD, sealed(Seal.AEAD), msgspec.structs.replace(member(), key_id=b"another!"), "wrong_key"),
        (Seal.AEAD, sealed(Seal.AEAD), msgspec.structs.replace(member(), key_id=b""), "wrong_key"),
        (Seal.AEAD, sealed(Seal.AEAD, by=member(salt=b"")), member(salt=b""), "altered"),
        (Seal.AEAD, sealed(Seal.AEAD), member(salt=b"x" * 16), "altered"),
        (Seal.AEAD, sealed(Seal.AEAD), member("bob"), "altered"),
        (Seal.AEAD, sealed(Seal.AEAD, member=8), member(), "taken"),
        # Without one, a MAC of whoever can make it.
        (Seal.MAC, sealed(Seal.AEAD), member(), "no_key"),
        (Seal.MAC, plain(), member(), "unsealed"),
        (Seal.MAC, plain(), member(salt=b""), "taken"),
        (Seal.MAC, plain(v1(), version=1), member(), "taken"),
        (Seal.MAC, plain(v1(), version=1), member(salt=b""), "taken"),
        (Seal.MAC, plain(b"nonsense", version=1), member(), "damaged"),
        (Seal.MAC, sealed(Seal.MAC, v1(), version=1), member(mode=Seal.MAC), "taken"),
        (Seal.MAC, sealed(Seal.MAC), member("bob"), "altered"),
        (Seal.MAC, sealed(Seal.MAC, by=member(salt=b"")), member(salt=b""), "altered"),
    ],
)
def test_refusals_have_a_name(mode: Seal, packet: bytes, by: RoomMember, reason: str) -> None:
    assert offer(opener(mode), packet, by) == reason


@pytest.mark.parametrize("mode", MODES)
@settings(max_examples=300)
@given(data=st.data())
def test_damage_is_refused_and_moves_nothing(mode: Seal, data: st.DataObject) -> None:
    good = sealed(mode, b"a body", seq=5)
    door, by = opener(mode), member(mode=mode)
    assert offer(door, data.draw(damaged(good)), by) in ("altered", "damaged", "unsealed", "no_key")
    assert door._peers == {}
    assert offer(door, good, by) == "taken"


@pytest.mark.parametrize("mode", MODES)
@given(st.permutations(range(8)), st.lists(st.integers(0, 7), max_size=20))
def test_each_packet_once_in_any_order(mode: Seal, order: list[int], again: list[int]) -> None:
    key = SEALS[mode].key_of("alice", b"s" * 16)
    packets = [key.seal(msgspec.structs.replace(HEADER, seal=mode, seq=seq), b"body") for seq in range(8)]
    door, by = opener(mode), member(mode=mode)
    assert [offer(door, packets[seq], by) for seq in order] == ["taken"] * 8
    assert {offer(door, packets[seq], by) for seq in again} <= {"replayed"}


def test_streams_and_members_have_windows_of_their_own() -> None:
    door = opener(Seal.AEAD)
    bob = member("bob", 8)
    for stream in (0, 1, 2):
        assert offer(door, sealed(Seal.AEAD, stream=stream), member()) == "taken"
        assert offer(door, sealed(Seal.AEAD, stream=stream, by=bob, member=8), bob) == "taken"
    assert offer(door, sealed(Seal.AEAD, stream=1), member()) == "replayed"


def test_without_a_seal_nothing_comes_twice_either() -> None:
    door, stock = opener(Seal.MAC), member(salt=b"")
    assert [offer(door, plain(seq=seq), stock) for seq in (0, 2, 1, 2, 5000, 5000 - WINDOW)] == [
        "taken",
        "taken",
        "taken",
        "replayed",
        "taken",
        "replayed",
    ]


def test_a_member_that_seems_to_have_left_is_still_known() -> None:
    """A server could tell of a member that left and came back with the same salt, and replay what it said."""
    door, alice = opener(Seal.AEAD), member()
    packet = sealed(Seal.AEAD)
    assert offer(door, packet, alice) == "taken"
    for index in range(10):
        other = member(f"user-{index}", 7)
        assert offer(door, sealed(Seal.AEAD, by=other), other) == "taken"
    assert offer(door, packet, msgspec.structs.replace(alice, role="host", join_time=5.0)) == "replayed"
    # Back with another salt it starts anew.
    again = member(salt=b"t" * 16)
    assert offer(door, sealed(Seal.AEAD, by=again), again) == "taken"


def test_memory_is_bounded_and_the_one_heard_last_stays() -> None:
    door, alice = opener(Seal.MAC), member(salt=b"")
    assert offer(door, plain(seq=0), alice) == "taken"
    for index in range(_MOST_PEERS - 1):
        assert offer(door, plain(), member("bob", index, salt=b"")) == "taken"
    assert offer(door, plain(seq=1), alice) == "taken"
    for index in range(10):
        assert offer(door, plain(), member("carol", index, salt=b"")) == "taken"
    assert len(door._peers) == _MOST_PEERS
    assert offer(door, plain(seq=1), alice) == "replayed"


# Version 1 -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("signed", "reason"), [(-30.0, "taken"), (-30.1, "stale"), (0.0, "taken"), (30.0, "taken"), (30.1, "stale")]
)
def test_a_signed_time_has_an_age(signed: float, reason: str) -> None:
    packet = plain(v1(now=NOW + signed), version=1, captured_us=round((NOW + signed) * 1e6))
    assert offer(opener(Seal.MAC), packet, member()) == reason


@pytest.mark.parametrize(("captured", "reason"), [(-30.0, "taken"), (-30.1, "altered"), (30.1, "altered")])
def test_the_capture_time_is_bound_to_the_signed_one(captured: float, reason: str) -> None:
    packet = plain(v1(), version=1, captured_us=round((NOW + captured) * 1e6))
    assert offer(opener(Seal.MAC), packet, member()) == reason


@pytest.mark.parametrize("captured_us", [0, 2**63, 2**64 - 1])
def test_capture_times_that_cannot_be(captured_us: int) -> None:
    assert offer(opener(Seal.MAC), plain(v1(), version=1, captured_us=captured_us), member()) == "altered"


def test_another_key_signs_for_another_room() -> None:
    packet = plain(v1(key=b"the key of another room, as long as that"), version=1)
    assert offer(opener(Seal.MAC), packet, member()) == "altered"


@pytest.mark.parametrize("salt", [b"", b"s" * 16])
def test_a_signed_message_is_good_once(salt: bytes) -> None:
    """Under another number too: the signature does not cover the header."""
    door, by = opener(Seal.MAC), member(salt=salt)
    assert offer(door, plain(v1(now=NOW - 1), version=1, seq=1), by) == "taken"
    assert offer(door, plain(v1(now=NOW - 1), version=1, seq=2), by) == "replayed"
    assert offer(door, plain(v1(now=NOW - 2), version=1, seq=0), by) == "taken", "overtaken is not replayed"
    assert offer(door, plain(v1(now=NOW - 3), version=1, seq=0), by) == "replayed"


def test_under_a_room_key_v1_is_checked_inside() -> None:
    door, by = opener(Seal.AEAD), member()
    assert offer(door, sealed(Seal.AEAD, v1(), version=1), by) == "taken"
    assert offer(door, sealed(Seal.AEAD, v1(now=NOW - 31), version=1, seq=1), by) == "stale"
    assert offer(door, sealed(Seal.AEAD, v1(key=b"x" * 32), version=1, seq=2), by) == "altered"


@pytest.mark.parametrize("mode", MODES)
def test_a_packet_can_be_opened_again_and_is_told_from_a_new_one(mode: Seal) -> None:
    gate, by = opener(mode), member(mode=mode)
    packets = [sealed(mode, b"body %d" % seq, seq=seq) for seq in range(3)]
    assert offer(gate, packets[1], by) == "taken"
    for _ in range(2):
        found = [gate.reopen(unpack_header(packet), packet, by) for packet in packets]
        assert [opened[HEADER_BYTES:] for opened, _ in found] == [b"body 0", b"body 1", b"body 2"]
        assert [new for _, new in found] == [True, False, True]
    # Nothing was noted: those that are new are taken once, as if nobody had looked.
    assert [offer(gate, packet, by) for packet in packets] == ["taken", "replayed", "taken"]
    assert [new for _, new in (gate.reopen(unpack_header(packet), packet, by) for packet in packets)] == [False] * 3


@given(data=st.data())
@pytest.mark.parametrize("mode", MODES)
def test_damage_is_refused_again_too(mode: Seal, data: st.DataObject) -> None:
    gate, by, packet = opener(mode), member(mode=mode), sealed(mode)
    bad = data.draw(damaged(packet).filter(lambda bad: bad != packet))
    try:
        header = unpack_header(bad)
    except ProtocolError:
        return
    with pytest.raises(ProtocolError) as refused:
        gate.reopen(header, bad, by)
    assert refused.value.reason in ("altered", "unsealed", "no_key", "wrong_key")
    assert gate._peers == {}, "a stranger is not remembered"


def test_who_was_never_heard_is_not_remembered_for_being_looked_at() -> None:
    gate, packet = opener(Seal.AEAD), sealed(Seal.AEAD)
    assert gate.reopen(unpack_header(packet), packet, member())[1]
    assert gate._peers == {}
