"""Layered streams: whatever is left out that nothing kept refers to, the rest can be read; at hardly more bytes."""

from __future__ import annotations

import random

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from posewire.protocol import FrameType, PoseData, PoseDecoder, PoseEncoder, PoseProtocol
from posewire.protocol.precision import COARSEST, Precision
from tests.half_step import assert_within
from tests.unit.protocol.test_recordings import DATA, HEADER, NAMES, frames

Coded = tuple[int, FrameType, int, bytes, PoseData]


def walk(count: int, seed: int, *, layered: set[int] | bool = True, gaps: bool = False) -> list[Coded]:
    """Encode a body that moves; ``layered`` may name the frames at which it is switched."""
    rng = np.random.default_rng(seed)
    chance = random.Random(seed)
    encoder = PoseEncoder()
    encoder.layered = layered is True
    points = rng.random((33, 4)).astype(np.float32)
    coded, seq = [], 0
    for index in range(count):
        if isinstance(layered, set) and index in layered:
            encoder.layered = not encoder.layered
        points = np.clip(points + rng.normal(0, 0.01, points.shape), 0, 1).astype(np.float32)
        seq += 1 + (gaps and chance.random() < 0.1)
        pose = PoseData(points, timestamp=index / 30)
        frame = encoder.encode(pose, seq=seq, time=index / 30)
        coded.append((seq, frame.frame_type, frame.ref, frame.body, pose))
    return coded


def read(coded: list[Coded], kept: set[int]) -> None:
    decoder = PoseDecoder()
    for seq, frame_type, ref, body, pose in coded:
        if seq in kept:
            assert_within(decoder.decode(frame_type, seq, ref, body, timestamp=pose.timestamp), pose)


@given(st.integers(0, 1000), st.sets(st.integers(0, 199), max_size=6), st.booleans())
def test_every_frame_can_be_read_also_while_layers_come_and_go(seed: int, switched: set[int], gaps: bool) -> None:
    coded = walk(200, seed, layered=switched, gaps=gaps)
    read(coded, {seq for seq, *_ in coded})


@given(st.integers(0, 1000), st.randoms(use_true_random=False), st.floats(0, 1), st.booleans())
def test_what_nothing_kept_refers_to_can_be_left_out(
    seed: int, chance: random.Random, share: float, layered: bool
) -> None:
    coded = walk(120, seed, layered=layered, gaps=True)
    refers = {seq: seq - ref for seq, _, ref, *_ in coded if ref}
    kept = {seq for seq, *_ in coded if chance.random() < share}
    for seq in sorted(kept, reverse=True):
        while (seq := refers.get(seq, 0)) and seq not in kept:
            kept.add(seq)
    read(coded, kept)


def test_three_anchors_of_four_can_be_left_out() -> None:
    coded = walk(16 * 8, seed=1)
    anchors = [seq for seq, frame_type, *_ in coded if frame_type is FrameType.ANCHOR]
    refers = {seq: seq - ref for seq, _, ref, *_ in coded if ref}
    needed = {coded[0][0]}
    for seq in anchors[3::4]:
        while seq and seq not in needed:
            needed.add(seq)
            seq = refers.get(seq, 0)
    assert needed == {coded[0][0], *anchors[3::4]}, "every fourth needs only fourths"
    read(coded, needed)


def test_a_flat_stream_cannot_do_without_any() -> None:
    coded = walk(64, seed=1, layered=False)
    anchors = [seq for seq, frame_type, *_ in coded if frame_type is FrameType.ANCHOR]
    refers = {seq: seq - ref for seq, _, ref, *_ in coded if ref}
    assert [refers[seq] for seq in anchors[1:]] == anchors[:-1]


def test_keyframes_are_five_times_more_seldom() -> None:
    def keys(layered: bool) -> int:
        return sum(frame_type is FrameType.KEY for _, frame_type, *_ in walk(30 * 21, seed=3, layered=layered))

    assert (keys(False), keys(True)) == (11, 3)


@pytest.mark.skipif(not DATA.is_dir(), reason=f"no folder of recordings at {DATA}")
@pytest.mark.parametrize("name", NAMES)
def test_layers_cost_hardly_a_byte_on_the_recordings(name: str) -> None:
    sizes = {}
    for layered in (False, True):
        sender, receiver = PoseProtocol(), PoseProtocol()
        sender.layer(layered)
        sizes[layered] = 0
        for seq, (_, pose) in enumerate(frames(name)):
            coded = sender.encode_pose(pose, now=pose.timestamp, stream=1, seq=seq)
            header = msgspec.structs.replace(HEADER, version=3, frame_type=coded.frame_type, seq=seq, ref=coded.ref)
            assert_within(receiver.decode_pose(header, header.pack() + coded.body, timestamp=pose.timestamp), pose)
            sizes[layered] += len(coded.body)
    # Motion capture at 120 Hz pays most: 8.5 % there, at most 3.2 % elsewhere.
    assert sizes[True] <= (1.1 if name.startswith("mocap") else 1.05) * sizes[False], sizes


def test_coarser_means_half_of_a_larger_step_and_begins_with_a_keyframe() -> None:
    rng = np.random.default_rng(0)
    body, face = rng.random((33, 4)).astype(np.float32), rng.random((478, 4)).astype(np.float32)
    hands = rng.random((2, 21, 4)).astype(np.float32)
    pose = PoseData(body, face, hands, 1.0)
    sender, receiver = PoseProtocol(), PoseProtocol()
    sizes: list[int] = []
    types: list[FrameType] = []
    for seq, bits in enumerate((0, 0, 2, 2, 0, 0)):
        sender.coarsen(bits)
        coded = sender.encode_pose(pose, now=1.0, stream=1, seq=seq)
        types.append(coded.frame_type)
        sizes.append(len(coded.body))
        header = msgspec.structs.replace(HEADER, version=3, frame_type=coded.frame_type, seq=seq, ref=coded.ref)
        found = receiver.decode_pose(header, header.pack() + coded.body, timestamp=1.0)
        full = Precision()
        for name, xy in (("pose_landmarks", 0), ("hand_landmarks", 0), ("face_landmarks", bits)):
            error = np.abs(getattr(found, name).astype(float) - getattr(pose, name)).reshape(-1, 4).max(axis=0)
            steps = [2.0 ** -(full.xy - xy), 2.0 ** -(full.xy - xy), 2.0 ** -(full.z - bits), 2.0**-full.visibility]
            assert (error <= np.array(steps) / 2).all(), (name, bits)
    assert types == [FrameType.KEY, FrameType.LEAF] * 3
    assert sizes[2] < 0.9 * sizes[0] == 0.9 * sizes[4]


def test_nothing_is_coarser_than_the_coarsest() -> None:
    protocol = PoseProtocol(precision=Precision(COARSEST, COARSEST, 5))
    protocol.coarsen(2)
    pose = PoseData(np.zeros((33, 4), np.float32), timestamp=1.0)
    assert protocol.encode_pose(pose, now=1.0).frame_type is FrameType.KEY
    protocol.coarsen(0)
    assert protocol.encode_pose(pose, now=1.0, seq=1).frame_type is FrameType.LEAF, "it changes nothing"
