"""Clients without a line of Posewire: python-socketio as it is, with both parsers, in one room with a session."""

from __future__ import annotations

import asyncio
import base64
import json
import zlib
from collections.abc import AsyncIterator
from typing import Any

import jwt
import msgpack
import numpy as np
import pytest
import socketio

import posewire
from posewire import PoseData, clock
from posewire.protocol import Delivery, FrameType, Header, Kind, PoseProtocol, Seal, unpack_header
from posewire.protocol.default_parser import MAX_ATTACHMENTS
from tests.connect.conftest import Member, changed, eventually, heard, kinds, landmarks, next_frame, points, seen
from tests.connect.stock import Plain
from tests.connect.test_admission import Raw, drops, gone, honest

WAYS = [
    ("default", ("websocket",)),
    ("msgpack", ("websocket",)),
    ("default", ("polling",)),
    ("msgpack", ("polling",)),
    ("default", ("polling", "websocket")),
    ("msgpack", ("polling", "websocket")),
]


@pytest.fixture
async def server() -> AsyncIterator[posewire.Server]:
    async with posewire.serve(config=changed(server={"long_polling": True})) as server:
        yield server


@pytest.fixture(params=WAYS, ids=lambda way: f"{way[0]}-{'-'.join(way[1])}")
def plain(request: pytest.FixtureRequest) -> Plain:
    serializer, transports = request.param
    return Plain(serializer, transports=transports)


def header(member: int, stream: int, seq: int, *, version: int = 2) -> bytes:
    kind, delivery = (Kind.POSE, Delivery.LATEST) if stream else (Kind.EVENT, Delivery.RELIABLE)
    return Header(version, kind, delivery, FrameType.KEY, stream, member, seq, 0, round(clock.now() * 1e6)).pack()


def event_header(member: int, seq: int) -> bytes:
    return header(member, 0, seq)


def body(points: Any) -> bytes:
    """Return a pose of version 2."""
    return PoseProtocol(version="v2").encode_pose(PoseData(points), now=0.0).body


async def test_it_joins_sees_who_is_there_and_leaves(server: posewire.Server, member: Member, plain: Plain) -> None:
    async with member("alice") as alice, plain:
        presences = seen(alice)
        joined = await plain.enter(server, "plain")
        assert {one["id"]: one["number"] for one in joined["snapshot"]["members"]} == {"alice": 1, "plain": 2}
        assert type(joined["key"]) is bytes
        assert len(joined["key"]) == 32
        await eventually(lambda: ("joined", "plain") in kinds(presences))
        async with member("bob"):
            await eventually(lambda: any(change["type"] == "joined" for change in plain.changes))
            (change,) = [change for change in plain.changes if change["type"] == "joined"]
            assert change["member"]["id"] == "bob"
            assert type(change["member"]["salt"]) is bytes, "which is an attachment of the default parser"
        await eventually(lambda: any(change["type"] == "left" for change in plain.changes))
        assert await plain.ask("room.leave", {"room": "studio"}) is True
        await eventually(lambda: ("left", "plain") in kinds(presences))
        assert await plain.ask("room.list", {}) != []


@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_it_gets_the_frames(server: posewire.Server, member: Member, plain: Plain, version: str) -> None:
    config = changed(sender={"protocol_version": version})
    async with member("alice", config=config) as alice, plain:
        joined = await plain.enter(server, "plain")
        for seed in range(5):
            await alice.send_pose(landmarks(seed))
            await eventually(lambda seed=seed: len(plain.packets) > seed)  # type: ignore[misc]
            packet = plain.packets[seed]
            header = unpack_header(packet)
            stream = next(change["stream"] for change in plain.changes if change["type"] == "stream")
            assert (header.member, header.stream, header.seq) == (stream["member"], stream["number"], seed)
            if version == "v2":
                assert header.seal is Seal.MAC
                pose = msgpack.unpackb(packet[20:-8])[0]
                assert (np.frombuffer(pose, dtype="<f4").reshape(-1, 4) == landmarks(seed)).all()
            else:
                signed = json.loads(packet[19:])
                assert jwt.decode(signed["signature"], joined["key"], algorithms=["HS256"])
                data = zlib.decompress(base64.b64decode(signed["data"])) if signed["compressed"] else signed["data"]
                found = json.loads(data)["pose_landmarks"]
                assert [mark["x"] for mark in found] == landmarks(seed)[:, 0].tolist()


@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_it_sends_frames(server: posewire.Server, member: Member, plain: Plain, version: str) -> None:
    async with member("alice") as alice, plain:
        frames = alice.frames()
        joined = await plain.enter(server, "plain")
        number = await plain.ask("stream.open", {"kind": "pose", "name": "camera"})
        protocol = PoseProtocol(version=version)
        protocol.signing_key = joined["key"]
        for seq in range(5):
            body = protocol.encode_pose(PoseData(landmarks(seq)), now=clock.now()).body
            await plain.sio.emit("frame", header(joined["number"], number, seq, version=int(version[1])) + body)
            frame = await next_frame(frames)
            assert (frame.user_id, frame.stream, frame.seq) == ("plain", "camera", seq)
            assert (points(frame) == landmarks(seq)).all()
        assert await plain.sio.call("frame", header(joined["number"], number, 5) + b"\0") == [True, 1]
        ok, error = await plain.sio.call("frame", header(77, number, 6) + b"\0")
        assert (ok, error["type"]) == (False, "RoomError")
        await eventually(lambda: bool(plain.acks))
        assert plain.acks[-1][0] > 0, "how much has come is acknowledged"


async def test_reliable_events_both_ways(server: posewire.Server, member: Member, plain: Plain) -> None:
    async with member("alice") as alice, plain:
        gestures = heard(alice, "gesture")
        joined = await plain.enter(server, "plain")
        for seq in range(20):
            packet = event_header(joined["number"], seq) + b"\x00" + msgpack.packb(["gesture", {"wave": seq}])
            assert await plain.sio.call("frame", packet) == [True, 1]
            await alice.send_event("gesture", seq)
        await eventually(lambda: len(gestures) == len(plain.packets) == 20)
        assert [event.data for event in gestures] == [{"wave": seq} for seq in range(20)]
        assert [msgpack.unpackb(packet[20:-8]) for packet in plain.packets] == [["gesture", seq] for seq in range(20)]


async def test_a_wrong_token_gets_a_clear_refusal(server: posewire.Server, plain: Plain) -> None:
    async with plain:
        with pytest.raises(socketio.exceptions.ConnectionError):
            await plain.connect(server, token="wrong")
        (refusal,) = plain.refusals
        assert "Authentication failed" in refusal["message"]
        assert refusal["data"]["type"] == "AuthError"
        assert refusal["data"]["code"] == 401
    assert server.stats().connections == 0


async def test_it_is_kicked_and_told_why(server: posewire.Server, member: Member, plain: Plain) -> None:
    async with member("alice") as alice, plain:
        await plain.enter(server, "plain")
        await alice.rooms.kick_member("studio", "plain", "singing")
        await asyncio.wait_for(plain.gone.wait(), 10)
        assert "singing" in plain.byes[0]["reason"]
        assert plain.byes[0]["retry"] is False


async def test_a_room_of_all_kinds_hears_everyone(server: posewire.Server, member: Member) -> None:
    """Sessions, and both kinds of stock clients: each packet is the same bytes to all of them."""
    async with member("alice") as alice, member("bob") as bob, Plain("default") as text, Plain("msgpack") as binary:
        frames = bob.frames()
        numbers = {}
        for name, plain in (("text", text), ("binary", binary)):
            numbers[name] = (await plain.enter(server, name))["number"]
            await plain.ask("stream.open", {"kind": "pose", "name": "camera"})
        for seq in range(10):
            await alice.send_pose(landmarks(seq))
            await next_frame(frames)
            for name, plain in (("text", text), ("binary", binary)):
                await plain.sio.emit("frame", header(numbers[name], 1, seq) + body(landmarks(seq)))
                frame = await next_frame(frames)
                assert (frame.user_id, frame.seq) == (name, seq)
        await eventually(lambda: len(text.packets) == len(binary.packets) == 20)
        of_alice = [[packet for packet in plain.packets if packet[3] == 1] for plain in (text, binary)]
        assert of_alice[0] == of_alice[1]
        assert len(of_alice[0]) == 10


@pytest.mark.parametrize("second", WAYS, ids=lambda way: f"{way[0]}-{'-'.join(way[1])}")
async def test_it_comes_back_by_another_way(
    server: posewire.Server, member: Member, plain: Plain, second: tuple[str, tuple[str, ...]]
) -> None:
    """What it missed is sent as the new connection has it, whatever it was when it was kept."""
    async with member("alice") as alice, Plain(second[0], transports=second[1]) as back:
        async with plain:
            token = server.issue_token("plain")
            await plain.connect(server, token=token, session="one")
            resume = (await plain.ask("hello", {"resume": ""}))["resume"]
            joined = await plain.ask("room.join", {"room": "studio"})
            await alice.send_event("note", 0)
            await eventually(lambda: len(plain.packets) == 1)
            (connection,) = [each for each in server._reception.connections.values() if each.user_id == "plain"]
            connection.cut()
            await eventually(lambda: server.stats().seats_held == 1)
            for number in range(1, 4):
                await alice.send_event("note", number)
            received = len(plain.packets) + len(plain.rooms)
        await back.connect(server, token=token, session="one")
        hello = await back.ask("hello", {"resume": resume, "received": received, "member": joined["number"]})
        assert hello["resumed"], hello
        await eventually(lambda: len(back.packets) == 3)
        assert [msgpack.unpackb(packet[20:-8])[1] for packet in back.packets] == [1, 2, 3]


async def test_answers_that_are_several_messages_stay_whole(server: posewire.Server, member: Member) -> None:
    """Frames are written past engine.io's queue; between an answer's text and its attachments one would be of them."""
    async with asyncio.timeout(30), member("alice") as alice, Plain("default") as plain:
        await plain.enter(server, "plain")
        done = asyncio.Event()

        async def talk() -> None:
            seq = 0
            while not done.is_set():
                await alice.send_event("note", seq)
                seq += 1

        talking = asyncio.create_task(talk(), name="talk")
        for _ in range(20):
            answers = await asyncio.gather(*[plain.ask("room.members", {"room": "studio"}) for _ in range(10)])
            for members in answers:
                assert [(one["id"], len(one["salt"])) for one in members] == [("alice", 16), ("plain", 0)]
        done.set()
        await talking
        assert all(unpack_header(packet).kind is Kind.EVENT for packet in plain.packets)
        assert len(plain.packets) > 20


# What a client of the default parser may send ------------------------------------------------------------------------

HEAD = b'451-["frame",{"_placeholder":true,"num":0}]'
TEXT, BYTES = 0x81, 0x82
FIT = b'_placeholder":true,"num":'


TWO = b'452-["x",{"' + FIT + b'0},{"' + FIT + b"1}]"


@pytest.mark.parametrize(
    ("script", "code", "reason"),
    [
        ([(b"42" + b"[" * 60_000, TEXT)], 1008, "damaged"),
        ([(b'42["x",' + b"[" * 900, TEXT)], 1008, "damaged"),
        ([(b'42["x",' + b"[" * 500 + b"]" * 500 + b"]", TEXT)], 1008, "damaged"),
        ([(b'42["x",[' + b"[]," * 20_000 + b"[]]]", TEXT)], 1008, "damaged"),
        ([(b'42["x",[' + b"0," * 30_000 + b"0]]", TEXT)], 1008, "damaged"),
        ([(b'42["x","' + b"y" * 90_000 + b'"]', TEXT)], 1009, "oversized"),
        ([(b'42["x","' + b"y" * 20_000 + b'"]', TEXT)], 1008, "damaged"),
        ([(b'42["x",' + b"9" * 5_000 + b"]", TEXT)], 1008, "damaged"),
        ([(b'42["x",99999999999999999999]', TEXT)], 1008, "damaged"),
        ([(b'42["x",NaN]', TEXT)], 1008, "damaged"),
        ([(b'42["x"', TEXT)], 1008, "damaged"),
        ([(b'42{"x":1}', TEXT)], None, "damaged"),
        ([(b"42[5]", TEXT)], None, "damaged"),
        ([(b'42["connect"]', TEXT)], None, "damaged"),
        ([(b"44{}", TEXT)], None, "damaged"),
        ([(b"49", TEXT)], 1008, "damaged"),
        ([(b"4", TEXT)], 1008, "damaged"),
        ([(b"4[[[[[[[", TEXT)], 1008, "damaged"),
        ([("4²[]".encode(), TEXT)], 1008, "damaged"),
        ([(b"b" + b"A" * 10, TEXT)], 1008, "damaged"),
        ([(b"", TEXT)], 1008, "damaged"),
        # Attachments: too many, none, not those of the placeholders, not announced, of another kind, too large.
        ([(b'455-["x",{"' + FIT + b"0}]", TEXT)], 1008, "damaged"),
        ([(b'45999999999-["x"]', TEXT)], 1008, "damaged"),
        ([(b'450-["x"]', TEXT)], 1008, "damaged"),
        ([(b'421-["x",{"' + FIT + b"0}]", TEXT)], 1008, "damaged"),
        ([(b'451-["x"]', TEXT)], 1008, "damaged"),
        ([(b'451-["x",{"' + FIT + b"1}]", TEXT)], 1008, "damaged"),
        ([(b'451-["x",{"' + FIT + b"-1}]", TEXT)], 1008, "damaged"),
        ([(b'451-["x",{"' + FIT + b"true}]", TEXT)], 1008, "damaged"),
        ([(b'451-["x",' + b",".join([b'{"' + FIT + b"0}"] * 900) + b"]", TEXT)], 1008, "damaged"),
        ([(b"bytes", BYTES)], 1008, "damaged"),
        ([(HEAD, TEXT), (HEAD, TEXT)], 1008, "damaged"),
        ([(HEAD, TEXT), (b'42["heartbeat",{}]', TEXT)], 1008, "damaged"),
        ([(HEAD, TEXT), (header(1, 1, 0), BYTES), (b"", BYTES)], 1008, "damaged"),
        ([(HEAD, TEXT), (bytes(1_049_000), BYTES)], 1009, "oversized"),
        ([(b'451-["x",{"' + FIT + b"0}]", TEXT), (bytes(90_000), BYTES)], 1009, "oversized"),
        ([(TWO, TEXT), (bytes(60_000), BYTES), (bytes(60_000), BYTES)], 1009, "oversized"),
    ],
    ids=lambda value: repr(value)[:40],
)
async def test_messages_that_end_their_connection(
    server: posewire.Server, member: Member, script: list[tuple[bytes, int]], code: int | None, reason: str
) -> None:
    async with honest(member), Raw(server) as raw:
        await enter_as_text(raw, server.issue_token("greedy"))
        for payload, first in script:
            raw.write(payload, first)
        if code is not None:
            assert await raw.goodbye() == code
            raw.write(b"", 0x88)
        await gone(raw.reader)
        await eventually(lambda: server.stats().connections == 2)
        assert drops(server, reason) == 1


async def enter_as_text(raw: Raw, token: str) -> None:
    assert b" 101 " in await raw.upgrade("Host: 127.0.0.1")
    assert (await raw.message()).startswith(b"0{")
    raw.write(b"40" + json.dumps({"token": token}).encode(), TEXT)
    assert (await raw.message()).startswith(b'40{"sid":')


async def test_attachments_that_never_come_hold_up_nobody(server: posewire.Server, member: Member) -> None:
    async with honest(member) as check, Raw(server) as raw:
        await enter_as_text(raw, server.issue_token("greedy"))
        raw.write(HEAD, TEXT)
        for _ in range(20):
            raw.write(b"3", TEXT)  # what is engine.io's own may come between
            await check()
        raw.write(header(1, 1, 0), BYTES)
        await eventually(lambda: drops(server, "refused") == 1)
        assert server.stats().connections == 3


async def test_a_parser_is_kept_to(server: posewire.Server) -> None:
    """Who began with msgpack does not go on with text, whatever that says."""
    async with Raw(server) as raw:
        await raw.enter(server.issue_token("greedy"))
        raw.write(b'42["heartbeat",{}]', TEXT)
        assert await raw.goodbye() == 1008
    await eventually(lambda: drops(server, "damaged") == 1)


async def test_a_stranger_with_text_is_a_stranger_too(server: posewire.Server) -> None:
    async with Raw(server) as raw:
        assert b" 101 " in await raw.upgrade("Host: 127.0.0.1")
        for _ in range(40):
            raw.write(b'42["hello"]', TEXT)
        await gone(raw.reader)
        await eventually(lambda: drops(server, "stranger_too_long") == 1)


async def test_requests_with_the_most_attachments(server: posewire.Server, plain: Plain) -> None:
    """A seat with a salt and a key has two; nothing that is refused has more than may be."""
    async with plain:
        await plain.connect(server, token=server.issue_token("plain"))
        seat = {"room": "studio", "create": True, "salt": bytes(range(16)), "key_id": bytes(8)}
        joined = await plain.ask("room.join", seat)
        (me,) = joined["snapshot"]["members"]
        assert (me["salt"], me["key_id"]) == (bytes(range(16)), bytes(8))
        ok, error = await plain.sio.call("room.list", [b"x"] * MAX_ATTACHMENTS)
        assert (ok, error["type"]) == (False, "DataValidationError")
