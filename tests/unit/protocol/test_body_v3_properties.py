"""Body version 3 as a whole: whatever comes, and in whatever order, a pose is right within half a step, or refused."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from posewire.protocol import FrameType, PoseData
from posewire.protocol.pose_data import PARTS
from posewire.protocol.pose_decoder import MissingReference, PoseDecoder
from posewire.protocol.pose_encoder import CodedPose, PoseEncoder
from posewire.protocol.precision import COARSEST, FINEST, Precision
from posewire.recording import Recording, load_recording
from posewire.sources.samples import SAMPLES, sample_path
from tests.unit.strategies import Floats, landmarks, poses

pytestmark = pytest.mark.usefixtures("codec")

Precisions = tuple[Precision, Precision, Precision]
DEFAULT: Final[Precisions] = (Precision(), Precision(), Precision())
LARGEST = float(np.finfo(np.float32).max)


def within_half_a_step(pose: PoseData, found: PoseData, precisions: Precisions = DEFAULT) -> None:
    """Compare exactly, in float64: steps are powers of two. What is NaN stays NaN, what is None stays None."""
    assert found.skeleton == pose.skeleton
    for name, precision in zip(PARTS, precisions, strict=True):
        part, twin = getattr(pose, name), getattr(found, name)
        assert (part is None) == (twin is None), name
        if part is None:
            continue
        assert (twin.shape, twin.dtype, twin.flags.writeable) == (part.shape, np.float32, False)
        np.testing.assert_array_equal(np.isnan(twin), np.isnan(part), err_msg=name)
        with np.errstate(invalid="ignore"):  # a signalling NaN
            steps = np.abs(part.astype(np.float64) - twin) * 2.0 ** np.array(precision.channels)
        assert np.nanmax(steps, initial=0.0) <= 0.5, name


class Stream:
    """An encoder and what it made."""

    def __init__(
        self,
        precisions: Precisions = DEFAULT,
        *,
        seq: int = 0,
        anchor_interval: int = 4,
        keyframe_interval: float = 2.0,
        keyframe_gap: float = 0.0,
    ) -> None:
        self.precisions = precisions
        self.seq = seq
        self.time = 0.0
        self.sent: list[tuple[int, PoseData, CodedPose]] = []
        pose, face, hands = precisions
        self.encoder = PoseEncoder(
            pose,
            face=face,
            hands=hands,
            anchor_interval=anchor_interval,
            keyframe_interval=keyframe_interval,
            keyframe_gap=keyframe_gap,
        )

    def send(self, pose: PoseData) -> CodedPose:
        code = self.encoder.encode(pose, seq=self.seq, time=self.time)
        assert (code.frame_type is FrameType.KEY) == (code.ref == 0)
        self.sent.append((self.seq, pose, code))
        self.seq = (self.seq + 1) % (1 << 32)
        self.time += 1 / 30
        return code

    def received(self, order: list[int]) -> int:
        """Let frames come in this order; returns how many could not be read. The others are right."""
        decoder, missing = PoseDecoder(), 0
        for at in order:
            seq, pose, code = self.sent[at]
            try:
                found = decoder.decode(code.frame_type, seq, code.ref, code.body, timestamp=1.0)
            except MissingReference:
                missing += 1
                continue
            assert found.timestamp == 1.0
            within_half_a_step(pose, found, self.precisions)
        return missing

    def all_received(self) -> None:
        assert self.received(list(range(len(self.sent)))) == 0


# Any poses -----------------------------------------------------------------------------------------------------------

bits = st.integers(COARSEST, FINEST)
precisions = st.just(Precision()) | st.builds(Precision, bits, bits, bits)


@st.composite
def streams(draw: DrawFn) -> Stream:
    """A few frames that have nothing to do with each other, or little, or are the same."""
    stream = Stream(
        draw(st.just(DEFAULT) | st.tuples(precisions, precisions, precisions)),
        seq=draw(st.sampled_from((0, 9, (1 << 32) - 3))),
        anchor_interval=draw(st.integers(1, 4)),
        keyframe_interval=draw(st.sampled_from((0.1, 2.0, 1e9))),
    )
    first = draw(poses() | landmarks(33).map(PoseData) | landmarks(5).map(lambda array: PoseData(array, skeleton="5")))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    for _ in range(draw(st.integers(2, 8))):
        pose = first
        if draw(st.integers(0, 4)) == 0:
            pose = draw(poses())
        size = draw(st.sampled_from((0.0, 1e-4, 1e-2, 1.0, 1e4)))
        stream.send(moved(pose, rng, size))
        stream.seq = (stream.seq + draw(st.sampled_from((0, 0, 0, 1, 70_000)))) % (1 << 32)
        if draw(st.integers(0, 9)) == 0:
            stream.encoder.request_keyframe()
    return stream


def moved(pose: PoseData, rng: np.random.Generator, size: float) -> PoseData:
    def noisy(part: Floats | None) -> Floats | None:
        return None if part is None else (part + rng.normal(0, size, part.shape)).astype(np.float32)

    body, face, hands = (noisy(part) for part in (pose.pose_landmarks, pose.face_landmarks, pose.hand_landmarks))
    return PoseData(body, face, hands, skeleton=pose.skeleton)


@settings(max_examples=80)
@given(streams(), st.data())
def test_every_pose_is_right_whatever_arrives(stream: Stream, data: st.DataObject) -> None:
    stream.all_received()
    stream.received(data.draw(st.lists(st.sampled_from(range(len(stream.sent))), max_size=20)))


# A long walk ---------------------------------------------------------------------------------------------------------


class Walk:
    """A part that wanders, jumps, flickers, goes to extremes."""

    def __init__(self, rng: np.random.Generator, count: int) -> None:
        self._rng = rng
        self._at = rng.normal(0.5, 0.2, (count, 4))
        self._size = 10.0 ** rng.uniform(-5, 0)
        self._way = np.zeros((count, 4))

    def step(self) -> Floats:
        rng, shape, chance = self._rng, self._at.shape, self._rng.random()
        if chance < 0.02:
            self._at = rng.normal(0, 10.0 ** rng.uniform(-2, 6), shape)
        elif chance < 0.03:
            self._at = self._at * 10.0 ** rng.uniform(-3, 3)
        elif chance < 0.04:
            extreme = (0.0, -0.0, 1.0, 3e38, -3e38, LARGEST, 1e-40, -1e-45, 4095.99, 4096.0, -4096.0, 16384.0)
            self._at = np.full(shape, rng.choice(extreme))
        elif chance < 0.3:
            self._at = self._at + self._way
        elif chance < 0.85:
            self._way = rng.normal(0, self._size, (1, 4)) + rng.normal(0, self._size / 9, shape)
            self._at = self._at + self._way
        self._at = np.clip(self._at, -LARGEST, LARGEST).astype(np.float32).astype(np.float64)
        return self._flicker(self._at.astype(np.float32))

    def _flicker(self, values: Floats) -> Floats:
        rng, chance = self._rng, self._rng.random()
        some = rng.random(len(values)) < 0.3
        if chance < 0.05:
            values[:] = np.nan
        elif chance < 0.12:
            values[some] = np.nan
        elif chance < 0.16:
            values[some, 3] = np.nan
        elif chance < 0.20:
            values[some, :3] = np.nan
        elif chance < 0.22:
            values[:, 3] = np.nan
        return values


def walk(seed: int, frames: int) -> Stream:
    rng, chance = np.random.default_rng(seed), random.Random(seed)
    skeleton, count = chance.choice(
        (("mediapipe33", 33), ("mediapipe33", 33), ("mocap é", chance.choice((1, 2, 31, 64))))
    )
    walks = [Walk(rng, count), Walk(rng, chance.choice((468, 478))), Walk(rng, 21), Walk(rng, 21)]
    there = [chance.random() < 0.8, chance.random() < 0.2, chance.random() < 0.4]
    there[chance.choice((0, 0, 1, 2))] = True
    precisions = DEFAULT
    if chance.random() < 0.5:
        finer, coarser = Precision(14, 12, 8), Precision(chance.randint(-8, 9), chance.randint(-8, 20), 0)
        precisions = (
            (finer, coarser, Precision(10)) if chance.random() < 0.5 else (coarser, Precision(20, 20, 20), finer)
        )
    stream = Stream(
        precisions,
        seq=chance.choice((0, 77, (1 << 32) - 30)),
        anchor_interval=chance.choice((1, 2, 4, 4, 7)),
        keyframe_interval=chance.choice((0.3, 2.0, 50.0)),
    )
    for _ in range(frames):
        parts = [part.step() for part in walks]
        seen = [flag and chance.random() < 0.97 for flag in there]
        if any(seen):
            body, face = (part if flag else None for part, flag in zip(parts, seen[:2], strict=False))
            stream.send(PoseData(body, face, np.stack(parts[2:]) if seen[2] else None, skeleton=skeleton))
        if chance.random() < 0.02:
            stream.encoder.request_keyframe()
        if chance.random() < 0.03:
            stream.seq = (stream.seq + chance.choice((1, 3, 70_000))) % (1 << 32)
    return stream


@pytest.mark.parametrize("seed", range(24))
def test_a_long_walk_whole_lossy_late_and_shuffled(seed: int) -> None:
    stream = walk(seed, 120)
    chance = random.Random(seed)
    everything = list(range(len(stream.sent)))
    assert stream.received(everything) == 0
    assert stream.received(sorted(everything + chance.sample(everything, len(everything) // 3))) == 0
    stream.received([at for at in everything if chance.random() > 0.2])
    stream.received(sorted(everything, key=lambda at: at + chance.uniform(0, 6)))
    chance.shuffle(everything)
    stream.received(everything)


def test_walks_go_everywhere() -> None:
    codes = [code for seed in range(24) for _, _, code in walk(seed, 120).sent]
    assert {code.frame_type for code in codes} == set(FrameType)
    keys = [code.body[0] for code in codes if code.frame_type is FrameType.KEY]
    for flag in (1, 2, 4, 8, 16, 32, 64):  # raw, precisions, skeleton, pose, face, hands, irises
        assert any(first & flag for first in keys)
        assert any(not first & flag for first in keys)


def test_the_error_does_not_grow() -> None:
    rng = np.random.default_rng(4)
    stream = Stream(keyframe_interval=1e9)
    at = rng.normal(0.5, 0.2, (33, 4))
    for _ in range(2000):
        at = at + rng.normal(0, 3e-4, at.shape)
        stream.send(PoseData(at.astype(np.float32)))
    assert [code.frame_type for _, _, code in stream.sent].count(FrameType.KEY) == 1
    stream.all_received()


# Recordings ----------------------------------------------------------------------------------------------------------

DATA = Path(__file__).parents[3].parent / "shared" / "data"
SIZES: Final = {
    "hand_fingerspell_25fps": 36.4,
    "holistic_face_talk_a": 612.7,
    "holistic_hands_body": 468.0,
    "mocap_cmu_01_01": 53.5,
    "mocap_cmu_02_05": 49.4,
    "mocap_cmu_03_03": 57.5,
    "pose_jump_swing_90fps": 47.8,
    "pose_people_in_out_10fps": 54.7,
    "pose_skateboard": 65.9,
    "pose_squats_5fps": 83.1,
    "pose_taichi": 50.8,
    "pose_treadmill_walk": 65.4,
    "sign_seg_example": 438.3,
    "jump": 47.8,
    "signing": 438.9,
    "squats": 83.1,
}
"""Mean bytes of a body, a keyframe every 2 s: what there was when this was written."""
SLACK = 1.01


def recordings() -> Iterator[tuple[str, Path]]:
    """All that lie beside the repository, or the samples in the package."""
    found = sorted(DATA.glob("*.npz")) or [sample_path(name) for name in sorted(SAMPLES)]
    return ((path.stem, path) for path in found)


RECORDINGS: Final = dict(recordings())


def coded(recording: Recording) -> Stream:
    stream = Stream()
    for at, time in enumerate(recording.timestamps.tolist()):
        stream.time = time
        stream.send(recording.pose(at))
    return stream


def mean_bytes(stream: Stream) -> float:
    return float(np.mean([len(code.body) for _, _, code in stream.sent]))


@pytest.fixture(scope="module")
def means() -> dict[str, tuple[int, float]]:
    """Landmarks and mean bytes, filled by the tests of the recordings as they go."""
    return {}


@pytest.mark.parametrize("name", RECORDINGS)
def test_recordings_within_half_a_step_and_no_larger_than_they_were(
    name: str, means: dict[str, tuple[int, float]]
) -> None:
    stream = coded(load_recording(RECORDINGS[name]))
    stream.all_received()
    means[name] = (stream.sent[0][1].landmark_count, mean_bytes(stream))
    assert means[name][1] <= SIZES.get(name, 1e9) * SLACK


def test_sizes_that_were_promised(means: dict[str, tuple[int, float]]) -> None:
    for name in RECORDINGS.keys() - means.keys():  # run alone
        stream = coded(load_recording(RECORDINGS[name]))
        means[name] = (stream.sent[0][1].landmark_count, mean_bytes(stream))
    bodies = [size for count, size in means.values() if count == 33]
    holistic = [size for count, size in means.values() if count > 500]
    assert bodies
    assert holistic
    assert np.mean(bodies) <= 80
    assert max(bodies) <= 100
    assert np.mean(holistic) <= 650


def test_all_recordings_are_known() -> None:
    assert RECORDINGS.keys() <= SIZES.keys()
    assert len(RECORDINGS) in (3, 13)


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_samples_with_every_fifth_frame_lost(name: str) -> None:
    stream = coded(load_recording(sample_path(name)))
    kept = [at for at in range(len(stream.sent)) if at % 5 != 3]
    lost = stream.received(kept)
    assert 0 < lost < len(kept)


def test_the_last_frame_of_a_recording_as_the_decoder_shows_it() -> None:
    # Not only near what was sent: the multiple of the step that is nearest.
    recording = load_recording(sample_path("jump"))
    stream = coded(recording)
    decoder, shown = PoseDecoder(), None
    for seq, _, code in stream.sent:
        shown = decoder.decode(code.frame_type, seq, code.ref, code.body, timestamp=0.0).pose_landmarks
    steps: npt.NDArray[np.float64] = 2.0 ** np.array(Precision().channels)
    np.testing.assert_array_equal(shown, np.rint(recording.landmarks[-1] * steps) / steps)
