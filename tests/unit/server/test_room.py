"""Rooms, their relay and their desk under pressure: who gets what, who may ask, and what leaves with whom."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from posewire.config import ServerConfig
from posewire.limits import MAX_EVENT_BYTES
from posewire.protocol import Delivery, FrameType, Header, Kind, control
from posewire.server.fast_path import Outgoing, outgoing_frame
from tests.connect.conftest import eventually
from tests.unit.server.house import Guest, House

K, A, L = FrameType.KEY, FrameType.ANCHOR, FrameType.LEAF


@pytest.fixture
async def house(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    house = House(monkeypatch, ServerConfig(recipient_limit=4096, recipient_timeout=15_000))
    yield house
    house.close()


@pytest.fixture
def alice(house: House) -> Guest:
    return house.publisher("alice", "pose", "other")


def picture(guest: Guest, of: Guest, stream: int = 1) -> list[bytes]:
    got: list[bytes] = guest.ask(control.FetchPicture(member=of.connection.number, stream=stream))
    return got


# Who gets what -------------------------------------------------------------------------------------------------------


async def test_everyone_else_who_may_subscribe_gets_a_frame(house: House, alice: Guest) -> None:
    bob, mute = house.join("bob"), house.join("mute", subscribe=False)
    stage = house.join("erin", "stage")
    for guest in house.guests:
        guest.written.clear()
    packets = [alice.send(seq) for seq in range(5)]
    assert bob.heard("frame") == packets
    assert (alice.written, mute.written, stage.written) == ([], [], [])
    late = house.join("late")
    bob.written.clear()
    packet = alice.send(5)
    assert (bob.heard("frame"), late.heard("frame")) == ([packet], [packet])
    house.rooms.leave(late.connection, "left")
    late.written.clear()
    alice.send(6)
    assert late.written == []


async def test_a_slow_member_gets_the_newest_and_the_others_notice_nothing(house: House, alice: Guest) -> None:
    bob, slow = house.join("bob"), house.join("slow")
    slow.stick((alice, 2))
    bob.written.clear()
    packets = [alice.send(0), *[alice.send(seq, L, 0) for seq in range(1, 30)]]
    events = [alice.send(seq, stream=0, kind=Kind.EVENT, delivery=Delivery.RELIABLE) for seq in range(3)]
    assert bob.heard("frame") == packets + events
    assert slow.written == []
    slow.recover()
    heard = slow.heard("frame")
    assert heard[:3] == events
    assert heard[-2:] == [packets[0], packets[-1]]
    assert slow.connection.outlet._mailbox is None
    packet = alice.send(30, L, 0)
    assert slow.heard("frame") == [packet]


@pytest.mark.parametrize("delivery", Delivery)
async def test_an_event_waits_its_turn_whatever_its_delivery_says(
    house: House, alice: Guest, delivery: Delivery
) -> None:
    """Nor is it a frame: a client reports no events, and must not be taken for one that does not read."""
    bob = house.join("bob")
    bob.report()
    bob.stick((alice, 2))
    bob.report()
    events = [alice.send(seq, stream=0, kind=Kind.EVENT, delivery=delivery) for seq in range(5)]
    bob.recover()
    assert bob.heard("frame")[:5] == events
    bob.report()
    for seq in range(5, 30):
        house.time += 1.0
        packet = alice.send(seq, stream=0, kind=Kind.EVENT, delivery=delivery)
        assert bob.heard("frame") == [packet]


async def test_sound_that_waits_is_little_whatever_a_chunk_weighs(house: House) -> None:
    alice = house.publisher("alice", "voice", kind="audio")
    camera = house.publisher("camera")
    bob = house.join("bob")
    bob.stick((camera, 1))
    for seq in range(100):
        alice.send(seq, kind=Kind.AUDIO, delivery=Delivery.ORDERED, size=40_000)
    assert bob.connection.waiting * 40_000 <= 1 << 20


async def test_keyframes_of_a_publisher_are_asked_for_when_somebody_cannot_follow(house: House, alice: Guest) -> None:
    bob = house.join("bob")
    bob.stick((alice, 2))
    alice.written.clear()
    alice.send(50, L, 49)
    house.time += 0.5
    alice.send(51, L, 49)
    assert alice.heard("keyframe") == [{"stream": 1}]
    house.time += 0.5
    alice.send(52, L, 49)
    assert alice.heard("keyframe") == [{"stream": 1}]
    bob.connection.room_id = None
    house.rooms.ask_publisher(bob.connection, 1 << 8 | 1)
    assert alice.written == []


# Pictures ------------------------------------------------------------------------------------------------------------


async def test_a_picture_is_what_it_takes_to_show_the_newest_frame(house: House, alice: Guest) -> None:
    bob = house.join("bob")
    assert picture(bob, alice) == []
    key = alice.send(0)
    assert picture(bob, alice) == [key]
    alice.send(1, L, 0)
    anchor = alice.send(2, A, 0)
    assert picture(bob, alice) == [key, anchor]
    alice.send(3, L, 2)
    leaf = alice.send(4, L, 2)
    assert picture(bob, alice) == [key, anchor, leaf]
    other = alice.send(0, stream=2)
    assert picture(bob, alice, 2) == [other]
    key = alice.send(5)
    assert picture(bob, alice) == [key]


async def test_there_is_no_picture_of_what_is_no_stream_of_poses(house: House, alice: Guest) -> None:
    bob = house.join("bob")
    alice.ask(control.OpenStream(kind="audio", name="voice"))
    alice.send(0, stream=3, kind=Kind.AUDIO)
    alice.send(0, stream=0, kind=Kind.EVENT, delivery=Delivery.RELIABLE)
    assert [picture(bob, alice, stream) for stream in (0, 3, 77)] == [[], [], []]
    assert bob.ask(control.FetchPicture(member=77, stream=1)) == []


async def test_who_may_not_watch_may_not_ask_for_a_picture(house: House, alice: Guest) -> None:
    packet = alice.send(0)
    mute, stranger, elsewhere = house.join("mute", subscribe=False), house.connect("stranger"), house.join("e", "stage")
    question = control.FetchPicture(member=alice.connection.number, stream=1)
    for guest, why in ((mute, "mute may not subscribe here"), (stranger, "stranger is in no room")):
        ok, error = guest.answer(question)
        assert not ok
        assert why in str(error)
    assert elsewhere.ask(question) == []
    watcher = house.join("watcher", publish=False)
    assert watcher.ask(question) == [packet]
    house.rooms.leave(watcher.connection, "left")
    assert not watcher.answer(question)[0]


async def test_a_picture_is_never_large(house: House, alice: Guest) -> None:
    bob = house.join("bob")
    alice.send(0, size=100_000)
    alice.send(1, L, 0, size=1_000_000)
    assert sum(map(len, picture(bob, alice))) <= 128 << 10
    assert len(picture(bob, alice)) == 1
    leaf = alice.send(2, L, 0)
    assert picture(bob, alice)[1:] == [leaf]


# Who goes ------------------------------------------------------------------------------------------------------------


async def test_with_a_publisher_go_its_pictures_and_what_waits_of_its_poses(house: House, alice: Guest) -> None:
    camera = house.publisher("camera")
    bob = house.join("bob")
    bob.stick((camera, 1))
    alice.send(0)
    number = alice.connection.number
    event = alice.send(0, stream=0, kind=Kind.EVENT, delivery=Delivery.RELIABLE)
    house.rooms.leave(alice.connection, "left")
    assert list(house.room().pictures) == [camera.connection.number << 8 | 1]
    assert bob.ask(control.FetchPicture(member=number, stream=1)) == []
    newest = camera.send(9)
    bob.recover()
    assert [data["change"]["type"] for data in _peek(bob, "room")] == ["left", "host"]
    assert bob.heard("frame") == [event, newest]


async def test_who_goes_to_another_room_gets_nothing_more_of_the_first(house: House, alice: Guest) -> None:
    """Members have the same numbers there: what waited would be taken for somebody else's."""
    other = house.publisher("other", room="stage")
    assert other.connection.number == alice.connection.number
    bob = house.join("bob")
    bob.stick((alice, 2))
    event = alice.send(0, stream=0, kind=Kind.EVENT, delivery=Delivery.RELIABLE)
    alice.send(0)
    alice.send(1, A, 0)
    bob.ask(control.JoinRoom(room="stage"))
    alice.send(2, L, 1)
    new = other.send(0)
    bob.recover()
    assert bob.heard("frame") == [event, new]
    assert bob.connection.outlet._mailbox is None
    leaf = other.send(1, L, 0)
    assert bob.heard("frame") == [leaf]


async def test_who_leaves_the_room_gets_no_more_frames_of_it(house: House, alice: Guest) -> None:
    bob = house.join("bob")
    bob.stick((alice, 2))
    alice.send(0)
    house.rooms.leave(bob.connection, "left")
    bob.recover()
    assert bob.heard("frame") == []


async def test_a_slow_member_that_is_cut_while_its_mail_waits(house: House, alice: Guest) -> None:
    bob = house.join("bob")
    bob.stick((alice, 2))
    alice.send(0)
    bob.connection.cut()
    alice.send(1)
    house.rooms.forget(bob.connection)
    alice.send(2)
    assert not bob.connection.outlet.flush(house.time)
    assert bob.connection.waiting == 0
    assert bob.written == []


# Who is given up -----------------------------------------------------------------------------------------------------


async def test_an_event_that_is_too_large_is_refused_and_nobody_is_closed_for_it(house: House, alice: Guest) -> None:
    """Or a handful of them would fill the mailboxes of all who are not on a fast link."""
    bob = house.join("bob")
    bob.written.clear()
    header = Header(3, Kind.EVENT, Delivery.RELIABLE, FrameType.KEY, 0, alice.connection.number, 0, 0, 0)
    ok, error = house.relay.frame(alice.connection, header.pack() + bytes(MAX_EVENT_BYTES + 2000))
    assert not ok
    assert "over the limit" in error["message"]
    assert bob.heard("frame") == []
    assert house.relay.drops["damaged"] == 1
    event = alice.send(1, stream=0, kind=Kind.EVENT, delivery=Delivery.RELIABLE, size=MAX_EVENT_BYTES)
    assert bob.heard("frame") == [event]


async def test_too_many_messages_end_with_a_reason_that_does_not_wait_behind_them(house: House, alice: Guest) -> None:
    bob, carol = house.join("bob"), house.join("carol")
    bob.stick((alice, 2))
    carol.written.clear()
    events = [alice.send(seq, stream=0, kind=Kind.EVENT, delivery=Delivery.RELIABLE, size=1000) for seq in range(4)]
    assert house.relay.drops["cut_too_slow"] == 1
    assert carol.heard("frame") == events
    size = sum(len(outgoing_frame(event).wire) for event in events)
    (bye,) = _peek(bob, "bye")
    assert bye["reason"] == f"too slow: {size} bytes of messages wait, more than 4096"
    assert bob.heard("frame") == []
    bob.connection.give_up("again")
    assert house.relay.drops["cut_too_slow"] == 1
    assert house.started == [bob.connection.close]


async def test_a_goodbye_that_is_not_taken_ends_in_a_cut(
    house: House, alice: Guest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """engine.io says at once that the client is gone; its transport may be there, full, for ever."""
    monkeypatch.setattr("posewire.server.connection._LAST_WORD_SECONDS", 0.01)
    bob = house.join("bob")
    bob.connection.dismiss(control.Bye(reason="enough"))
    (close,) = house.started
    closing = asyncio.create_task(close(), name="test.close")
    await eventually(lambda: bob.eio_socket.closing)
    house.rooms.forget(bob.connection)
    bob.connection.release()
    await eventually(lambda: bob.closing)
    await closing


async def test_a_goodbye_that_is_taken_leaves_no_timer(house: House, alice: Guest) -> None:
    bob = house.join("bob")
    bob.connection.dismiss(control.Bye(reason="enough"))
    (close,) = house.started
    closing = asyncio.create_task(close(), name="test.close")
    await eventually(lambda: bob.eio_socket.closing)
    bob.connection.release()
    bob.ended.set()
    await closing
    assert not bob.closing, "there was nothing to cut"


# Acknowledgements ----------------------------------------------------------------------------------------------------


async def test_every_packet_that_came_is_acknowledged_whatever_became_of_it(house: House, alice: Guest) -> None:
    """Otherwise a sender would take it for being under way for ever, and send less and less."""
    alice.written.clear()
    total = len(alice.send(0)) + len(alice.send(0, stream=0, kind=Kind.EVENT, delivery=Delivery.RELIABLE))
    other = house.connect("stranger")
    good = alice.send(1)
    total += len(good)
    for packet in (good[:5], b"", b"\xff" * 40, good.replace(b"\x01\x01\x00", b"\x09\x01\x00", 1), bytes(2 << 20)):
        ok, _ = house.relay.frame(alice.connection, packet)
        assert not ok
        total += len(packet)
    assert not house.relay.frame(alice.connection, "text")[0]
    assert not house.relay.frame(other.connection, good)[0]
    await eventually(lambda: bool(alice.written) and bool(other.written))
    assert [ack[0] for ack in alice.heard("ack")] == [total]
    assert [ack[0] for ack in other.heard("ack")] == [len(good)]
    assert house.relay.drops == {"damaged": 5, "refused": 2}


async def test_who_may_not_publish_is_refused_and_acknowledged(house: House, alice: Guest) -> None:
    mute = house.join("mute", publish=False)
    good = alice.send(0)
    mute.written.clear()
    stolen = good.replace(b"\x01\x01\x00", b"\x01\x02\x00", 1)
    assert not house.relay.frame(mute.connection, good)[0]
    ok, error = house.relay.frame(mute.connection, stolen)
    assert not ok
    assert "may not publish" in str(error)
    await eventually(lambda: bool(mute.written))
    acks = mute.heard("ack")
    assert [ack[0] for ack in acks] == [2 * len(good)]


async def test_acknowledgements_pass_the_mail_that_waits(house: House, alice: Guest) -> None:
    camera = house.publisher("camera")
    alice.stick((camera, 1))
    alice.connection.tell(Outgoing(b"waits"))
    packet = alice.send(0)
    await eventually(lambda: bool(alice.written))
    assert [ack[0] for ack in alice.heard("ack")] == [len(packet)]


async def test_a_timer_of_acknowledgements_ends_with_its_connection(house: House, alice: Guest) -> None:
    alice.send(0)
    timer = alice.connection.receipts._timer
    assert timer is not None
    alice.connection.release()
    assert timer.cancelled()


def _peek(guest: Guest, event: str) -> list[Any]:
    written = list(guest.written)
    heard = guest.heard(event)
    guest.written[:] = written
    return heard
