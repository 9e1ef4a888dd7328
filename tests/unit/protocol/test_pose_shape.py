"""How a keyframe of body version 3 begins."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from posewire.errors import ProtocolError
from posewire.limits import MAX_LANDMARKS, MAX_NAME_CHARS
from posewire.protocol import PoseData
from posewire.protocol.pose_shape import DEFAULT_PRECISION, PoseShape, shape_of, unpack_shape
from posewire.protocol.precision import COARSEST, FINEST, Precision
from tests.unit.strategies import bit_flips, characters, damaged, poses, unless_refused

bits = st.integers(COARSEST, FINEST)
precisions = st.just(DEFAULT_PRECISION) | st.builds(Precision, bits, bits, bits)
skeletons = st.text(characters, min_size=1, max_size=MAX_NAME_CHARS).filter(lambda name: name != "mediapipe33")


@st.composite
def shapes(draw: DrawFn) -> PoseShape:
    named = draw(st.booleans())
    skeleton = draw(skeletons) if named else "mediapipe33"
    pose = draw(st.just(0) | (st.integers(1, MAX_LANDMARKS) if named else st.just(33)))
    face, hand = draw(st.sampled_from((0, 468, 478))), draw(st.sampled_from((0, 21)))
    if not (pose or face or hand):
        hand = 21
    return PoseShape(pose, face, hand, skeleton, draw(st.tuples(precisions, precisions, precisions)))


DEFAULT = PoseShape(33, 0, 0, "mediapipe33", (DEFAULT_PRECISION,) * 3)
WHOLE = PoseShape(31, 478, 21, "mocap é", (Precision(10), DEFAULT_PRECISION, Precision(-8, 20, 0)))


@given(shapes(), st.binary(max_size=9), st.booleans())
@example(PoseShape(1, 0, 0, "\U0001f57a" * MAX_NAME_CHARS, DEFAULT.precisions), b"", False)
@example(WHOLE, b"\xff", True)
def test_round_trip(shape: PoseShape, more: bytes, raw: bool) -> None:
    packed = shape.pack(raw=raw)
    found, is_raw, at = unpack_shape(packed + more)
    assert (is_raw, at) == (raw, len(packed))
    if raw:  # float32 has no steps
        assert found.precisions == DEFAULT.precisions
        found = msgspec.structs.replace(found, precisions=shape.precisions)
    assert found == shape


def test_a_mediapipe_body_in_default_steps_takes_one_byte() -> None:
    assert len(DEFAULT.pack()) == 1


def test_steps_are_said_only_where_they_are_not_the_default() -> None:
    other = msgspec.structs.replace(DEFAULT, precisions=(DEFAULT_PRECISION, DEFAULT_PRECISION, Precision(10)))
    assert len(other.pack()) == 1 + 9
    assert len(other.pack(raw=True)) == 1


def test_counts_scales_and_topologies_follow_the_parts() -> None:
    assert WHOLE.counts == [31, 478, 21, 21]
    assert [scale.ravel().tolist() for scale in WHOLE.scales()] == [
        [2.0**10, 2.0**10, 2.0**9, 2.0**5],
        [2.0**11, 2.0**11, 2.0**9, 2.0**5],
        *[[2.0**-8, 2.0**-8, 2.0**20, 1.0]] * 2,
    ]
    assert [scale.shape for scale in WHOLE.scales()] == [(4, 1)] * 4
    assert [tree.count for tree in WHOLE.topologies()] == WHOLE.counts
    assert [tree.is_chain for tree in WHOLE.topologies()] == [True, True, False, False]
    assert [tree.is_chain for tree in DEFAULT.topologies()] == [False]
    # 33 landmarks of another name hang together in nobody knows which way.
    assert msgspec.structs.replace(DEFAULT, skeleton="other").topologies()[0].is_chain


@settings(max_examples=30)
@given(poses())
def test_shape_of_a_pose(pose: PoseData) -> None:
    shape = shape_of(pose, WHOLE.precisions)
    assert sum(shape.counts) == pose.landmark_count
    assert (shape.skeleton, shape.precisions) == (pose.skeleton, WHOLE.precisions)
    assert unpack_shape(shape.pack())[0] == shape


# Damage --------------------------------------------------------------------------------------------------------------


def read(data: bytes) -> PoseShape | None:
    """Refused, or a shape that a pose can have and that packs into bytes again."""
    found = unless_refused(unpack_shape, data, version="3")
    if found is None:
        return None
    shape, raw, at = found
    assert at <= len(data)
    pose = np.zeros((shape.pose, 4), np.float32) if shape.pose else None
    face = np.zeros((shape.face, 4), np.float32) if shape.face else None
    hands = np.zeros((2, shape.hand, 4), np.float32) if shape.hand else None
    assert shape_of(PoseData(pose, face, hands, skeleton=shape.skeleton), shape.precisions) == shape
    assert unpack_shape(shape.pack(raw=raw))[1] == raw
    return shape


@given(st.binary(max_size=40) | st.binary(max_size=12).map(lambda more: b"\x0e\x02\x00ab" + more))
@example(b"")
@example(b"\x0c")
@example(b"\x0c\x01")
@example(b"\x0c\x01\x00")
@example(b"\x0c\x01\x00x")
@example(b"\x0c\x01\x00x\x01")
@example(b"\x0c\x01\x00\xff\x01\x00")
@example(b"\x0c\x03\x00\xed\xa0\x80\x01\x00")
def test_any_bytes(data: bytes) -> None:
    read(data)


@given(st.data())
def test_good_bytes_that_were_damaged(data: st.DataObject) -> None:
    read(data.draw(damaged(data.draw(shapes()).pack())))


@pytest.mark.parametrize("shape", [DEFAULT, WHOLE])
def test_every_flipped_bit(shape: PoseShape) -> None:
    for bad in bit_flips(shape.pack()):
        assert read(bad) != shape or unpack_shape(bad)[1]  # float32 in the same shape


def test_cut_short_anywhere() -> None:
    packed = WHOLE.pack()
    for end in range(len(packed)):
        with pytest.raises(ProtocolError):
            unpack_shape(packed[:end])


def named(name: bytes, count: int, *, flags: int = 4 | 8) -> bytes:
    return bytes([flags]) + len(name).to_bytes(2, "little") + name + count.to_bytes(2, "little")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\x00", "no meaning"),
        (b"\x01", "no meaning"),
        (b"\x88", "no meaning"),
        (b"\x48", "no meaning"),  # irises without a face
        (named(b"", 3), "0 bytes"),
        (named(b"x" * (MAX_NAME_CHARS + 1), 3), "129 bytes"),
        (named(b"x", 0), "0 landmarks"),
        (named(b"x", MAX_LANDMARKS + 1), "2049 landmarks"),
        (named(b"x", 5, flags=4 | 32), "5 landmarks"),  # of a pose that is not there
        (named(b"mediapipe33", 31), "31 landmarks"),
        (named(b"mediapipe33", 33), "mediapipe33"),  # said twice
        (named(b"\xc3", 3), "UTF-8"),
        (named(b"\xed\xa0\x80", 3), "UTF-8"),  # a lone surrogate
        (b"\x0a" + bytes(8), "precision"),
        (b"\x0a" + bytes([FINEST - COARSEST + 1]) + bytes(8), "precision"),
    ],
)
def test_refused(data: bytes, words: str) -> None:
    with pytest.raises(ProtocolError, match=words):
        unpack_shape(data)
