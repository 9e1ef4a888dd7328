"""The receiving side of body version 3: order, loss, damage, and what a stranger's bytes may cost."""

from __future__ import annotations

import contextlib
import pickle
import random
import time
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from posewire.errors import ProtocolError
from posewire.limits import MAX_LANDMARKS
from posewire.protocol import FrameType, PoseData
from posewire.protocol.part_state import ABSENT, AFFINE, ALL, INTRA, MOTION, NOTHING, TREE
from posewire.protocol.pose_data import PARTS
from posewire.protocol.pose_decoder import MissingReference, PoseDecoder
from posewire.protocol.pose_encoder import CodedPose
from posewire.protocol.rice import SYMBOL_LIMIT, pack
from posewire.recording import load_recording
from posewire.sources.samples import sample_path
from tests.unit.protocol.test_body_v3_properties import Stream, within_half_a_step
from tests.unit.strategies import bit_flips, damaged

pytestmark = pytest.mark.usefixtures("codec")

KEY, ANCHOR, LEAF = FrameType.KEY, FrameType.ANCHOR, FrameType.LEAF
STILL: Final = bytes([ALL, 0, 0, 0])
"""A part that is as it was in the reference."""
KINDS: Final = ("jump", "signing", "flicker", "raw")


def recorded(kind: str) -> Stream:
    """A few frames of a sample; "flicker": with landmarks that come and go; "raw": in float32 by turns."""
    stream = Stream()
    recording = load_recording(sample_path("signing" if kind == "signing" else "jump"))
    rng = np.random.default_rng(1)
    for at in range(10):
        pose = recording.pose(30 + 2 * at)
        body = pose.pose_landmarks
        assert body is not None
        if kind in ("flicker", "raw"):
            body = body.copy()
            body[rng.random(33) < 0.2, :3] = np.nan
            body[rng.random(33) < 0.1, 3] = np.nan
            if kind == "raw" and at % 5 == 2:
                body[3, 3] = 1e30
            pose = PoseData(body, hand_landmarks=np.stack((body[:21], np.full((21, 4), np.nan))), skeleton="mocap")
        stream.send(pose)
    return stream


STREAMS: Final = {kind: recorded(kind) for kind in KINDS}
kinds = st.sampled_from(KINDS)


def decoded(decoder: PoseDecoder, seq: int, code: CodedPose) -> PoseData:
    return decoder.decode(code.frame_type, seq, code.ref, code.body, timestamp=0.0)


def after(stream: Stream, count: int) -> PoseDecoder:
    """A decoder that has seen so many frames."""
    decoder = PoseDecoder()
    for seq, _, code in stream.sent[:count]:
        decoded(decoder, seq, code)
    return decoder


def sound(pose: PoseData) -> None:
    """What `PoseData` would have refused does not come out."""
    twin = PoseData(
        pose.pose_landmarks, pose.face_landmarks, pose.hand_landmarks, timestamp=pose.timestamp, skeleton=pose.skeleton
    )
    assert twin == pose
    for name in PARTS:
        part = getattr(pose, name)
        assert part is None or (part.dtype, part.flags.writeable) == (np.float32, False)


def unless_refused(decoder: PoseDecoder, frame_type: FrameType, seq: int, ref: int, body: bytes) -> PoseData | None:
    """Any other exception than `ProtocolError` fails the test, a warning too."""
    try:
        pose = decoder.decode(frame_type, seq, ref, body, timestamp=0.0)
    except ProtocolError as error:
        if error.version != "3":
            raise AssertionError(f"refused as version {error.version}") from error
        return None
    sound(pose)
    return pose


def still_right(decoder: PoseDecoder, stream: Stream, at: int) -> None:
    """Frame ``at`` and those after it come out right, whatever was refused before."""
    for seq, pose, code in stream.sent[at:]:
        within_half_a_step(pose, decoded(decoder, seq, code))


# Order and loss ------------------------------------------------------------------------------------------------------


def test_a_frame_whose_reference_did_not_come_is_refused_and_a_keyframe_heals_it() -> None:
    stream = Stream()
    recording = load_recording(sample_path("jump"))
    for at in range(20):
        if at == 13:
            stream.encoder.request_keyframe()
        stream.send(recording.pose(at))
    decoder = PoseDecoder()
    for seq, pose, code in stream.sent:
        if seq == 4:  # an anchor
            continue
        if 4 < seq < 13:
            with pytest.raises(MissingReference) as caught:
                decoded(decoder, seq, code)
            assert caught.value.reason == "missing_reference"
            assert f"refers to frame {seq - code.ref}," in str(caught.value)
        else:
            within_half_a_step(pose, decoded(decoder, seq, code))


def test_any_leaf_may_be_lost() -> None:
    stream = STREAMS["signing"]
    assert stream.received([at for at, (*_, code) in enumerate(stream.sent) if code.frame_type is not LEAF]) == 0


def test_duplicates_do_no_harm() -> None:
    for stream in STREAMS.values():
        assert stream.received([at for at in range(10) for _ in range(3)]) == 0
        assert stream.received([0, *range(10)]) == 0


def test_leaves_that_an_anchor_overtook() -> None:
    stream = STREAMS["signing"]
    assert [code.frame_type for *_, code in stream.sent][4] is ANCHOR
    assert stream.received([0, 4, 1, 8, 2, 5, 3, 9, 7, 6]) == 0


def test_a_leaf_is_not_remembered() -> None:
    stream = STREAMS["jump"]
    decoder = after(stream, 3)
    assert stream.sent[2][2].frame_type is LEAF
    with pytest.raises(MissingReference):
        decoder.decode(LEAF, 3, 1, STILL, timestamp=0.0)


def test_references_wrap_at_2_to_the_32() -> None:
    decoder = PoseDecoder()
    _, pose, code = STREAMS["jump"].sent[0]
    decoder.decode(KEY, (1 << 32) - 2, 0, code.body, timestamp=0.0)
    within_half_a_step(pose, decoder.decode(LEAF, 3, 5, STILL, timestamp=0.0))


def test_a_pose_is_stamped_with_the_time_it_is_given() -> None:
    for kind in KINDS:
        code = STREAMS[kind].sent[0][2]
        assert PoseDecoder().decode(KEY, 0, 0, code.body, timestamp=7.5).timestamp == 7.5


def test_what_a_decoder_gave_out_is_not_what_it_keeps() -> None:
    stream = STREAMS["signing"]
    decoder = PoseDecoder()
    for seq, pose, code in stream.sent:
        found = decoded(decoder, seq, code)
        within_half_a_step(pose, found)
        for name in PARTS:
            if (part := getattr(found, name)) is not None:
                with contextlib.suppress(ValueError):  # compiled, it is read-only for good
                    part.flags.writeable = True
                    part[...] = 99


def referable(decoder: PoseDecoder, seq: int, body: bytes) -> int:
    count = 0
    for ref in range(1, 200):
        try:
            decoder.decode(LEAF, seq, ref, body, timestamp=0.0)
        except MissingReference:
            continue
        count += 1
    return count


@pytest.mark.parametrize("frame_type", [KEY, ANCHOR])
def test_a_decoder_remembers_a_few_frames(frame_type: FrameType) -> None:
    decoder = PoseDecoder()
    key = STREAMS["jump"].sent[0][2].body
    decoder.decode(KEY, 0, 0, key, timestamp=0.0)
    for seq in range(1, 100):
        if frame_type is KEY:
            decoder.decode(KEY, seq, 0, key, timestamp=0.0)
        else:
            decoder.decode(ANCHOR, seq, 1, STILL, timestamp=0.0)
    assert referable(decoder, 100, STILL) == 4


def test_memory_of_a_decoder_is_bounded() -> None:
    # A frame holds on to the one before it, for its motion; that one must not hold on to what was before.
    stream = Stream(anchor_interval=1, keyframe_interval=1e9)
    recording = load_recording(sample_path("signing"))
    for at in range(len(recording)):
        stream.send(recording.pose(at))
    decoder = after(stream, 20)
    tracemalloc.start()
    try:
        kept = []
        for seq, _, code in stream.sent[20:]:
            decoded(decoder, seq, code)
            kept.append(tracemalloc.get_traced_memory()[0])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert max(kept[20:]) - kept[19] < 30_000
    assert peak < 1_000_000


def test_a_missing_reference_can_be_pickled() -> None:
    error = pickle.loads(pickle.dumps(MissingReference(9, 5)))
    assert isinstance(error, MissingReference)
    assert str(error) == str(MissingReference(9, 5))


# Damage --------------------------------------------------------------------------------------------------------------


def frames(stream: Stream) -> Iterator[tuple[int, int, CodedPose]]:
    for at, (seq, _, code) in enumerate(stream.sent):
        yield at, seq, code


@pytest.mark.parametrize("kind", ["jump", "flicker"])
def test_every_flipped_bit_of_every_kind_of_frame(kind: str) -> None:
    stream = STREAMS[kind]
    for at, seq, code in frames(stream):
        if at not in (0, 1, 4):
            continue
        decoder = after(stream, at)
        for bad in bit_flips(code.body):
            # Under another number: what comes out of damage may be a pose, and a reference to others.
            unless_refused(decoder, LEAF if code.frame_type is ANCHOR else code.frame_type, seq, code.ref, bad)
        if code.frame_type is not KEY:
            still_right(decoder, stream, at)


@pytest.mark.parametrize("kind", KINDS)
def test_cut_short_anywhere_is_refused(kind: str) -> None:
    stream = STREAMS[kind]
    for at, seq, code in frames(stream):
        decoder = after(stream, at)
        for end in range(0, len(code.body), 1 if kind != "signing" else 7):
            with pytest.raises(ProtocolError):
                decoder.decode(code.frame_type, seq, code.ref, code.body[:end], timestamp=0.0)
        still_right(decoder, stream, at)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("more", [b"\0", b"\xff", bytes(1000)])
def test_nothing_may_follow(kind: str, more: bytes) -> None:
    stream = STREAMS[kind]
    for at, seq, code in frames(stream):
        decoder = after(stream, at)
        with pytest.raises(ProtocolError):
            decoder.decode(code.frame_type, seq, code.ref, code.body + more, timestamp=0.0)
        still_right(decoder, stream, at)


@settings(max_examples=300)
@given(kinds, st.integers(0, 9), st.data())
def test_a_damaged_frame_is_a_pose_or_refused_and_then_changes_nothing(kind: str, at: int, data: st.DataObject) -> None:
    stream = STREAMS[kind]
    seq, _, code = stream.sent[at]
    decoder = after(stream, at)
    bad = code.body
    for _ in range(data.draw(st.integers(1, 3))):
        bad = data.draw(damaged(bad)) if bad else b""
    if unless_refused(decoder, code.frame_type, seq, code.ref, bad) is None:
        still_right(decoder, stream, at)


@settings(max_examples=200)
@given(kinds, kinds, st.integers(0, 9), st.integers(0, 9), st.data())
def test_the_head_of_one_frame_and_the_tail_of_another(
    kind: str, other: str, at: int, from_: int, data: st.DataObject
) -> None:
    stream = STREAMS[kind]
    seq, _, code = stream.sent[at]
    tail = STREAMS[other].sent[from_][2].body
    bad = code.body[: data.draw(st.integers(0, len(code.body)))] + tail[data.draw(st.integers(0, len(tail))) :]
    decoder = after(stream, at)
    if unless_refused(decoder, code.frame_type, seq, code.ref, bad) is None:
        still_right(decoder, stream, at)


preambles = st.sampled_from(
    (b"", b"\x08", b"\x28", b"\x78", b"\x09", b"\x0c\x01\x00x\x05\x00", b"\x0c\x01\x00x\x00\x08")
)


@settings(max_examples=300)
@given(kinds, st.sampled_from(FrameType), preambles, st.binary(max_size=120))
@example("jump", LEAF, b"", b"")
@example("jump", KEY, b"", b"")
def test_any_bytes(kind: str, frame_type: FrameType, preamble: bytes, data: bytes) -> None:
    decoder = after(STREAMS[kind], 5)
    unless_refused(decoder, frame_type, 5, 0 if frame_type is KEY else 1, preamble + data)


@settings(max_examples=200)
@given(kinds, st.integers(0, 9), st.sampled_from(FrameType), st.integers(0, 12), st.integers(0, (1 << 32) - 1))
def test_another_type_number_or_reference(kind: str, at: int, frame_type: FrameType, ref: int, seq: int) -> None:
    stream = STREAMS[kind]
    decoder = after(stream, 10)
    for number in (seq, at, 12):
        unless_refused(decoder, frame_type, number, ref, stream.sent[at][2].body)


@pytest.mark.parametrize(("frame_type", "ref"), [(KEY, 1), (KEY, 65535), (ANCHOR, 0), (LEAF, 0)])
def test_a_keyframe_refers_to_nothing_and_others_to_something(frame_type: FrameType, ref: int) -> None:
    stream = STREAMS["jump"]
    decoder = after(stream, 1)
    with pytest.raises(ProtocolError, match=f"a {frame_type.name.lower()} that refers {ref} frames back"):
        decoder.decode(frame_type, 1, ref, stream.sent[0][2].body, timestamp=0.0)


# A frame that is refused leaves nothing behind -----------------------------------------------------------------------


def with_hands(*parts: int) -> tuple[Stream, bytes]:
    """A stream of body and hands after its keyframe, and a body in these modes."""
    stream = Stream(anchor_interval=1)
    body = np.linspace(0, 1, 132, dtype=np.float32).reshape(33, 4)
    for at in range(3):
        stream.send(PoseData(body + at, hand_landmarks=np.stack((body[:21], body[12:])) + at))
    return stream, b"".join(bytes([part, 0, 0, 0]) if part == ALL else bytes([part]) for part in parts)


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ((ALL, ABSENT, ALL), "one hand sent without the other"),
        ((ALL, ALL, ABSENT), "one hand sent without the other"),
        ((ABSENT, ABSENT, ABSENT), "a frame without any part"),
    ],
)
@pytest.mark.parametrize("seen", [1, 2])
def test_an_anchor_that_is_refused_is_not_referred_to(parts: tuple[int, ...], words: str, seen: int) -> None:
    # It was kept before it was refused: in place of the good one under its number, or as one nobody made.
    stream, bad = with_hands(*parts)
    decoder = after(stream, seen)
    with pytest.raises(ProtocolError, match=words):
        decoder.decode(ANCHOR, 1, 1, bad, timestamp=0.0)
    seq, pose, code = stream.sent[2]
    if seen == 2:
        within_half_a_step(pose, decoded(decoder, seq, code))
    else:
        with pytest.raises(MissingReference):
            decoded(decoder, seq, code)


def test_anchors_that_are_refused_push_nothing_out() -> None:
    stream, bad = with_hands(ALL, ABSENT, ALL)
    decoder = after(stream, 2)
    for seq in range(10, 20):
        with pytest.raises(ProtocolError):
            decoder.decode(ANCHOR, seq, seq - 1, bad, timestamp=0.0)
    still_right(decoder, stream, 2)


def test_keyframes_that_are_refused_are_not_kept() -> None:
    key = bytes([8 | 32]) + bytes([NOTHING]) * 3
    for at in range(1, 4):
        bad = key[:at] + bytes([ABSENT]) + key[at + 1 :]
        decoder = PoseDecoder()
        with pytest.raises(ProtocolError, match="a keyframe with a part that is not there"):
            decoder.decode(KEY, 0, 0, bad, timestamp=0.0)
        with pytest.raises(MissingReference):
            decoder.decode(LEAF, 1, 1, STILL * 3, timestamp=0.0)


# Raw -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_raw_values_that_no_pose_has(value: float) -> None:
    values = np.zeros((33, 4), "<f4")
    values[4, 1] = value
    with pytest.raises(ProtocolError, match="undecodable pose"):
        PoseDecoder().decode(KEY, 0, 0, b"\x09" + values.tobytes(), timestamp=0.0)


def test_nothing_refers_to_a_raw_frame() -> None:
    decoder = PoseDecoder()
    decoder.decode(KEY, 0, 0, b"\x09" + bytes(33 * 16), timestamp=0.0)
    with pytest.raises(MissingReference):
        decoder.decode(LEAF, 1, 1, STILL, timestamp=0.0)


@pytest.mark.parametrize("size", [0, 1, 33 * 16 - 1, 33 * 16 + 1, 1 << 20])
def test_a_raw_frame_has_all_its_bytes(size: int) -> None:
    with pytest.raises(ProtocolError, match=f"{size} bytes for 33 landmarks"):
        PoseDecoder().decode(KEY, 0, 0, b"\x09" + bytes(size), timestamp=0.0)


# Hostile but well-formed ---------------------------------------------------------------------------------------------


def hostile(*heads: tuple[int, bytes], symbols: list[int] | None = None, ks: list[int] | None = None) -> bytes:
    """Parts of first byte and levels, then symbols."""
    data = b"".join(bytes([first]) + rest for first, rest in heads)
    return data + (pack(np.array(symbols), np.array(ks)) if symbols else b"")


def wide_keyframe() -> bytes:
    """A body whose x are at both ends of what may be sent, y and z zero."""
    level = 63
    ks = [max((level - 11) >> 2, 0)] * 33
    limit = (1 << 23) - 1
    symbols = [2 * limit if joint % 2 else 2 * limit - 1 for joint in range(33)]
    return b"\x08" + hostile((ALL | INTRA, level.to_bytes(3, "little")), symbols=symbols, ks=ks)


def test_values_at_both_ends_come_out() -> None:
    pose = PoseDecoder().decode(KEY, 0, 0, wide_keyframe(), timestamp=0.0)
    assert pose.pose_landmarks is not None
    limit = ((1 << 23) - 1) / 2048
    assert pose.pose_landmarks[:4, 0].tolist() == [-limit, limit, -limit, limit]


@pytest.mark.parametrize(
    "symbol", [2 * (1 << 22) - 2, 2 * (1 << 22) - 3, 2 * (1 << 22) - 1, 2 * (1 << 22), SYMBOL_LIMIT - 1]
)
@pytest.mark.parametrize("tree", [0, TREE])
def test_affine_motion_at_its_limits(symbol: int, tree: int) -> None:
    decoder = PoseDecoder()
    decoder.decode(KEY, 0, 0, wide_keyframe(), timestamp=0.0)
    bad = hostile((ALL | AFFINE | tree, bytes(3)), symbols=[symbol] * 12, ks=[6] * 12)
    with pytest.raises(ProtocolError, match="beyond"):
        decoder.decode(ANCHOR, 1, 1, bad, timestamp=0.0)
    with pytest.raises(MissingReference):
        decoder.decode(LEAF, 2, 1, STILL, timestamp=0.0)
    assert decoder.decode(LEAF, 2, 2, STILL, timestamp=0.0).pose_landmarks is not None


@pytest.mark.parametrize("shares", [b"\xff\x7f", b"\0\0", b"\xff\x03"])
def test_motion_over_a_long_chain_of_anchors(shares: bytes) -> None:
    # At +15 or -16 eighths each motion is about twice the last.
    decoder = PoseDecoder()
    decoder.decode(KEY, 0, 0, b"\x08" + bytes([ALL | INTRA, 0, 0, 0]), timestamp=0.0)
    step = hostile((ALL, (6 | 6 << 6 | 6 << 12).to_bytes(3, "little")), symbols=[2] * 99, ks=[0] * 99)
    decoder.decode(ANCHOR, 1, 1, step, timestamp=0.0)
    on = hostile((ALL | MOTION, shares + bytes(3)))
    for seq in range(2, 60):
        pose = unless_refused(decoder, ANCHOR, seq, 1, on)
        if pose is None:
            break
    assert 20 < seq < 40
    # The last good one is still there, and its motion too.
    assert decoder.decode(LEAF, seq, 1, STILL, timestamp=0.0).pose_landmarks is not None
    assert unless_refused(decoder, LEAF, seq, 1, on) is None


@given(st.lists(st.sampled_from((b"\xff\x7f", b"\0\0", b"\x10\x42", b"\xe0\x01")), max_size=40), st.integers(0, 2**24))
@settings(max_examples=60)
def test_whatever_motion_goes_on_the_pose_stays_in_bounds(shares: list[bytes], symbol: int) -> None:
    decoder = PoseDecoder()
    decoder.decode(KEY, 0, 0, b"\x08" + bytes([ALL | INTRA, 0, 0, 0]), timestamp=0.0)
    step = hostile((ALL, (63 | 63 << 6 | 63 << 12).to_bytes(3, "little")), symbols=[symbol] * 99, ks=[13] * 99)
    if unless_refused(decoder, ANCHOR, 1, 1, step) is None:
        return
    for seq, share in enumerate(shares, start=2):
        pose = unless_refused(decoder, ANCHOR, seq, 1, hostile((ALL | MOTION, share + bytes(3))))
        if pose is None:
            break
        assert pose.pose_landmarks is not None
        assert np.abs(pose.pose_landmarks[:, :2]).max() <= ((1 << 23) - 1) / 2048


# What a stranger's bytes cost ----------------------------------------------------------------------------------------

HUGE: Final = b"\x7c\x01\x00x" + MAX_LANDMARKS.to_bytes(2, "little")
"""A keyframe of 2048 landmarks, a face with irises, and hands."""
LEVELS: Final = (63 | 63 << 6 | 63 << 12 | 63 << 18).to_bytes(3, "little")

BOMBS: Final[dict[str, Callable[[], bytes]]] = {
    "nothing in it": lambda: HUGE,
    "no symbols": lambda: HUGE + bytes([ALL | INTRA | TREE, 255, 255, 255]) * 4,
    "zeros": lambda: HUGE + bytes([ALL | INTRA | TREE, 255, 255, 255]) * 4 + bytes(40_000),
    "ones": lambda: HUGE + bytes([ALL | INTRA, 1, 0, 0]) * 4 + b"\xff" * 30_000,
    "a megabyte of zeros": lambda: HUGE + bytes([ALL | INTRA | TREE, 255, 255, 255]) * 4 + bytes(1 << 20),
    "a megabyte of ones": lambda: b"\x08" + bytes([ALL | INTRA, 255, 255, 255]) + b"\xff" * (1 << 20),
    "masks cut short": lambda: HUGE + bytes([4 | INTRA, 0, 0, 0]) + bytes(500),
    "raw cut short": lambda: bytes([HUGE[0] | 1]) + HUGE[1:] + bytes(1 << 15),
    "a name of 64 KiB": lambda: b"\x0c\xff\xff" + b"x" * 0xFFFF + b"\x01\x00" + bytes(10),
    "one long symbol": lambda: b"\x08" + bytes([ALL | INTRA, 6, 0, 0]) + bytes(500) + b"\xff" * 20,
}


@pytest.mark.parametrize("name", sorted(BOMBS))
def test_huge_claims_are_refused_soon_and_cheaply(name: str) -> None:
    data = BOMBS[name]()
    decoder = PoseDecoder()
    best = float("inf")
    for _ in range(3):  # the first fills tables that serve all later ones
        started = time.process_time()
        assert unless_refused(decoder, KEY, 0, 0, data) is None
        best = min(best, time.process_time() - started)
    assert best < 0.05
    tracemalloc.start()
    try:
        assert unless_refused(decoder, KEY, 0, 0, data) is None
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2_500_000


def test_a_few_bytes_that_are_a_large_pose_make_little_of_it() -> None:
    data = HUGE + bytes([NOTHING]) * 4
    PoseDecoder().decode(KEY, 0, 0, data, timestamp=0.0)
    tracemalloc.start()
    try:
        decoder = PoseDecoder()
        pose = decoder.decode(KEY, 0, 0, data, timestamp=0.0)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    sound(pose)
    assert pose.landmark_count == MAX_LANDMARKS + 478 + 42
    assert peak < 500_000


def test_the_largest_pose_that_may_travel() -> None:
    rng = np.random.default_rng(1)
    stream = Stream()
    for scale in (900.0, 900.0, 1e-3, 1e30, 900.0, 1e-2):
        body, face, hands = (
            rng.normal(0, scale, shape).astype(np.float32) for shape in ((MAX_LANDMARKS, 4), (478, 4), (2, 21, 4))
        )
        stream.send(PoseData(body, face, hands, skeleton="cloud"))
    stream.all_received()


def test_a_short_run_of_all_kinds_of_damage() -> None:
    # What a refused or a wrong anchor left behind is what the next frames are read with.
    chance = random.Random(5)
    shown = refused = 0
    decoders = {kind: after(STREAMS[kind], 5) for kind in KINDS}
    for _ in range(3000):
        kind = chance.choice(KINDS)
        seq, _, code = STREAMS[kind].sent[chance.randrange(10)]
        bad = bytearray(code.body)
        for _ in range(chance.choice((0, 1, 1, 2, 9))):
            bad[chance.randrange(len(bad))] = chance.randrange(256)
        if chance.random() < 0.1:
            del bad[chance.randrange(len(bad)) :]
        frame_type, ref = code.frame_type, code.ref
        if chance.random() < 0.1:
            frame_type, ref = chance.choice(list(FrameType)), chance.randrange(6)
        pose = unless_refused(decoders[kind], frame_type, seq, ref, bytes(bad))
        shown, refused = shown + (pose is not None), refused + (pose is None)
    assert shown > 300
    assert refused > 300
