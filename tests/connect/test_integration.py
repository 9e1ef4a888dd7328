"""The main job, end to end: what one member hands in is what the others get; and what strangers send is refused."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import numpy as np
import pytest
import socketio

import posewire
from posewire import AudioChunk, DataValidationError, PoseData, clock
from posewire.limits import MAX_PACKET_BYTES
from posewire.protocol import Delivery, FrameType, Header, Kind, PoseProtocol, Seal, unpack_header
from posewire.recording import load_recording
from posewire.sources import SAMPLES, sample_path
from posewire.testing import generate_test_audio, generate_test_pose
from tests.connect.conftest import CONFIG, Member, changed, eventually, landmarks, next_frame, points
from tests.connect.stock import Plain
from tests.half_step import assert_within

DATA = Path(__file__).parents[2].parent / "shared" / "data"
RECORDINGS = sorted(DATA.glob("*.npz")) or [sample_path(name) for name in sorted(SAMPLES)]
"""All recordings where the data folder is beside the repository, else those that ship with the package."""


# What arrives is what was sent ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["v1", "v2", "v3"])
@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
async def test_recordings_arrive_equal_in_order_and_whole(member: Member, path: Path, version: str) -> None:
    """Every frame in v2 and, to half a step, in v3; in v1, which is slow, frames all over the recording."""
    recording = load_recording(path)
    config = changed(sender={"protocol_version": version}, receiver={"queue_size": 10_000})
    start = clock.now() - 10 if version == "v1" else 1000.0  # v1 is signed within 30 s of capture
    indices = range(0, len(recording), max(1, len(recording) // (40 if version == "v1" else 300)))
    async with member("alice", config=config) as alice, member("bob", config=config) as bob:
        frames = bob.frames()
        for number, index in enumerate(indices):
            await alice.send_pose(recording.pose(index), timestamp=start + index / 1000)
            # One by one: latest wins, so the next would replace one that waits anywhere on the way.
            frame = await next_frame(frames)
            sent = recording.pose(index)
            assert frame.seq == number
            assert frame.pose is not None
            assert frame.pose.timestamp == frame.timestamp
            if version == "v3":
                assert_within(frame.pose, sent)
            else:
                assert frame.pose == PoseData(
                    sent.pose_landmarks, sent.face_landmarks, sent.hand_landmarks, frame.timestamp, sent.skeleton
                )
            # In the clock of whoever shows it, which is measured while both are busy.
            assert frame.timestamp == pytest.approx(start + index / 1000, abs=0.01)
        assert frames.dropped == 0
        assert alice.sender.status().drops == {}


async def test_all_versions_are_received_at_once(member: Member) -> None:
    async with member("alice") as alice, member("bob") as bob:
        frames = bob.frames()
        for version in ("v1", "v2", "v3", "v2", "v3", "v3", "v1"):
            alice.pose.set_protocol_version(version)
            await alice.send_pose(landmarks())
            frame = await next_frame(frames)
            assert (points(frame) == landmarks()).all()
        with pytest.raises(ValueError, match="expected one of v1, v2, v3"):
            alice.pose.set_protocol_version("v9")
        assert alice.socket.protocol.version == "v1"


SolutionOutputs = namedtuple("SolutionOutputs", ["pose_landmarks", "left_hand_landmarks", "right_hand_landmarks"])


def tracker_result(points: np.ndarray[Any, Any]) -> Any:
    """A result as ``mp.solutions.holistic`` gives it: a namedtuple of lists of landmarks."""
    marks = [SimpleNamespace(x=x, y=y, z=z, visibility=v) for x, y, z, v in points.tolist()]
    return SolutionOutputs(SimpleNamespace(landmark=marks), None, SimpleNamespace(landmark=marks[:21]))


async def test_every_form_of_a_pose(member: Member) -> None:
    marks = landmarks(3)
    dicts = [dict(zip(("x", "y", "z", "visibility"), row, strict=True)) for row in marks.tolist()]
    async with member("alice") as alice, member("bob") as bob:
        frames = bob.frames()
        for form in (marks, PoseData(marks), dicts, {"landmarks": dicts}, tracker_result(marks)):
            assert await alice.send_pose(form)
            frame = await next_frame(frames)
            assert (points(frame) == marks).all(), type(form)
        assert frame.pose is not None
        assert frame.pose.hand_landmarks is not None
        assert np.isnan(frame.pose.hand_landmarks[0]).all(), "the hand that was not found"
        assert (frame.pose.hand_landmarks[1] == marks[:21]).all()
        assert await alice.pose.send_pose_data(generate_test_pose(seed=1), room_id="studio")
        assert await alice.media.send_pose_frame(marks, hands_results=tracker_result(marks))


async def test_nobody_found_is_sent_as_such(member: Member) -> None:
    async with member("alice") as alice, member("bob") as bob:
        frames = bob.frames()
        await alice.send_pose(np.full((33, 4), np.nan, dtype=np.float32))
        frame = await next_frame(frames)
        assert np.isnan(points(frame)).all()


async def test_capture_buffers_may_be_reused(member: Member) -> None:
    buffer = landmarks(1)
    async with member("alice") as alice, member("bob") as bob:
        frames = bob.frames()
        expected = buffer.copy()
        await alice.send_pose(buffer)
        buffer[:] = 0
        frame = await next_frame(frames)
        assert (points(frame) == expected).all()


async def test_sound_arrives_as_it_was(member: Member) -> None:
    noise = generate_test_audio(0.1, seed=1)
    stereo = np.random.default_rng(2).random((480, 2)).astype(np.float32)
    async with member("alice") as alice, member("bob") as bob:
        frames = bob.frames("audio")
        for sent in (noise, stereo, noise.samples.tobytes()):
            assert await alice.send_audio(sent)
            frame = await next_frame(frames)
            chunk = frame.audio
            assert chunk is not None
            expected = sent.samples if isinstance(sent, AudioChunk) else sent
            if isinstance(expected, bytes):
                expected = noise.samples
            assert chunk.samples.dtype == expected.dtype
            assert (chunk.samples == expected).all()
        assert (frame.kind, frame.stream) == ("audio", "audio")
        assert chunk is not None
        assert chunk.sample_rate == 48_000
        assert await alice.media.send_audio_frame(b"\0\0" * 10)


async def test_streams_and_members_are_told_apart(member: Member) -> None:
    async with member("alice") as alice, member("bob") as bob, member("carol") as carol:
        everything, second, bobs = carol.frames(), carol.frames(stream="second"), carol.frames(user_id="bob")
        await alice.send_pose(landmarks(1))
        await alice.sender.flush()
        await alice.send_pose(landmarks(2), stream="second")
        await alice.sender.flush()
        await bob.send_pose(landmarks(3))
        assert (await next_frame(second)).user_id == "alice"
        assert (await next_frame(bobs)).user_id == "bob"
        seen = {((frame := await next_frame(everything)).user_id, frame.stream) for _ in range(3)}
        assert seen == {("alice", "pose"), ("alice", "second"), ("bob", "pose")}
        with pytest.raises(posewire.InvalidDataError, match="kind 'video'"):
            carol.frames("video")


async def test_times_are_on_the_receivers_clock(server: posewire.Server, member: Member) -> None:
    """A sender whose clock is an hour off: its frames are as old as they are."""
    async with member("alice") as alice, member("bob") as bob:
        alice.socket.clock.correct(0.0, 3600.0, 0.0, 0.0, step=True)
        frames = bob.frames()
        import time

        before = time.time()
        await alice.send_pose(landmarks(), timestamp=before - 3600.0)
        frame = await next_frame(frames)
        assert frame.timestamp == pytest.approx(before, abs=0.5)
        assert -0.5 < frame.age < 10


async def test_the_module_functions_use_the_session_of_the_context(member: Member) -> None:
    for call in (posewire.send_pose_data(landmarks(), "studio"), posewire.join_room("studio", "alice")):
        with pytest.raises(posewire.ConnectionError, match="no session here"):
            await call
    with pytest.raises(posewire.ConnectionError, match="no session here"):
        posewire.get_performance_metrics()
    async with member("bob") as bob:
        async with member("alice", None):
            assert await posewire.join_room("studio", "alice")
            frames = bob.frames()
            assert await posewire.send_pose_data(landmarks(), "studio", priority=5)
            assert (await next_frame(frames)).user_id == "alice"
            with pytest.raises(posewire.RoomError, match="not in this room"):
                await posewire.send_pose_data(landmarks(), "stage")
            metrics = posewire.get_performance_metrics()
            assert metrics["sent"] == 1.0
            assert metrics["success_rate"] == 1.0
            assert {"fps", "latency", "cpu_usage", "memory_usage", "age_p99"} <= metrics.keys()
        assert posewire.session.current.session() is bob


# What a caller does wrong --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pose", "message"),
    [
        (np.zeros((33, 3)), r"pose_landmarks: shape \[33, 3\] - expected \[N, 4\]"),
        (np.zeros(33), r"shape \[33\] - expected \[N, 4\]"),
        (np.zeros((0, 4)), r"shape \[0, 4\] - expected 1 to 2048 landmarks"),
        (np.zeros((10_000, 4)), r"shape \[10000, 4\] - expected 1 to 2048 landmarks"),
        (np.full((33, 4), np.inf), "infinite - expected a finite number"),
        (np.array([[np.nan, 0.5, 0.5, 1]] * 33), "expected x, y and z all found or all NaN"),
        ([], r"shape \[0\] - expected \[N, 4\]"),
        ([{"x": 1, "y": 2}], r"landmarks\[0\].z: None - expected a number"),
        ([{"x": 1, "y": "2", "z": 3}], r"landmarks\[0\].y: '2' - expected a number"),
        ("a pose", "str - expected a PoseData"),
        (None, "NoneType - expected a PoseData"),
        ({"landmark": []}, "key 'landmark' - expected some of"),
        ({}, "expected at least one of"),
        (np.array([["a"] * 4]), "expected numbers"),
    ],
)
async def test_bad_poses_are_refused_with_what_is_wrong(member: Member, pose: Any, message: str) -> None:
    async with member("alice") as alice:
        with pytest.raises(DataValidationError, match=message):
            await alice.send_pose(pose)
        assert not alice.pose.validate_data(pose)
        assert alice.sender.status().sent == 0
        assert await alice.send_pose(landmarks()), "nothing is broken by it"


@pytest.mark.parametrize(
    ("pcm", "message"),
    [
        (b"\0", "1 bytes - expected int16 samples"),
        (b"", "0 samples"),
        (np.zeros(10), "dtype float64 - expected int16 or float32"),
        (np.zeros((2, 2, 2), dtype=np.int16), "expected \\[n, 1..8 channels\\]"),
        (np.zeros(300_000, dtype=np.int16), "expected 1 to 200000"),
        ("sound", "str - expected bytes"),
    ],
)
async def test_bad_sound_is_refused(member: Member, pcm: Any, message: str) -> None:
    async with member("alice") as alice:
        with pytest.raises(DataValidationError, match=message):
            await alice.send_audio(pcm)


async def test_a_room_key_does_not_let_a_password_off_this_machine() -> None:
    session = posewire.connect(
        "http://10.0.0.1:1",
        credentials={"username": "alice", "password": "a long passphrase"},
        room_key=b"k" * 32,
        config=CONFIG,
    )
    with pytest.raises(posewire.SecurityError, match="no room key seals a password"):
        async with session:
            pass


async def test_plain_text_off_this_machine_is_refused() -> None:
    with pytest.raises(posewire.SecurityError, match="not loopback and not https"):
        async with posewire.connect("http://10.0.0.1:1", token="x", config=CONFIG):
            pass


# An open protocol ----------------------------------------------------------------------------------------------------


async def test_a_plain_client_joins_and_gets_the_frames(server: posewire.Server, member: Member) -> None:
    config = changed(sender={"protocol_version": "v2"})
    async with member("alice", config=config) as alice, Plain() as plain:
        joined = await plain.enter(server, "plain")
        assert {one["id"]: one["number"] for one in joined["snapshot"]["members"]} == {"alice": 1, "plain": 2}
        await alice.send_pose(landmarks())
        await eventually(lambda: bool(plain.packets))
        header = unpack_header(plain.packets[0])
        stream = next(update["change"]["stream"] for update in plain.rooms if update["change"]["type"] == "stream")
        assert (header.member, header.stream) == (stream["member"], stream["number"]) == (1, 1)
        # The body of version 2 by hand, as docs/wire.md tells it; 8 bytes of MAC behind it.
        import msgpack

        assert header.seal is Seal.MAC
        flag, body = plain.packets[0][19], plain.packets[0][20:-8]
        assert flag == 0
        pose, face, hands, skeleton = msgpack.unpackb(body)
        assert (face, hands, skeleton) == (None, None, "mediapipe33")
        assert (np.frombuffer(pose, dtype="<f4").reshape(-1, 4) == landmarks()).all()


async def test_a_plain_client_sends(server: posewire.Server, member: Member) -> None:
    async with member("alice") as alice, Plain() as plain:
        joined = await plain.enter(server, "plain")
        ok, number = await plain.sio.call("stream.open", {"kind": "pose", "name": "camera"})
        assert (ok, number) == (True, 1)
        frames = alice.frames()
        header = Header(2, Kind.POSE, Delivery.LATEST, FrameType.KEY, number, joined["number"], 7, 0, 10**15)
        body = PoseProtocol(version="v2").encode_pose(PoseData(landmarks()), now=0.0).body
        await plain.sio.emit("frame", header.pack() + body)
        frame = await next_frame(frames)
        assert (frame.user_id, frame.stream, frame.seq) == ("plain", "camera", 7)
        assert (points(frame) == landmarks()).all()


# Strangers -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def good(server: posewire.Server) -> bytes:
    """A packet of member 2 on its stream 1."""
    header = Header(2, Kind.POSE, Delivery.LATEST, FrameType.KEY, 1, 2, 0, 0, 10**15)
    return header.pack() + PoseProtocol(version="v2").encode_pose(PoseData(landmarks()), now=0.0).body


async def test_bad_packets_are_counted_and_answered(server: posewire.Server, member: Member, good: bytes) -> None:
    async with member("alice") as alice, Plain() as plain:
        await plain.enter(server, "plain")
        await plain.sio.call("stream.open", {"kind": "pose", "name": "camera"})
        ok, recipients = await plain.sio.call("frame", good)
        assert (ok, recipients) == (True, 1)
        bad: list[tuple[Any, str, str]] = [
            (b"", "ProtocolError", "shorter than its header"),
            (good[:10], "ProtocolError", "shorter than its header"),
            (b"\xff" * 40, "ProtocolError", "unknown format"),
            (b"\x19" + good[1:], "ProtocolError", "body version 9"),
            (good[:1] + b"\xc0" + good[2:], "ProtocolError", "no meaning"),
            ("text", "DataValidationError", "expected bytes"),
            (None, "DataValidationError", "expected bytes"),
            (good[:3] + b"\x01\x00" + good[5:], "RoomError", "packet of member 1 from member 2"),
            (good[:2] + b"\x09" + good[3:], "RoomError", "stream 9 is not open"),
            (good[:1] + b"\x01" + good[2:], "RoomError", "stream 1 carries pose"),
            (good[:2] + b"\x00" + good[3:], "RoomError", "stream 0 carries events only"),
        ]
        for packet, kind, message in bad:
            ok, error = await plain.sio.call("frame", packet)
            assert (ok, error["type"]) == (False, kind), packet
            assert message in error["message"]
        assert server.stats().drops == {"damaged": 7, "refused": 4}
        assert alice.receiver.drops == {}


async def test_damaged_bodies_are_counted_by_the_receiver(server: posewire.Server, member: Member, good: bytes) -> None:
    async with member("alice") as alice, Plain() as plain:
        await plain.enter(server, "plain")
        await plain.sio.call("stream.open", {"kind": "pose", "name": "camera"})
        frames = alice.frames()
        bodies = (good[19:-1], b"", b"\x07" + good[20:], b"\x01" + good[20:])
        for seq, body in enumerate(bodies, 1):
            await plain.sio.call("frame", good[:5] + bytes([seq]) + good[6:19] + body)
        await plain.sio.call("frame", good)
        assert (await next_frame(frames)).user_id == "plain"
        assert alice.receiver.drops == {"damaged": 4}
        event = Header(2, Kind.EVENT, Delivery.RELIABLE, FrameType.KEY, 0, 2, 0, 0, 0).pack()
        await plain.sio.call("frame", event + b"\x00\xc1")
        await alice.rooms.list_rooms()
        assert alice.receiver.drops == {"damaged": 5}


async def test_requests_that_make_no_sense(server: posewire.Server, member: Member) -> None:
    async with Plain() as plain:
        await plain.enter(server, "plain")
        for event, data, message in (
            ("room.destroy", {}, "expected one of frame, hello"),
            ("room.join", {}, "missing required field `room`"),
            ("room.join", {"room": 5}, "Expected `str`, got `int`"),
            ("room.join", {"room": ""}, "length >= 1"),
            ("room.join", [1], "Expected `object`"),
            ("stream.open", {"kind": "video", "name": "x"}, "Invalid enum value 'video'"),
            ("stream.keyframe", None, "missing required field `member`"),
            ("stream.keyframe", {"member": 1}, "missing required field `stream`"),
            ("stream.keyframe", {"member": -1, "stream": 1}, "Expected `int` >= 0"),
            ("stream.keyframe", {"member": 0x10000, "stream": 1}, "Expected `int` <= 65535"),
            ("stream.keyframe", {"member": 1, "stream": 256}, "Expected `int` <= 255"),
            ("stream.keyframe", {"member": 1, "stream": "1"}, "Expected `int`, got `str`"),
            ("stream.keyframe", [1, 1], "Expected `object`"),
        ):
            ok, error = await plain.sio.call(event, data)
            assert (ok, error["type"]) == (False, "DataValidationError")
            assert message in error["message"], error
        await plain.sio.call("room.leave", {"room": "studio"})
        ok, error = await plain.sio.call("stream.open", {"kind": "pose", "name": "x"})
        assert (ok, error["type"]) == (False, "RoomError")
        ok, error = await plain.sio.call("frame", b"\x12" + b"\0" * 30)
        assert (ok, error["type"]) == (False, "RoomError")


async def test_nobody_gets_in_without_a_token(server: posewire.Server) -> None:
    for auth in (None, {}, {"token": ""}, {"token": 5}, {"token": "x"}, "token", [1]):
        async with Plain() as plain:
            with pytest.raises(socketio.exceptions.ConnectionError):
                await plain.sio.connect(server.url, auth=auth, transports=["websocket"])
    assert server.stats().connections == 0


async def websocket(http: aiohttp.ClientSession, server: posewire.Server) -> aiohttp.ClientWebSocketResponse:
    return await http.ws_connect(f"{server.url}/socket.io/?EIO=4&transport=websocket", max_msg_size=0)


GARBAGE = [b"\xc1", b"\x00" * 100, b"\x92" * 5000, b"\x82\xa4type\x09\xa3nsp\xa1/", b""]
GARBAGE_TEXT = ["", "g", "\x00", "9", "0", '4["frame"]', "4" + "[" * 50_000, "b!!", "bAAAA", "3" * 1000, "²"]


@pytest.mark.parametrize("garbage", [*GARBAGE, *GARBAGE_TEXT], ids=lambda garbage: repr(garbage)[:12])
async def test_what_is_no_packet_ends_the_connection(
    server: posewire.Server, member: Member, garbage: bytes | str, caplog: pytest.LogCaptureFixture
) -> None:
    async with member("alice") as alice, aiohttp.ClientSession() as http:
        ws = await websocket(http, server)
        await ws.receive()
        await (ws.send_str(garbage) if isinstance(garbage, str) else ws.send_bytes(garbage))
        message = await ws.receive(timeout=10)
        assert message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.ERROR)
        await ws.close()
        assert server.stats().drops["damaged"] == 1
        assert await alice.rooms.list_rooms(), "the others do not notice"
        assert server._engine is not None
        await eventually(lambda: server._engine is not None and len(server._engine.eio.sockets) == 1)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_the_text_packets_of_engine_io_do_no_harm(server: posewire.Server, member: Member) -> None:
    async with member("alice") as alice, aiohttp.ClientSession() as http:
        ws = await websocket(http, server)
        await ws.receive()
        for text in ("3", "3probe", "2", "2probe", "6", "5", "1"):
            await ws.send_str(text)
        assert await alice.rooms.list_rooms()
        await ws.close()
        await eventually(lambda: server._engine is not None and len(server._engine.eio.sockets) == 1)
        assert server.stats().drops == {}


async def test_events_before_connecting_are_not_heard(server: posewire.Server) -> None:
    import msgpack

    async with aiohttp.ClientSession() as http:
        ws = await websocket(http, server)
        await ws.receive()
        await ws.send_bytes(msgpack.packb({"type": 2, "data": ["room.list", {}], "nsp": "/", "id": 1}))
        await ws.send_bytes(msgpack.packb({"type": 0, "data": {"token": "x"}, "nsp": "/"}))
        answer = msgpack.unpackb((await ws.receive(timeout=10)).data)
        assert answer["type"] == 4, "the first answer is the refusal, not a list of rooms"
        await ws.close()


async def test_a_100_megabyte_packet(server: posewire.Server, member: Member) -> None:
    async with member("alice") as alice, Plain() as plain, aiohttp.ClientSession() as http:
        await plain.enter(server, "plain")
        await plain.sio.emit("frame", b"\x12" * 100_000_000)
        async with asyncio.timeout(30):
            await plain.gone.wait()
        ws = await websocket(http, server)
        await ws.receive()
        with pytest.raises((aiohttp.ClientError, OSError)):
            await ws.send_bytes(b"\0" * 100_000_000)
            await ws.send_bytes(b"\0" * 100_000_000)
        await ws.close()
        await eventually(lambda: server.stats().drops.get("oversized", 0) >= 1)
        assert await alice.rooms.list_rooms(), "the others do not notice"
        answer = await http.post(f"{server.url}/login", data=b"x" * 1_000_000)
        assert answer.status == 413


async def test_a_packet_just_over_the_limit_is_refused(server: posewire.Server, good: bytes) -> None:
    async with Plain() as plain:
        await plain.enter(server, "plain")
        ok, error = await plain.sio.call("frame", good + b"\0" * (MAX_PACKET_BYTES - len(good) + 1))
        assert (ok, error["type"]) == (False, "ProtocolError")
        assert "over the limit" in error["message"]


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"", 400), (b"{", 400), (b"[]", 400), (b'{"username": 1}', 400), (b"\xff", 400), (b"[" * 10_000, 400)],
)
async def test_logins_that_make_no_sense(server: posewire.Server, body: bytes, status: int) -> None:
    headers = {"Content-Type": "application/json"}
    async with (
        aiohttp.ClientSession(headers=headers) as http,
        http.post(f"{server.url}/login", data=body) as response,
    ):
        assert response.status == status
        assert (await response.json())["error"]["type"] == "DataValidationError"


async def test_health(server: posewire.Server, member: Member) -> None:
    async with member("alice"), aiohttp.ClientSession() as http, http.get(f"{server.url}/healthz") as response:
        assert response.status == 200
        health = await response.json()
        assert (health["status"], health["connections"], health["rooms"]) == ("ok", 1, 1)


async def test_strangers_that_come_and_go_leave_nothing(
    server: posewire.Server, member: Member, caplog: pytest.LogCaptureFixture
) -> None:
    """Connections that end in mid-handshake, before a word, or half open."""
    assert server._engine is not None
    eio = server._engine.eio
    async with member("alice") as alice:
        request = (
            b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        for sent, read in ((request, 0), (request, 10), (request[:60], 0), (b"\r\n", 0), (b"\x16\x03\x01" * 50, 0)):
            for _ in range(5):
                reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
                writer.write(sent)
                if read:
                    await reader.read(read)
                writer.transport.abort()
        await eventually(lambda: len(eio.sockets) == 1)
        await eventually(lambda: len(eio.tasks) == 2)  # the service task, and alice's ping
        assert await alice.rooms.list_rooms()
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.parametrize("version", [1, 2, 3])
async def test_headers_that_lie_are_counted_and_harm_nobody(
    server: posewire.Server, member: Member, version: int
) -> None:
    """Impossible times, frame types that the body cannot have, a seal that is none: whatever the member sends."""
    now = clock.now()
    seqs = itertools.count()
    async with member("alice") as alice, Plain() as plain:
        joined = await plain.enter(server, "plain")
        await plain.sio.call("stream.open", {"kind": "pose", "name": "camera"})
        frames = alice.frames()

        async def send(**wrong: Any) -> None:
            fields: dict[str, Any] = {"frame_type": FrameType.KEY, "ref": 0, "captured_us": round(now * 1e6)}
            header = Header(
                version=version,
                kind=Kind.POSE,
                delivery=Delivery.LATEST,
                stream=1,
                member=2,
                seq=next(seqs),
                **fields | wrong,
            )
            protocol = PoseProtocol(version=f"v{version}")  # a new one: every frame is a keyframe
            protocol.signing_key = joined["key"]
            body = protocol.encode_pose(PoseData(landmarks()), now=now + header.seq / 1000).body
            ok, _ = await plain.sio.call("frame", header.pack() + body)
            assert ok

        for wrong in ({"frame_type": FrameType.LEAF}, {"frame_type": FrameType.ANCHOR}, {"ref": 3}):
            await send(**wrong)
        await send(seal=Seal.MAC)
        await send(seal=Seal.AEAD)
        for captured_us in (0, 1, 2**63, 2**64 - 1):
            await send(captured_us=captured_us)
            if version != 1:
                assert (points(await next_frame(frames)) == landmarks()).all()
        await alice.rooms.list_rooms()
        # The signature of version 1 is bound to the time of capture.
        assert alice.receiver.drops == {"damaged": 3, "altered": 5 if version == 1 else 1, "no_key": 1}


@pytest.mark.parametrize("name", ["bye", "room", "keyframe", "connect", "disconnect", "reconnect"])
async def test_a_member_cannot_speak_for_the_server(server: posewire.Server, member: Member, name: str) -> None:
    heard: list[posewire.Event] = []
    async with member("alice") as alice, Plain() as plain:
        await plain.enter(server, "plain")
        alice.on(name, heard.append)
        with pytest.raises(DataValidationError, match="the session itself uses this one"):
            await alice.send_event(name)
        header = Header(2, Kind.EVENT, Delivery.RELIABLE, FrameType.KEY, 0, 2, 0, 0, 10**15)
        packed = b"\x00\x92" + bytes([0xA0 | len(name)]) + name.encode() + b"\xc0"
        ok, _ = await plain.sio.call("frame", header.pack() + packed)
        assert ok
        await alice.rooms.list_rooms()
        assert alice.receiver.drops == {"damaged": 1}
    assert all(event.user_id is None for event in heard)


@pytest.mark.parametrize("name", ["connect", "disconnect", "connect_error", "__disconnect_final", "*"])
async def test_a_client_cannot_call_the_servers_own_handlers(
    server: posewire.Server, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with Plain() as plain:
        await plain.enter(server, "plain")
        await plain.sio.emit(name, {})
        async with asyncio.timeout(10):
            await plain.gone.wait()
    await eventually(lambda: server.stats().connections == 0)
    assert server.stats().drops == {"damaged": 1}
    await eventually(lambda: server._engine is not None and not server._engine.eio.sockets)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_whoever_is_not_let_in_in_time_is_cut() -> None:
    async with posewire.serve(config=changed(socket={"connect_timeout": 500})) as server:
        async with aiohttp.ClientSession() as http:
            ws = await websocket(http, server)
            await ws.receive()
            message = await ws.receive(timeout=10)
            assert message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
            await ws.close()
        assert server.stats().drops == {"handshake_timeout": 1}
        token = server.issue_token("alice")
        async with posewire.connect(server.url, token=token, room="studio", config=CONFIG) as alice:
            await asyncio.sleep(0.1)  # past the deadline of strangers, which is not hers
            assert await alice.rooms.list_rooms()
