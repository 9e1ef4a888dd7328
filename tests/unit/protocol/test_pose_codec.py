"""The compiled codec and the one in Python: the same bytes, the same poses, the same refusals."""

from __future__ import annotations

import gc
import os
import random
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import posewire.protocol
from posewire.errors import ProtocolError
from posewire.protocol import CodedPose, FrameType, PoseData, PoseDecoder, PoseEncoder, pose_codec
from posewire.protocol.pose_shape import DEFAULT_PRECISION, PoseShape, shape_of
from posewire.protocol.precision import Precision
from posewire.recording import load_recording
from posewire.sources.samples import SAMPLES, sample_path
from tests.fuzz.codec_twins import Twins, ruined
from tests.fuzz.codecs import use_codec
from tests.unit.protocol.test_body_v3_properties import Stream, streams, walk

pytestmark = pytest.mark.skipif(not pose_codec.available(), reason="the codec was not compiled")

DATA = Path(__file__).parents[3].parent / "shared" / "data"
RECORDINGS = [*sorted(DATA.glob("*.npz")), *(sample_path(name) for name in SAMPLES)]
BODY = shape_of(PoseData(np.zeros((33, 4), np.float32)), (DEFAULT_PRECISION,) * 3)
WHOLE = PoseShape(33, 478, 21, "mediapipe33", (DEFAULT_PRECISION,) * 3)
CHAINS = {"pure": pose_codec.pure_chain, "compiled": pose_codec.compiled_chain}


@pytest.fixture(autouse=True)
def chosen_again() -> Iterator[None]:
    """Give back what these tests choose by `use_codec`."""
    before = pose_codec.chain_of
    yield
    pose_codec.chain_of = before


def again(stream: Stream, which: str, *, anchor_interval: int = 4) -> list[CodedPose]:
    """Encode the poses of a stream anew."""
    use_codec(which)
    pose, face, hands = stream.precisions
    encoder = PoseEncoder(pose, face=face, hands=hands, anchor_interval=anchor_interval)
    return [encoder.encode(pose, seq=seq, time=seq / 30) for seq, pose, _ in stream.sent]


# The same bytes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
@pytest.mark.parametrize("anchor_interval", [1, 4])
def test_recordings_become_the_same_bytes_and_poses(path: Path, anchor_interval: int) -> None:
    encoders = {which: PoseEncoder(anchor_interval=anchor_interval) for which in CHAINS}
    decoders = Twins()
    recording = load_recording(path)
    for seq, (pose, time) in enumerate(zip(recording, recording.timestamps.tolist(), strict=True)):
        codes = []
        for which, encoder in encoders.items():
            use_codec(which)
            codes.append(encoder.encode(pose, seq=seq, time=time))
        assert codes[0] == codes[1], seq
        # Loses a fifth, so that references differ.
        if seq % 5 or codes[0].frame_type is FrameType.KEY:
            decoders.decode(codes[0].frame_type, seq, codes[0].ref, codes[0].body)


@pytest.mark.parametrize("seed", range(24))
def test_walks_become_the_same_bytes_and_poses(seed: int) -> None:
    stream = walk(seed, 120)
    assert again(stream, "pure") == again(stream, "compiled")
    decoders = Twins()
    chance = random.Random(seed)
    for seq, _, code in stream.sent:
        if chance.random() < 0.9:
            decoders.decode(code.frame_type, seq, code.ref, code.body)


@settings(max_examples=150)
@given(streams(), st.integers(1, 4))
def test_any_poses_become_the_same_bytes_and_poses(stream: Stream, anchor_interval: int) -> None:
    pure, compiled = (again(stream, which, anchor_interval=anchor_interval) for which in CHAINS)
    decoders = Twins()
    for (seq, _, _), one, other in zip(stream.sent, pure, compiled, strict=True):
        # Sums beyond 2 ** 53 are rounded, by numpy in another order: then a choice may fall otherwise.
        if one.body != other.body:
            assert abs(len(one.body) - len(other.body)) <= 0.05 * len(one.body) + 4
            assert (one.frame_type, one.ref) == (other.frame_type, other.ref)
            return
        assert one == other
        assert decoders.decode(one.frame_type, seq, one.ref, one.body) is not None


@pytest.mark.parametrize("count", [1, 2, 21, 33, 63, 64, 65, 2048])
@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_chains_of_any_length(count: int, missing: float) -> None:
    rng = np.random.default_rng(count)
    stream = Stream()
    at, way = rng.normal(0.5, 0.2, (count, 4)), np.zeros((count, 4))
    for _ in range(24):
        way = 0.8 * way + rng.normal(0, 1e-2, (1, 4)) + rng.normal(0, 1e-3, (count, 4))
        at = at + way
        values = at.astype(np.float32)
        values[rng.random(count) < missing] = np.nan
        stream.send(PoseData(values, skeleton="chain"))
    codes = again(stream, "compiled", anchor_interval=2)
    assert codes == again(stream, "pure", anchor_interval=2)
    decoders = Twins()
    for seq, code in enumerate(codes):
        assert decoders.decode(code.frame_type, seq, code.ref, code.body) is not None


def whole_steps(*frames: np.ndarray[Any, Any]) -> Stream:
    """A stream of a chain, quantised in steps of 1."""
    stream = Stream((Precision(0, 0, 0),) * 3)
    for values in frames:
        stream.send(PoseData(values.astype(np.float32), skeleton="chain"))
    return stream


@pytest.mark.parametrize("count", [6, 63, 64, 300])
@pytest.mark.parametrize("eighths", range(-18, 18))
def test_shares_of_motion_at_their_ends(count: int, eighths: int) -> None:
    rng = np.random.default_rng(count)
    start, way = rng.integers(-800, 800, (2, count, 4)) * 8
    stream = whole_steps(start, start + way, start + way + way * eighths // 8)
    codes = again(stream, "compiled", anchor_interval=1)
    assert codes == again(stream, "pure", anchor_interval=1)
    share = int.from_bytes(codes[2].body[1:3], "little") & 31
    if eighths:  # no motion at all needs no share
        assert share == min(max(eighths, -16), 15) + 16


@pytest.mark.parametrize("count", [5, 64])
@pytest.mark.parametrize("size", [1.0, 1.2, 15, 16, 63, 64, 65, (1 << 23) - 1, 1 << 23])
def test_sizes_at_which_the_encoder_does_something_else(count: int, size: float) -> None:
    start = np.tile(np.arange(count)[:, None] * 9.0, (1, 4))
    apart = start.copy()
    apart[::2] += size
    apart[1::2] -= size
    alone = start.copy()
    alone[count // 2] = size
    ends = np.full((count, 4), size)
    stream = whole_steps(start, apart, alone, start, -alone, ends, -ends)
    for anchor_interval in (1, 4):
        codes = again(stream, "compiled", anchor_interval=anchor_interval)
        assert codes == again(stream, "pure", anchor_interval=anchor_interval)
    raw = [code.frame_type is FrameType.KEY and bool(code.body[0] & 1) for code in codes[-2:]]
    assert raw == [size == 1 << 23] * 2


# The same refusals ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(12))
def test_damage_is_refused_in_the_same_words(seed: int) -> None:
    # What was taken for good, though ruined, is what the next frames are read with.
    chance = random.Random(seed)
    stream = walk(100 + seed, 40)
    shown = refused = 0
    decoders = Twins()
    for seq, _, code in stream.sent:
        for _ in range(40):
            bad = ruined(chance, code.body, chance.choice(stream.sent)[2].body)
            pose = decoders.decode(code.frame_type, seq, code.ref, bad)
            shown, refused = shown + (pose is not None), refused + (pose is None)
        decoders.decode(code.frame_type, seq, code.ref, code.body)
    assert shown > 20
    assert refused > 200


@settings(max_examples=300)
@given(st.binary(max_size=60), st.binary(max_size=40), st.sampled_from((b"\x08", b"\x38", b"\x0c\x01\x00a\x03\x00")))
def test_any_bytes_mean_the_same_or_nothing(key: bytes, leaf: bytes, start: bytes) -> None:
    decoders = Twins()
    decoders.decode(FrameType.KEY, 0, 0, start + key)
    decoders.decode(FrameType.ANCHOR, 1, 1, leaf)


# What is wrong in our own code ---------------------------------------------------------------------------------------


def test_frames_are_of_their_chain() -> None:
    chain, other = pose_codec.compiled_chain(BODY), pose_codec.compiled_chain(WHOLE)
    pose = np.zeros((33, 4), np.float32)
    coded = chain.encode(b"", pose, None, None, None, 9999, True)
    assert coded is not None
    for foreign in (coded[1], object(), 5, other):
        with pytest.raises(TypeError, match="a frame of this chain"):
            other.encode(b"", pose, None, None, foreign, 9999, True)
        with pytest.raises(TypeError, match="a frame of this chain"):
            other.decode(b"\x02\0\0\0", 0, foreign, True, 0.0, "x")
    with pytest.raises(TypeError, match="cannot create"):
        type(coded[1])()  # it would point nowhere


@pytest.mark.parametrize("which", sorted(CHAINS))
def test_a_pose_with_other_parts_does_not_fit(which: str) -> None:
    chain = CHAINS[which](BODY)
    pose, other = np.zeros((33, 4), np.float32), np.zeros((32, 4), np.float32)
    coded = chain.encode(b"", pose, None, None, None, 9999, True)
    assert coded is not None
    hands = np.zeros((2, 21, 4), np.float32)
    for body, face, both in ((other, None, None), (pose, other, None), (pose, None, hands)):
        assert chain.encode(b"", body, face, both, coded[1], 9999, True) is None
    assert chain.encode(b"", pose, None, None, coded[1], 3, True) is None
    assert chain.encode(b"", pose, None, None, coded[1], 4, True) is not None


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((33, 4)),
        np.zeros((33, 4), np.int32),
        np.zeros((33, 4), ">f4" if sys.byteorder == "little" else "<f4"),
        np.zeros((33, 3), np.float32),
        np.zeros(132, np.float32),
        np.zeros((1, 33, 4), np.float32),
        np.float32(0),
    ],
    ids=lambda array: f"{array.dtype.str}{array.shape}",
)
def test_arrays_of_another_kind_are_an_error(array: Any) -> None:
    chain = pose_codec.compiled_chain(BODY)
    with pytest.raises(ValueError, match="arrays"):
        chain.encode(b"", array, None, None, None, 9999, True)
    with pytest.raises(TypeError):
        chain.encode(b"", cast(Any, [[0.0] * 4] * 33), None, None, None, 9999, True)


@pytest.mark.parametrize("which", sorted(CHAINS))
def test_arrays_with_gaps_between_are_read_where_they_are(which: str) -> None:
    # Nobody makes such a pose, but `trusted` would take it.
    use_codec(which)
    wide = np.random.default_rng(1).random((99, 8)).astype(np.float32)
    hands = np.random.default_rng(2).random((21, 2, 4)).astype(np.float32).transpose(1, 0, 2)
    apart = PoseData.trusted(wide[::-3, ::2], None, hands, 0.0, "mediapipe33")
    packed = PoseData(wide[::-3, ::2].copy(), None, hands.copy())
    one, other = (PoseEncoder().encode(pose, seq=0, time=0.0) for pose in (apart, packed))
    assert one == other


TABLES = [(topology.count, *topology.tables) for topology in BODY.topologies()]
SCALE = BODY.scales()[0].tobytes()


@pytest.mark.parametrize(
    "part",
    [
        (0, b"", b"", b"", SCALE),
        (-1, b"", b"", b"", SCALE),
        (2049, b"", b"", b"", SCALE),
        (5, b"", b"", b"", SCALE[:-1]),
        (*TABLES[0], SCALE + b"x"),
        (34, *TABLES[0][1:], SCALE),
        (65, bytes(65), bytes(260), bytes(65 * 32), SCALE),
        (33, bytes(range(33)), *TABLES[0][2:], SCALE),
        (33, TABLES[0][1], b"", TABLES[0][3], SCALE),
        (33, *TABLES[0][1:3], b"", SCALE),
    ],
    ids=range(10),
)
def test_tables_that_do_not_fit_together(part: tuple[int, bytes, bytes, bytes, bytes]) -> None:
    from posewire.protocol import _speedups as speedups

    with pytest.raises(ValueError, match=r"tables|parent"):
        speedups.Chain([part], True, False, False)
    good = (*TABLES[0], SCALE)
    for parts, flags in (([good], (True, True, False)), ([], (False,) * 3), ([good] * 5, (True, True, True))):
        with pytest.raises(ValueError, match="parts"):
            speedups.Chain(parts, *flags)
    with pytest.raises(ValueError, match="hands"):
        speedups.Chain([good, (32, b"", b"", b"", SCALE)], False, False, True)
    with pytest.raises(TypeError):
        speedups.Chain(cast(Any, [(33,)]), True, False, False)


# Memory and choice ---------------------------------------------------------------------------------------------------


def test_nothing_is_left_in_memory() -> None:
    use_codec("compiled")
    poses = [load_recording(sample_path("signing")).pose(at) for at in range(12)]
    chance = random.Random(1)

    def rounds(count: int) -> None:
        for _ in range(count):
            encoder, decoder = PoseEncoder(anchor_interval=2), PoseDecoder()
            for seq, pose in enumerate(poses):
                code = encoder.encode(pose, seq=seq, time=0.0)
                for body in (ruined(chance, code.body, code.body), code.body):
                    try:
                        decoder.decode(code.frame_type, seq, code.ref, body, timestamp=1.0)
                    except ProtocolError:
                        continue

    rounds(3)
    gc.collect()
    tracemalloc.start()
    try:
        rounds(2)
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        rounds(30)
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    # One frame of this sample, kept by mistake, is more.
    assert grown < 4000


def test_objects_that_are_used_are_released() -> None:
    chain = pose_codec.compiled_chain(BODY)
    pose = np.zeros((33, 4), np.float32)
    coded = chain.encode(b"", pose, None, None, None, 9999, True)
    assert coded is not None
    body, frame = coded
    skeleton = "a skeleton of its own"
    counted = (pose, frame, chain, skeleton, body, PoseData)
    before = [sys.getrefcount(each) for each in counted]
    for _ in range(50):
        chain.encode(b"", pose, None, None, frame, 9999, True)
        chain.encode(b"", pose, None, None, frame, 1, True)
        chain.decode(body, 0, None, True, 0.0, skeleton)
        with pytest.raises(ProtocolError):
            chain.decode(b"\x02", 0, frame, True, 0.0, skeleton)
        with pytest.raises(ValueError, match="place"):
            chain.decode(body, len(body) + 1, frame, True, 0.0, skeleton)
    assert [sys.getrefcount(each) for each in counted] == before


@pytest.mark.parametrize(("value", "accelerated"), [("1", "False"), ("0", "True"), ("", "True")])
def test_the_environment_can_leave_it_alone(value: str, accelerated: str) -> None:
    script = "import posewire.protocol as p; print(p.ACCELERATED)"
    found = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "POSEWIRE_PURE": value},
        check=True,
        capture_output=True,
        text=True,
    )
    assert found.stdout.strip() == accelerated


def test_what_was_built_from_other_sources_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    assert pose_codec.available()
    monkeypatch.setattr(pose_codec, "_REVISION", pose_codec._REVISION + 1)
    assert not pose_codec.available()


def test_it_says_which_one_is_used() -> None:
    assert (pose_codec.chain_of is pose_codec.compiled_chain) == posewire.protocol.ACCELERATED


@pytest.mark.parametrize("anchor_interval", [1, 4])
def test_precisions_are_part_of_a_chain(anchor_interval: int) -> None:
    for which in CHAINS:
        use_codec(which)
        encoder = PoseEncoder(anchor_interval=anchor_interval)
        pose = PoseData(np.full((33, 4), 0.3, np.float32))
        encoder.encode(pose, seq=0, time=0.0)
        encoder.set_precision(Precision(5, 5, 5))
        code = encoder.encode(pose, seq=1, time=0.0)
        assert code.frame_type is FrameType.KEY
        found = PoseDecoder().decode(FrameType.KEY, 1, 0, code.body, timestamp=0.0).pose_landmarks
        assert found is not None
        assert found[0, 0] == 10 / 32
