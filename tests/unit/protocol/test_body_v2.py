"""Body version 2: msgpack, arrays as their bytes, zlib where it helps."""

from __future__ import annotations

import ast
import gc
import math
import zlib
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import posewire
from posewire.errors import DataValidationError, ProtocolError
from posewire.limits import MAX_AUDIO_SAMPLES, MAX_EVENT_BYTES, MAX_LANDMARKS, MAX_NAME_CHARS
from posewire.protocol import AudioChunk, PoseData, control
from posewire.protocol.body_v2 import (
    RESERVED_EVENTS,
    decode_audio,
    decode_event,
    decode_pose,
    encode_audio,
    encode_event,
    encode_pose,
)
from posewire.server.relay import NOTICE
from tests.unit.strategies import bit_flips, damaged, names, plain, poses, unless_refused

RAW, ZLIB = b"\x00", b"\x01"
RNG = np.random.default_rng(1)
POSE = PoseData(RNG.random((33, 4), dtype=np.float32), hand_landmarks=np.full((2, 21, 4), np.nan))
STILL = PoseData(np.full((33, 4), 0.5, dtype=np.float32))
pack = msgspec.msgpack.encode


def read_pose(body: bytes) -> PoseData:
    return decode_pose(body, timestamp=0.0)


def read_audio(body: bytes) -> AudioChunk:
    chunk = decode_audio(body, timestamp=0.0)
    assert isinstance(chunk, AudioChunk)
    return chunk


def pose_body(*fields: Any) -> bytes:
    return RAW + pack(fields)


thresholds = st.none() | st.sampled_from((0, 256, 1 << 30))


@given(poses(), thresholds, st.integers(0, 9))
def test_pose_round_trip(pose: PoseData, threshold: int | None, level: int) -> None:
    body = encode_pose(pose, threshold=threshold, level=level)
    assert decode_pose(body, timestamp=pose.timestamp) == pose


@settings(max_examples=50)
@given(poses())
def test_numbers_come_out_as_they_went_in_bit_by_bit(pose: PoseData) -> None:
    found = decode_pose(encode_pose(pose, threshold=None, level=6), timestamp=0.0)
    for name in ("pose_landmarks", "face_landmarks", "hand_landmarks"):
        part, twin = getattr(pose, name), getattr(found, name)
        assert (part is None) == (twin is None)
        assert part is None or part.tobytes() == twin.tobytes()


def test_arrays_travel_as_little_endian_float32_in_rows() -> None:
    body = encode_pose(POSE, threshold=None, level=6)
    fields = msgspec.msgpack.decode(body[1:])
    assert body[:1] == RAW
    assert POSE.pose_landmarks is not None
    assert fields[0] == POSE.pose_landmarks.astype("<f4").tobytes()
    assert fields[1] is None
    assert len(fields[2]) == 2 * 21 * 16
    assert fields[3] == "mediapipe33"


def test_the_header_s_time_counts() -> None:
    body = encode_pose(PoseData(STILL.pose_landmarks, timestamp=5.0), threshold=None, level=6)
    assert decode_pose(body, timestamp=7.0).timestamp == 7.0


def test_compressed_only_over_the_threshold_and_where_it_helps() -> None:
    size = len(encode_pose(STILL, threshold=None, level=6)) - 1
    assert encode_pose(STILL, threshold=size, level=6)[:1] == RAW
    packed = encode_pose(STILL, threshold=size - 1, level=6)
    assert packed[:1] == ZLIB
    assert len(packed) < size
    # Noise does not get smaller.
    noise = PoseData(np.frombuffer(RNG.bytes(33 * 16), "<i4").reshape(33, 4).astype(np.float32))
    assert encode_pose(noise, threshold=0, level=9)[:1] == RAW
    # Level 0 only wraps.
    assert encode_pose(STILL, threshold=0, level=0)[:1] == RAW


@pytest.mark.parametrize("threshold", [None, 0], ids=["raw", "compressed"])
def test_pose_with_one_bit_changed(threshold: int | None) -> None:
    bodies = bit_flips(encode_pose(STILL, threshold=threshold, level=6))
    found = [unless_refused(read_pose, body, version="2") for body in bodies]
    # zlib has a checksum; without it a changed coordinate is another pose.
    assert any(pose not in (STILL, None) for pose in found) == (threshold is None)


@settings(max_examples=300)
@given(
    damaged(encode_pose(POSE, threshold=None, level=6))
    | damaged(encode_pose(STILL, threshold=0, level=6))
    | st.binary(max_size=100)
    | st.binary(max_size=100).map(lambda data: RAW + data)
    | st.binary(max_size=100).map(lambda data: ZLIB + zlib.compress(data))
)
@example(b"")
@example(RAW)
@example(ZLIB)
@example(RAW + b"\xdd\xff\xff\xff\xff")
@example(RAW + b"\x91" * 100_000)
@example(RAW + b"\x94\xc0\xc0\xc0\xa1\xff")
def test_damaged_pose_is_refused_or_another_pose(body: bytes) -> None:
    # Once: now and then a changed byte makes a signalling NaN; see test_any_floats_are_refused_or_a_pose.
    assert isinstance(unless_refused(read_pose, body, version="2"), PoseData | None)


@given(st.binary(min_size=32, max_size=32))
@example(bytes.fromhex("0000807f 00000000 00000000 00000000 000080ff 00000000 00000000 00000000"))
@example(bytes.fromhex("0100a07f 0100a07f 0100a07f 00000000") * 2)
@example(bytes.fromhex("ffff7f7f") * 8)
def test_any_floats_are_refused_or_a_pose(data: bytes) -> None:
    # Once: infinities of both signs, signalling NaNs and very large numbers make numpy warn in PoseData's sum.
    pose = unless_refused(read_pose, pose_body(data, None, None, "two"), version="2")
    if pose is not None:
        assert pose.pose_landmarks is not None
        assert not np.isinf(pose.pose_landmarks).any()


@pytest.mark.parametrize(
    "body",
    [
        pose_body(None, None, None),
        pose_body(b"", None, None, "cloud"),
        pose_body(None, b"", None),
        pose_body(None, None, b""),
        pose_body(bytes(15), None, None, "cloud"),
        pose_body(bytes(16), None, None),
        pose_body(bytes(16), None, None, ""),
        pose_body(bytes(16), None, None, "x" * (MAX_NAME_CHARS + 1)),
        pose_body(bytes(16 * (MAX_LANDMARKS + 1)), None, None, "cloud"),
        pose_body(bytes(16 * 10_000), None, None, "cloud"),
        pose_body(None, bytes(16 * 469), None),
        pose_body(None, None, bytes(16 * 21)),
        pose_body(None, None, bytes(16 * 40)),
        pose_body(None, None, bytes(16 * 43)),
        pose_body("text", None, None),
        pose_body([1.0], None, None),
        pose_body(None, None),
        RAW + pack({"pose": bytes(16)}),
        RAW + pack(None),
        RAW + pack([bytes(33 * 16), None, None]) + b"\x00",
        b"\x02" + pack([bytes(33 * 16), None, None]),
        b"\xff",
    ],
)
def test_poses_that_are_refused(body: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        decode_pose(body, timestamp=0.0)
    assert caught.value.version == "2"


def test_the_skeleton_may_be_left_out_and_fields_may_be_added() -> None:
    assert decode_pose(pose_body(bytes(33 * 16), None, None), timestamp=0.0).skeleton == "mediapipe33"
    assert decode_pose(pose_body(bytes(16), None, None, "point", "new"), timestamp=0.0).skeleton == "point"


def test_as_many_landmarks_as_there_may_be() -> None:
    pose = decode_pose(pose_body(bytes(16 * MAX_LANDMARKS), None, None, "cloud"), timestamp=0.0)
    assert pose.landmark_count == MAX_LANDMARKS


@pytest.mark.parametrize("decode", [read_pose, read_audio])
def test_a_bomb(decode: Any) -> None:
    with pytest.raises(ProtocolError, match="inflates over"):
        decode(ZLIB + zlib.compress(bytes(64 << 20), 9))


# Audio ---------------------------------------------------------------------------------------------------------------

shapes = st.tuples(st.integers(1, 60), st.integers(1, 8))
chunks = st.builds(
    AudioChunk,
    samples=hnp.arrays(np.int16, shapes) | hnp.arrays(np.float32, shapes, elements=st.floats(-1, 1, width=32)),
    sample_rate=st.integers(4000, 384_000),
    timestamp=st.floats(0, 4e9),
)
CHUNK = AudioChunk(np.arange(6, dtype=np.int16).reshape(3, 2), 48_000, 1.0)


def audio_body(*fields: Any) -> bytes:
    return RAW + pack(fields)


@given(chunks, thresholds)
def test_audio_round_trip(chunk: AudioChunk, threshold: int | None) -> None:
    assert decode_audio(encode_audio(chunk, threshold=threshold, level=6), timestamp=chunk.timestamp) == chunk


def test_samples_travel_as_they_are() -> None:
    assert encode_audio(CHUNK, threshold=None, level=6) == audio_body(48_000, 2, "i2", CHUNK.samples.tobytes())
    floats = AudioChunk(CHUNK.samples.astype(np.float32), 48_000)
    assert msgspec.msgpack.decode(encode_audio(floats, threshold=None, level=6)[1:])[2] == "f4"


def test_audio_with_one_bit_changed() -> None:
    for body in bit_flips(encode_audio(CHUNK, threshold=None, level=6)):
        assert isinstance(unless_refused(read_audio, body, version="2"), AudioChunk | None)


@settings(max_examples=300)
@given(
    damaged(encode_audio(CHUNK, threshold=None, level=6))
    | st.builds(
        audio_body,
        st.integers(-(1 << 63), (1 << 64) - 1),
        st.integers(-2, 9) | st.integers(-(1 << 63), (1 << 64) - 1),
        st.sampled_from(("i2", "f4", "i4", "")),
        st.binary(max_size=40),
    )
)
def test_damaged_audio_is_refused_or_other_audio(body: bytes) -> None:
    assert isinstance(unless_refused(read_audio, body, version="2"), AudioChunk | None)


@pytest.mark.parametrize(
    "body",
    [
        audio_body(48_000, 1, "i4", bytes(4)),
        audio_body(48_000, 1, "O", bytes(8)),
        audio_body(48_000, 1, "i2", b""),
        audio_body(48_000, 1, "i2", bytes(3)),
        audio_body(48_000, 1, "f4", bytes(6)),
        audio_body(48_000, 2, "i2", bytes(6)),
        audio_body(48_000, 0, "i2", bytes(4)),
        audio_body(48_000, -1, "i2", bytes(4)),
        audio_body(48_000, 9, "i2", bytes(18)),
        audio_body(48_000, (1 << 64) - 1, "i2", bytes(4)),
        audio_body(1, 1, "i2", bytes(4)),
        audio_body(48_000, 1, "i2", bytes(2 * MAX_AUDIO_SAMPLES + 2)),
        audio_body(48_000, 1, "i2"),
        audio_body("48000", 1, "i2", bytes(4)),
    ],
)
def test_audio_that_is_refused(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_audio(body, timestamp=0.0)


# Events --------------------------------------------------------------------------------------------------------------


@given(names, plain)
def test_event_round_trip(name: str, data: Any) -> None:
    assert decode_event(encode_event(name, data)) == (name, data)


@pytest.mark.parametrize("value", [(1, 2), {"a": (1,)}, math.inf, {1: 2}])
def test_events_of_other_plain_values(value: Any) -> None:
    expected = {"a": [1]} if value == {"a": (1,)} else [1, 2] if value == (1, 2) else value
    assert decode_event(encode_event("e", value)) == ("e", expected)


@pytest.mark.parametrize("name", ["", "x" * (MAX_NAME_CHARS + 1), None, 5, b"e"])
def test_refused_event_names(name: Any) -> None:
    with pytest.raises(DataValidationError) as caught:
        encode_event(name, None)
    assert caught.value.field == "event name"


def cyclic() -> list[Any]:
    cycle: list[Any] = []
    cycle.append(cycle)
    return cycle


@pytest.mark.parametrize(
    "data",
    [object(), {"a": object()}, 1 << 64, -(1 << 63) - 1, cyclic(), "\ud800", np.zeros(3), bytes(MAX_EVENT_BYTES)],
    ids=["object", "inside", "2**64", "-2**63-1", "cycle", "surrogate", "array", "too much"],
)
def test_refused_event_data(data: Any) -> None:
    with pytest.raises(DataValidationError) as caught:
        encode_event("e", data)
    assert caught.value.field == "event data"


def test_the_longest_event_name() -> None:
    longest = "é" * MAX_NAME_CHARS
    assert decode_event(encode_event(longest, 1)) == (longest, 1)


def test_events_up_to_the_limit() -> None:
    room = MAX_EVENT_BYTES - len(encode_event("e", bytes(1000))) + 1000
    body = encode_event("e", bytes(room))
    assert len(body) == MAX_EVENT_BYTES
    assert decode_event(body) == ("e", bytes(room))
    with pytest.raises(DataValidationError, match=f"{MAX_EVENT_BYTES + 1} bytes"):
        encode_event("e", bytes(room + 1))
    with pytest.raises(ProtocolError, match="over the limit"):
        decode_event(body + b"\0")


EVENT = encode_event("gesture", {"name": "wave", "at": [1, 2.5, None], "raw": b"x"})


@settings(max_examples=300)
@given(damaged(EVENT) | st.binary(max_size=60).map(lambda data: RAW + data))
@example(RAW + b"\x92\xa1e\x81\x80\x01")  # a map as the key of a map
@example(RAW + b"\x92\xa1e\x81\xd4\x05\x01\x01")  # an extension as the key of a map
@example(RAW + b"\x92\xa1e\xd6\xff\xff\xff\xff\xff")  # a timestamp
@example(RAW + b"\x92\xa1e\xdd\x0f\xff\xff\xff")  # a list of 268 million
@example(RAW + b"\x92\xa1e" + b"\x91" * 60_000)
@example(RAW + b"\x92\xa1\xff\xc0")
@example(RAW + b"\x92\xa0\xc0")
@example(RAW + b"\x92\xd9\x81" + b"x" * 129 + b"\xc0")
def test_damaged_events_are_refused_or_other_events(body: bytes) -> None:
    event = unless_refused(decode_event, body, version="2")
    assert event is None or 0 < len(event[0]) <= MAX_NAME_CHARS


@pytest.mark.parametrize("collecting", [True, False])
def test_many_lists_do_not_keep_the_collector_running(collecting: bool) -> None:
    """Every 700 lists make it run, now and then through the whole heap; here it may run once, when all is built."""
    body = encode_event("e", [[]] * 60_000)
    runs: list[str] = []

    def note(phase: str, info: dict[str, int]) -> None:
        runs.append(phase)

    was = gc.isenabled()
    gc.callbacks.append(note)
    try:
        gc.enable() if collecting else gc.disable()
        runs.clear()
        decoded = decode_event(body)
        seen = list(runs)
        assert gc.isenabled() is collecting
        with pytest.raises(ProtocolError):
            decode_event(body[:-1])
        assert gc.isenabled() is collecting
    finally:
        gc.callbacks.remove(note)
        gc.enable() if was else gc.disable()
    assert seen.count("start") <= 1
    assert len(decoded[1]) == 60_000


def test_no_member_can_say_what_a_session_tells_its_own_handlers() -> None:
    """Every name that the source gives to an event of its own is reserved."""
    said = set()
    for file in Path(posewire.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            function = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            names = [word.value for word in node.keywords if function == "Event" and word.arg == "name"]
            names += node.args[:1] if function == "_notify" else []
            said |= {name.value for name in names if isinstance(name, ast.Constant) and isinstance(name.value, str)}
    assert {"quality", "presence", "endpoint", "synchronization"} <= said  # the search finds what there is
    of_the_server = {control.ROOM, control.BYE, control.KEYFRAME, control.ACK, control.REPORT, control.CONFIRM, NOTICE}
    assert said | of_the_server <= RESERVED_EVENTS
