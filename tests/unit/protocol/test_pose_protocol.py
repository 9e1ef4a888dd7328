"""Bodies of every kind and version behind one door."""

from __future__ import annotations

import functools
import json
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posewire.errors import DataValidationError, ProtocolError
from posewire.protocol import (
    VERSIONS,
    AudioChunk,
    CodedPose,
    Delivery,
    FrameType,
    Header,
    Kind,
    MissingReference,
    PoseData,
    PoseProtocol,
    Precision,
)
from tests.half_step import assert_within
from tests.unit.strategies import damaged, poses, unless_refused

pytestmark = pytest.mark.usefixtures("codec")

KEY = b"the key that the members of a room share"
HEADER = Header(2, Kind.POSE, Delivery.LATEST, FrameType.KEY, 1, 1, 0, 0, 0)
POSE = PoseData(np.full((33, 4), 0.5, dtype=np.float32), timestamp=3.0)
CHUNK = AudioChunk(np.zeros(1000, np.int16), 48_000, 2.0)


def protocol(version: str = "v2", **options: Any) -> PoseProtocol:
    made = PoseProtocol(version=version, **options)
    made.signing_key = KEY
    return made


def header(version: int, coded: CodedPose | None = None, **fields: int) -> Header:
    """Return the header of a frame."""
    if coded is not None:
        fields |= {"frame_type": coded.frame_type, "ref": coded.ref}
    return msgspec.structs.replace(HEADER, version=version, **fields)


@settings(max_examples=90)
@given(poses(), st.sampled_from(sorted(VERSIONS)), st.none() | st.integers(0, 2000), st.integers(0, 9))
def test_pose_round_trip(pose: PoseData, version: str, threshold: int | None, level: int) -> None:
    sender = protocol(version, compression_level=level, compression_threshold=threshold)
    coded = sender.encode_pose(pose, now=1.0)
    assert (coded.frame_type, coded.ref) == (FrameType.KEY, 0)
    packet = header(sender.body_version).pack() + coded.body
    found = protocol().decode_pose(header(sender.body_version), packet, timestamp=pose.timestamp)
    if version == "v3":
        assert found.timestamp == pose.timestamp
        assert_within(found, pose)
    else:
        assert found == pose


@pytest.mark.parametrize("version", VERSIONS)
def test_the_time_is_the_header_s(version: str) -> None:
    sender = protocol(version)
    packet = header(sender.body_version).pack() + sender.encode_pose(POSE, now=1.0).body
    assert sender.decode_pose(header(sender.body_version), packet, timestamp=8.0).timestamp == 8.0


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("timestamp", [1e12, ((1 << 64) - 1) / 1e6, -1.0])
def test_a_time_of_the_header_that_no_pose_can_have(version: str, timestamp: float) -> None:
    # Any other error would end the reading loop of everyone in the room.
    sender = protocol(version)
    packet = header(sender.body_version).pack() + sender.encode_pose(POSE, now=1.0).body
    with pytest.raises(ProtocolError):
        sender.decode_pose(header(sender.body_version), packet, timestamp=timestamp)


def test_every_version_is_read_and_one_is_written() -> None:
    door = protocol()
    written = {}
    for version, number in [("v2", 2), ("v1", 1), ("v3", 3)]:
        door.set_version(version)
        assert (door.version, door.body_version) == (version, number)
        written[number] = door.encode_pose(POSE, now=1.0).body
    assert len(set(written.values())) == 3
    for number, body in written.items():
        packet = header(number).pack() + body
        assert door.decode_pose(header(number), packet, timestamp=3.0) == POSE


@pytest.mark.parametrize("version", ["v0", "v4", "3", "", None, 2])
def test_an_unknown_version_leaves_the_old_one(version: Any) -> None:
    door = protocol("v1")
    with pytest.raises(ValueError, match="expected one of v1, v2, v3"):
        door.set_version(version)
    assert door.version == "v1"
    with pytest.raises(ValueError, match="protocol version"):
        PoseProtocol(version=version)


# What version 3 remembers --------------------------------------------------------------------------------------------


def moving(seed: int = 0) -> Iterator[PoseData]:
    """Yield a pose that moves a little, off the steps."""
    rng = np.random.default_rng(seed)
    points = rng.random((33, 4))
    while True:
        points[:, :3] += rng.normal(0, 0.005, (33, 3))
        yield PoseData(points.astype(np.float32), timestamp=1.0)


def kinds(door: PoseProtocol, times: Iterable[float], *, stream: int = 1, first: int = 0) -> str:
    """Encode a frame at each of ``times``; return a letter for each: ``K``, ``A`` or ``L``."""
    poses = moving(stream)
    coded = [
        door.encode_pose(next(poses), now=now, stream=stream, seq=seq) for seq, now in enumerate(times, start=first)
    ]
    assert all((one.ref == 0) == (one.frame_type is FrameType.KEY) for one in coded)
    return "".join(one.frame_type.name[0] for one in coded)


def test_keyframes_anchors_and_leaves() -> None:
    assert kinds(protocol("v3"), [0.03 * n for n in range(12)]) == "KLLLALLLALLL"
    assert kinds(protocol("v3", anchor_interval=1), [0.0] * 4) == "KAAA"
    assert kinds(protocol("v3", anchor_interval=2, keyframe_interval=0.5), [0.125 * n for n in range(9)]) == "KLALKLALK"


def test_the_other_versions_are_keyframes_that_refer_to_nothing() -> None:
    for version in ("v1", "v2"):
        assert kinds(protocol(version), [0.0, 0.1, 0.2, 5.0]) == "KKKK"


def test_precision_reaches_the_body() -> None:
    pose = next(moving())
    sizes = []
    for bits in (4, 11, 16):
        sender = protocol("v3", precision=Precision(bits, bits, bits))
        coded = sender.encode_pose(pose, now=0.0)
        packet = header(3).pack() + coded.body
        assert_within(protocol().decode_pose(header(3), packet, timestamp=0.0), pose, 2.0 ** -(bits + 1))
        sizes.append(len(coded.body))
    assert sizes == sorted(sizes)


def test_every_stream_has_references_of_its_own() -> None:
    sender, receiver = protocol("v3"), protocol()
    streams = {number: moving(number) for number in (1, 2, 3)}
    for seq in range(20):
        for number, stream in streams.items():
            pose = next(stream)
            coded = sender.encode_pose(pose, now=seq / 30, stream=number, seq=seq)
            assert (coded.frame_type is FrameType.KEY) == (seq == 0)
            # Two members that send the same: their streams are not each other's either.
            for member in (1, 2):
                head = header(3, coded, stream=number, member=member, seq=seq)
                assert_within(receiver.decode_pose(head, head.pack() + coded.body, timestamp=0.0), pose)


@pytest.mark.parametrize("other", [{"stream": 2}, {"member": 2}])
def test_a_reference_is_of_this_stream_of_this_member(other: dict[str, int]) -> None:
    sender, receiver = protocol("v3"), protocol()
    for seq, pose in zip(range(2), moving(), strict=False):
        coded = sender.encode_pose(pose, now=0.0, stream=1, seq=seq)
        head = header(3, coded, seq=seq)
        receiver.decode_pose(head, head.pack() + coded.body, timestamp=0.0)
    elsewhere = msgspec.structs.replace(head, **other)
    with pytest.raises(MissingReference) as caught:
        receiver.decode_pose(elsewhere, elsewhere.pack() + coded.body, timestamp=0.0)
    assert (caught.value.version, caught.value.reason) == ("3", "missing_reference")


def test_reset_forgets_both_ways() -> None:
    door, peer = protocol("v3"), protocol("v3")
    poses = moving()
    for seq in range(2):
        coded = peer.encode_pose(next(poses), now=0.0, stream=1, seq=seq)
        head = header(3, coded, seq=seq)
        door.decode_pose(head, head.pack() + coded.body, timestamp=0.0)
    assert kinds(door, [0.0, 0.0]) == "KL"
    door.reset()
    # Within the gap, and with numbers that go on: what is forgotten cannot be referred to.
    assert kinds(door, [0.0, 0.0], first=2) == "KL"
    with pytest.raises(MissingReference):
        door.decode_pose(head, head.pack() + coded.body, timestamp=0.0)


def test_forget_drops_what_one_member_sent() -> None:
    door = protocol("v3")
    encoders = {(member, stream): protocol("v3") for member in (1, 2, 256) for stream in (1, 2)}

    def show(member: int, stream: int, seq: int) -> PoseData:
        coded = encoders[member, stream].encode_pose(pose, now=0.0, stream=stream, seq=seq)
        head = header(3, coded, member=member, stream=stream, seq=seq)
        return door.decode_pose(head, head.pack() + coded.body, timestamp=1.0)

    pose = next(moving())
    for who in encoders:
        show(*who, seq=0)
    assert kinds(door, [0.0], stream=2) == "K"
    door.forget(2)
    door.forget(3)
    for member, stream in encoders:
        if member == 2:
            with pytest.raises(MissingReference):
                show(member, stream, seq=1)
        else:
            assert_within(show(member, stream, seq=1), pose)
    assert kinds(door, [0.0], stream=2, first=1) == "L", "what we send ourselves, on a stream of that number, goes on"


def test_whoever_gets_the_number_of_a_member_that_left_is_not_decoded_against_it() -> None:
    door = protocol("v3")
    old, new = moving(1), moving(2)
    sender = protocol("v3")
    for seq in range(3):
        coded = sender.encode_pose(next(old), now=0.0, stream=1, seq=seq)
        head = header(3, coded, seq=seq)
        door.decode_pose(head, head.pack() + coded.body, timestamp=0.0)
    door.forget(head.member)
    sender = protocol("v3")
    for seq, pose in zip(range(6), new, strict=False):
        if seq == 2:
            sender.request_keyframe(1)
        coded = sender.encode_pose(pose, now=0.0, stream=1, seq=seq)
        head = header(3, coded, seq=seq)
        if seq == 1:
            # 0 is lost; a 0 was here, but not this one.
            with pytest.raises(MissingReference):
                door.decode_pose(head, head.pack() + coded.body, timestamp=0.0)
        elif seq > 1:
            assert_within(door.decode_pose(head, head.pack() + coded.body, timestamp=0.0), pose)


@pytest.mark.parametrize(("stream", "expected"), [(1, "KL"), (2, "LK"), (None, "KK"), (9, "LL"), (-1, "LL")])
def test_a_keyframe_is_asked_of_one_stream_or_all(stream: int | None, expected: str) -> None:
    door = protocol("v3")
    assert kinds(door, [0.0] * 2, stream=1) + kinds(door, [0.0] * 2, stream=2) == "KLKL"
    door.request_keyframe(stream)
    found = [kinds(door, [0.25], stream=number, first=2) for number in (1, 2)]
    assert "".join(found) == expected
    assert [kinds(door, [0.25], stream=number, first=3) for number in (1, 2)] == ["L", "L"], "asked once, given once"


def test_keyframes_come_with_a_gap_however_many_ask() -> None:
    door = protocol("v3")
    keyframes = []
    for tick in range(100):
        door.request_keyframe()
        keyframes += [tick] * (kinds(door, [tick / 64], first=tick) == "K")
    # The first frame is one by itself. Of those that are asked for the first comes at once, the others every 13 frames:
    # 12 are 0.1875 s.
    assert keyframes == [0, *range(1, 100, 13)]


def test_a_request_within_the_gap_is_kept() -> None:
    door = protocol("v3")
    assert kinds(door, [0.0]) == "K"
    door.request_keyframe(1)
    assert kinds(door, [0.0625], first=1) == "K"
    door.request_keyframe(1)
    assert kinds(door, [0.125, 0.1875, 0.25, 0.3125, 0.375], first=2) == "LLLKL"


def test_the_gap_counts_from_keyframes_that_were_asked_for() -> None:
    door = protocol("v3", keyframe_interval=0.5)
    assert kinds(door, [0.0, 0.25, 0.5]) == "KLK"
    door.request_keyframe(1)
    assert kinds(door, [0.5625, 0.625], first=3) == "KL", "the one at 0.5 was due"


def test_a_stream_that_has_sent_nothing_is_asked_in_vain() -> None:
    door = protocol("v3")
    door.request_keyframe()
    door.request_keyframe(1)
    assert kinds(door, [0.0, 1.0]) == "KL"


def test_a_clock_that_was_set_back_costs_a_keyframe() -> None:
    assert kinds(protocol("v3"), [100.0, 100.1, 50.0, 50.1]) == "KLKL"


@settings(max_examples=30)
@given(st.lists(st.sampled_from(sorted(VERSIONS)), max_size=24))
def test_all_versions_in_any_order(versions: list[str]) -> None:
    """One protocol writes them, one reads them; what the other versions send between does not matter to version 3."""
    sender, receiver = protocol(), protocol()
    for seq, (version, pose) in enumerate(zip(versions, moving(), strict=False)):
        sender.set_version(version)
        coded = sender.encode_pose(pose, now=seq / 30, stream=1, seq=seq)
        head = header(sender.body_version, coded, seq=seq)
        found = receiver.decode_pose(head, head.pack() + coded.body, timestamp=1.0)
        if version == "v3":
            assert_within(found, pose)
        else:
            assert found == pose
        assert (coded.frame_type is FrameType.KEY) == (version != "v3" or "v3" not in versions[:seq])


def test_references_are_kept_of_a_bounded_number_of_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stream heard longest ago goes, and is refused until its next keyframe."""
    monkeypatch.setattr("posewire.protocol.pose_protocol._MOST_DECODERS", 3)
    sender, receiver = protocol("v3"), protocol()
    poses = moving()
    seqs: Counter[int] = Counter()

    def show(stream: int) -> None:
        coded = sender.encode_pose(next(poses), now=seqs[stream] / 1000, stream=stream, seq=seqs[stream])
        head = header(3, coded, stream=stream, seq=seqs[stream])
        seqs[stream] += 1
        receiver.decode_pose(head, head.pack() + coded.body, timestamp=0.0)

    for stream in (1, 2, 3):
        show(stream)
    show(1)  # now 2 is the one heard longest ago
    show(4)
    for stream in (1, 3, 4):
        show(stream)
    with pytest.raises(MissingReference):
        show(2)
    # What cannot be read is not remembered: it pushes nobody out.
    for stream in (1, 3, 4):
        show(stream)
    coded = protocol("v3").encode_pose(next(poses), now=0.0)
    for other in range(2, 9):
        head = header(3, coded, stream=other, member=other)
        receiver.decode_pose(head, head.pack() + coded.body, timestamp=0.0)
    for stream in (1, 3, 4):  # nor do streams of others
        show(stream)


def test_a_body_of_version_3_is_refused_where_the_header_lies() -> None:
    coded = protocol("v3").encode_pose(POSE, now=0.0)
    lies: list[dict[str, Any]] = [{"ref": 1}, {"frame_type": FrameType.LEAF}, {"frame_type": FrameType.ANCHOR}]
    for lie in lies:
        head = header(3, **lie)
        with pytest.raises(ProtocolError, match="that refers") as caught:
            protocol().decode_pose(head, head.pack() + coded.body, timestamp=1.0)
        assert caught.value.reason == "damaged"


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("lie", [{"ref": 1}, {"frame_type": FrameType.LEAF}, {"frame_type": FrameType.ANCHOR}])
def test_versions_1_and_2_refer_to_nothing(version: int, lie: dict[str, Any]) -> None:
    body = protocol(f"v{version}").encode_pose(POSE, now=0.0).body
    head = header(version, **lie)
    with pytest.raises(ProtocolError, match="are keyframes"):
        protocol().decode_pose(head, head.pack() + body, timestamp=1.0)


# What version 1 signs ------------------------------------------------------------------------------------------------


def test_v1_stamps_and_signs_the_time_it_is_given() -> None:
    assert json.loads(protocol("v1").encode_pose(POSE, now=12.5).body)["timestamp"] == 12.5


def test_v1_signs_no_time_twice_where_the_clock_is_coarse() -> None:
    door = protocol("v1")
    times = [
        json.loads(door.encode_pose(POSE, now=now).body)["timestamp"] for now in (12.5, 12.5, 12.5, 12.516, 12.516)
    ]
    assert times == [12.5, 12.500001, 12.500002, 12.516, 12.516001]
    # A clock that was set back is followed.
    assert json.loads(door.encode_pose(POSE, now=2.5).body)["timestamp"] == 2.5


def test_v1_without_a_key() -> None:
    with pytest.raises(ProtocolError, match="no signing key: join a room first"):
        PoseProtocol(version="v1").encode_pose(POSE, now=1.0)


@pytest.mark.parametrize(("said", "is_"), [(1, "v2"), (1, "v3"), (2, "v1"), (2, "v3"), (3, "v1"), (3, "v2")])
def test_a_body_of_another_version_than_the_header_says(said: int, is_: str) -> None:
    packet = header(said).pack() + protocol(is_).encode_pose(POSE, now=1.0).body
    with pytest.raises(ProtocolError):
        protocol().decode_pose(header(said), packet, timestamp=1.0)


@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_packet_without_a_body(version: int) -> None:
    with pytest.raises(ProtocolError):
        protocol().decode_pose(header(version), header(version).pack(), timestamp=1.0)


def test_defaults() -> None:
    door = PoseProtocol()
    assert (door.compression_level, door.compression_threshold, door.version, door.signing_key) == (6, 1024, "v3", b"")


@pytest.mark.parametrize("level", range(10))
def test_levels(level: int) -> None:
    assert PoseProtocol(level).compression_level == level


@pytest.mark.parametrize("level", [-1, 10, True, None, "6", 2.5])
def test_refused_levels(level: Any) -> None:
    with pytest.raises(DataValidationError, match="compression_level"):
        PoseProtocol(level)


def test_a_level_is_an_integer() -> None:
    # Once: 6.0 is "in range(10)", and then zlib raises TypeError on the first body over the threshold.
    with pytest.raises(DataValidationError, match="compression_level"):
        PoseProtocol(6.0)  # type: ignore[arg-type]


def test_level_and_threshold_reach_every_body() -> None:
    whole = protocol(compression_threshold=None)
    packed = protocol(compression_threshold=0, compression_level=9)
    assert len(packed.encode_pose(POSE, now=1.0).body) < len(whole.encode_pose(POSE, now=1.0).body)
    assert len(packed.encode_audio(CHUNK)) < len(whole.encode_audio(CHUNK))
    assert protocol().encode_pose(POSE, now=1.0) == whole.encode_pose(POSE, now=1.0)  # under 1024 bytes
    assert len(protocol().encode_audio(CHUNK)) == len(packed.encode_audio(CHUNK))
    for door in (whole, packed):
        door.set_version("v1")
    assert json.loads(whole.encode_pose(POSE, now=1.0).body)["compressed"] is False
    assert json.loads(packed.encode_pose(POSE, now=1.0).body)["compressed"] is True


@pytest.mark.parametrize("timestamp", [1e12, -1.0])
def test_a_time_of_the_header_that_no_sound_can_have(timestamp: float) -> None:
    with pytest.raises(ProtocolError):
        protocol().decode_audio(HEADER, HEADER.pack() + protocol().encode_audio(CHUNK), timestamp=timestamp)


def test_audio_and_events() -> None:
    door = protocol()
    packet = HEADER.pack() + door.encode_audio(CHUNK)
    assert door.decode_audio(HEADER, packet, timestamp=2.0) == CHUNK
    packet = HEADER.pack() + door.encode_event("gesture", {"name": "wave"})
    assert door.decode_event(HEADER, packet) == ("gesture", {"name": "wave"})
    with pytest.raises(DataValidationError):
        door.encode_event("", None)


@pytest.mark.parametrize("version", [1, 3])
@pytest.mark.parametrize("kind", [Kind.AUDIO, Kind.EVENT])
def test_audio_and_events_have_version_2(kind: Kind, version: int) -> None:
    one = msgspec.structs.replace(HEADER, version=version, kind=kind)
    decode: Any = protocol().decode_event
    packet = one.pack() + protocol().encode_event("e", None)
    if kind is Kind.AUDIO:
        decode = functools.partial(protocol().decode_audio, timestamp=1.0)
        packet = one.pack() + protocol().encode_audio(CHUNK)
    with pytest.raises(ProtocolError, match=f"{kind.name.lower()} bodies have version 2"):
        decode(one, packet)


@pytest.mark.parametrize("read", ["pose", "audio", "event"])
def test_kinds_are_not_taken_for_each_other(read: str) -> None:
    door = protocol()
    bodies = {
        "pose": door.encode_pose(POSE, now=1.0).body,
        "audio": door.encode_audio(CHUNK),
        "event": door.encode_event("e", 5),
    }
    decoders: dict[str, Any] = {
        "pose": lambda packet: door.decode_pose(HEADER, packet, timestamp=1.0),
        "audio": lambda packet: door.decode_audio(HEADER, packet, timestamp=1.0),
        "event": lambda packet: door.decode_event(HEADER, packet),
    }
    for name, body in bodies.items():
        if name != read:
            with pytest.raises(ProtocolError):
                decoders[read](HEADER.pack() + body)


# The specification's helpers -----------------------------------------------------------------------------------------


def test_encode_landmarks() -> None:
    door = PoseProtocol()
    assert door.encode_landmarks([{"x": 1, "y": 2, "z": 3}]) == [{"x": 1.0, "y": 2.0, "z": 3.0, "visibility": 1.0}]
    assert door.encode_landmarks(POSE) == [dict.fromkeys(("x", "y", "z", "visibility"), 0.5)] * 33
    assert msgspec.json.encode(door.encode_landmarks(POSE))
    with pytest.raises(DataValidationError, match="expected pose landmarks"):
        door.encode_landmarks({"face_landmarks": np.zeros((468, 4))})


@settings(max_examples=40)
@given(poses(), st.integers(0, 9))
def test_compress_and_decompress(pose: PoseData, level: int) -> None:
    door = PoseProtocol(level)
    assert door.decompress_data(door.compress_data(pose)) == pose


def test_compress_is_zlib_of_json_of_anything_accepted() -> None:
    door = PoseProtocol()
    text = zlib.decompress(door.compress_data([{"x": 1, "y": 2, "z": 3}]))
    assert json.loads(text)["pose_landmarks"] == [{"x": 1.0, "y": 2.0, "z": 3.0, "visibility": 1.0}]
    sizes = [len(PoseProtocol(level).compress_data(POSE)) for level in (0, 9)]
    assert sizes[1] < sizes[0]


@given(damaged(PoseProtocol().compress_data(POSE)) | st.binary(max_size=100))
def test_decompress_of_damage(data: bytes) -> None:
    assert unless_refused(PoseProtocol().decompress_data, data, version="1") in (POSE, None)


def test_decompress_of_a_bomb() -> None:
    with pytest.raises(ProtocolError, match="inflates over"):
        PoseProtocol().decompress_data(zlib.compress(bytes(64 << 20), 9))


def test_versions_are_numbered_by_their_names() -> None:
    assert {f"v{number}": number for number in VERSIONS.values()} == VERSIONS
