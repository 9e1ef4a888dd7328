"""Questions for a keyframe, over a real server: when they are asked, whom they reach, and what they cost."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
import numpy as np
import pytest

import posewire
from posewire import RoomError
from posewire.protocol import Delivery, FrameType, Header, Kind, control
from tests.connect.conftest import Member, changed, eventually, landmarks
from tests.connect.loss.lossy_link import Join, Linked, Time, numbered
from tests.connect.stock import Plain


@pytest.mark.parametrize("anchor_interval", [1, 4, 1000])
async def test_a_question_that_nobody_answers_is_asked_every_quarter_of_a_second(
    linked: Linked, monkeypatch: pytest.MonkeyPatch, anchor_interval: int
) -> None:
    """A server that knows no such question, for one."""
    monkeypatch.delitem(control.REQUESTS, "stream.keyframe")
    async with linked(config=changed(sender={"anchor_interval": anchor_interval})) as link:
        link.lose = numbered(0)
        assert await link.send(66) == "k" + "?" * 63 + {1: "KA"}.get(anchor_interval, "KL"), "the schedule brings one"
        assert (link.asked, link.told) == (8, 0), "at 1, 9, 17, …, 57"


@pytest.mark.parametrize(
    ("lost", "expected"),
    [
        ((0, 2), "k?k??????KLL"),  # 3 asks
        ((0, 2, 3), "k?kl?????KLL"),
        ((0, 2, 3, 4), "k?kll????KLL"),  # 5 asks; a quarter of a second after 1 is 9
        ((0, 2, 3, 4, 5, 6, 7), "k?klllal?KLL"),
    ],
)
async def test_a_keyframe_that_was_sent_and_lost_is_asked_for_at_once(
    linked: Linked, lost: tuple[int, ...], expected: str
) -> None:
    """1 asks, 2 is lost, and the first frame after it asks again; the next keyframe is 0.2 s after 2."""
    async with linked() as link:
        link.lose = numbered(*lost)
        assert await link.send(12) == expected
        assert (link.asked, link.told) == (2, 2)


async def test_the_same_where_anchors_come_in_quick_succession(linked: Linked) -> None:
    """1 asks; 3 refers to 2, but comes 0.03 s after 1; 5 asks, not 17. 0.2 s are 13 frames here."""
    async with linked(config=changed(sender={"anchor_interval": 1})) as link:
        link.lose, link.frame = numbered(0, 2), 1 / 64
        assert await link.send(20) == "k?k????????????KAAAA"


@pytest.mark.parametrize("late", range(8))
async def test_however_late_the_question_one_loss_costs_one_keyframe(linked: Linked, late: int) -> None:
    """5 asks; 8 is an anchor that cannot be read either, so 9 refers to a newer frame though no keyframe was sent."""
    async with linked() as link:
        link.lose, link.late = numbered(4), late
        assert await link.send(24) == ("KLLLa" + "?" * (1 + late) + "KLLL" + "ALLL" * 5)[:24]
        assert (link.asked, link.told) == (1, 1)


async def test_keyframes_of_which_none_comes(linked: Linked) -> None:
    async with linked() as link:
        link.lose = lambda header: header.frame_type is FrameType.KEY
        # Every 0.2 s one that was asked for: the first one was not.
        assert await link.send(65) == "k?" + "k??????" * 9
        assert (link.asked, link.told) == (10, 10), "at 1, then at the frame after each keyframe that was asked for"


async def test_streams_are_asked_for_one_by_one(linked: Linked) -> None:
    async with linked() as link:
        for stream in ("left", "right"):
            assert await link.send(10, stream=stream) == "KLLLALLLAL"
        link.lose = lambda header: header.frame_type is FrameType.ANCHOR and header.stream == 1
        assert await link.send(3, stream="left") == "LLa"
        assert await link.send(3, stream="right") == "LLA"
        assert await link.send(2, stream="left") == "?K"
        assert await link.send(2, stream="right") == "LL"
        assert (link.asked, link.told) == (1, 1)
        link.lose = lambda header: header.frame_type is FrameType.ANCHOR
        sent = [await link.send(1, stream=stream) for _ in range(5) for stream in ("left", "right")]
        assert "".join(sent[0::2]) == "LLLa?"
        assert "".join(sent[1::2]) == "La?KL"
        assert link.asked == 3, "though the two questions came within a quarter of a second"


async def test_a_question_that_cannot_be_asked_is_asked_again(linked: Linked) -> None:
    async with linked() as link:
        request = link.request

        async def broken(message: msgspec.Struct, answer: type[Any]) -> Any:
            link.request = request
            raise posewire.ConnectionError("gone")

        assert await link.send(8) == "KLLLALLL"
        link.lose, link.request = numbered(8), broken
        assert await link.send(12) == "a?????????KL", "a quarter of a second later"
        assert (link.asked, link.told) == (2, 1)


async def test_a_keyframe_event_that_makes_no_sense_is_survived(
    linked: Linked, caplog: pytest.LogCaptureFixture
) -> None:
    async with linked() as link:
        assert await link.send(10) == "KLLLALLLAL"
        for data in (None, {}, {"stream": "1"}, {"stream": None}, [1]):
            link.publisher.socket._inbound.event(control.KEYFRAME, data)
        assert len([1 for record in caplog.records if "not understood" in record.message]) == 5
        for stream in (-1, 0, 2, 255, 2**40):
            link.publisher.socket._inbound.event(control.KEYFRAME, {"stream": stream})
        assert await link.send(1) == "L"
        link.publisher.socket._inbound.event(control.KEYFRAME, {"stream": 1, "added_later": True})
        assert await link.send(2) == "KL"


async def ask(plain: Plain, member: int, stream: int) -> Any:
    return await plain.sio.call("stream.keyframe", {"member": member, "stream": stream})


async def test_who_may_ask_and_for_what(server: posewire.Server, join: Join, member: Member) -> None:
    told: list[Any] = []
    async with join("alice") as alice, member("deaf", subscribe=False) as deaf, Plain() as plain, Plain() as outside:
        joined = await plain.enter(server, "plain")
        await outside.enter(server, "outside", room="stage")
        alice.on("keyframe", lambda event: told.append(event.data))
        await alice.send_pose(landmarks())
        await alice.send_audio(b"\0\0")
        await alice.sender.flush()
        number = alice.socket.writer.member
        streams = {one.kind: one.number for one in alice.rooms.state.streams.values()} if alice.rooms.state else {}
        for who, stream in (
            (number, streams["audio"]),
            (number, 0),
            (number, 9),
            (joined["number"], streams["pose"]),
            (0xFFFF, streams["pose"]),
            (0, 0),
        ):
            assert await ask(plain, who, stream) == [True, False]
        assert await ask(outside, number, streams["pose"]) == [True, False], "numbers are those of its own room"
        await outside.sio.call("room.leave", {"room": "stage"})
        ok, error = await ask(outside, number, streams["pose"])
        assert (ok, error["type"]) == (False, "RoomError")
        assert "outside is in no room" in error["message"]
        with pytest.raises(RoomError, match="deaf may not subscribe"):
            await deaf.socket.request(control.RequestKeyframe(member=number, stream=streams["pose"]), bool)
        await alice.rooms.list_rooms()
        assert told == []
        assert await ask(plain, number, streams["pose"]) == [True, True]
        await eventually(lambda: told == [{"stream": streams["pose"]}])
        await alice.rooms.leave_room("studio")
        assert await ask(plain, number, streams["pose"]) == [True, False]


async def test_many_who_ask_are_told_of_as_one(server: posewire.Server, time: Time, join: Join) -> None:
    told: list[int] = []
    async with join("alice") as alice, Plain() as bob, Plain() as carol:
        await bob.enter(server, "bob")
        await carol.enter(server, "carol")
        alice.on("keyframe", lambda event: told.append(event.data["stream"]))
        for stream in ("left", "right"):
            await alice.send_pose(landmarks(), stream=stream)
            await alice.sender.flush()
        number = alice.socket.writer.member

        async def all_ask(stream: int) -> int:
            """Return how often the publisher was told."""
            before = len(told)
            for _ in range(5):
                for asker in (bob, carol):
                    assert await ask(asker, number, stream) == [True, True]
            await alice.rooms.list_rooms()
            return len(told) - before

        assert [await all_ask(1), await all_ask(2)] == [1, 1]
        time.passed += 1 / 64
        assert await all_ask(1) == 0
        time.passed += 1 / 64
        assert [await all_ask(1), await all_ask(2)] == [1, 1]
        time.passed -= 10
        assert await all_ask(1) == 1, "a clock that is set back stops nobody's stream"
        assert told == [1, 2, 1, 2, 1]


async def test_a_member_that_asks_all_the_time_costs_five_keyframes_a_second(
    server: posewire.Server, linked: Linked
) -> None:
    async with linked() as link, Plain() as mallory:
        await mallory.enter(server, "mallory")
        await link.send(1)
        member = link.headers[-1].member
        sent = ""
        for _ in range(96):
            for stream in (1, 1, 2, 255):
                await ask(mallory, member, stream)
            sent += await link.send(1)
        assert sent == ("KLLLALL" * 14)[:96], "the first at once, the others every 0.2 s; the others see every frame"
        asked_for = [header.captured_us for header in link.headers[1:] if header.frame_type is FrameType.KEY]
        assert min(np.diff(asked_for)) >= 200_000
        assert len(asked_for) <= 3 * 5
        assert link.told == 96, "of one question a frame"
        assert link.asked == 0


async def test_a_member_that_refers_to_nothing_is_asked_once_a_stream(server: posewire.Server, join: Join) -> None:
    """Frames without references, on many streams; what is only damaged is no reason to ask."""
    told: list[int] = []
    streams = range(1, 9)
    async with join("bob") as bob, Plain() as mallory:
        joined = await mallory.enter(server, "mallory")
        mallory.sio.on("keyframe", lambda data: told.append(data["stream"]))
        frames = bob.frames()
        seqs = itertools.count(1)

        async def send(stream: int, frame_type: FrameType, ref: int, body: bytes) -> None:
            member = joined["number"]
            head = Header(3, Kind.POSE, Delivery.LATEST, frame_type, stream, member, next(seqs), ref, 0)
            ok, _ = await mallory.sio.call("frame", head.pack() + body)
            assert ok

        for stream in streams:
            await mallory.sio.call("stream.open", {"kind": "pose", "name": str(stream)})
            await send(stream, FrameType.KEY, 0, b"")
            await send(stream, FrameType.LEAF, 0, b"\x0a")
            await send(stream, FrameType.KEY, 1, b"\x0a")
        await bob.rooms.list_rooms()
        await mallory.sio.call("room.list", {})
        assert (bob.receiver.drops, told) == ({"damaged": 24}, [])
        for _ in range(20):
            for stream in streams:
                await send(stream, FrameType.LEAF, 1, b"\x0a")
        await eventually(lambda: len(told) == 8)
        await bob.rooms.list_rooms()
        assert bob.receiver.drops == {"damaged": 24, "missing_reference": 160}
        assert sorted(told) == list(streams)
        assert bob.socket.connected
        await frames.aclose()
