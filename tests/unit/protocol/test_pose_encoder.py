"""The sending side of body version 3: when keyframes and anchors come, what they refer to, what travels as it is."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest

from posewire.protocol import FrameType, PoseData
from posewire.protocol.pose_decoder import PoseDecoder
from posewire.protocol.pose_encoder import CodedPose, PoseEncoder
from posewire.protocol.precision import Precision
from posewire.sources.synthetic import SyntheticMotion
from tests.unit.protocol.test_body_v3_properties import Stream, within_half_a_step
from tests.unit.strategies import Floats

pytestmark = pytest.mark.usefixtures("codec")

KEY, ANCHOR, LEAF = FrameType.KEY, FrameType.ANCHOR, FrameType.LEAF
RAW = 1
MOTION = SyntheticMotion(seed=1)
POSES = [MOTION.pose(at) for at in range(64)]


def body(at: int = 0) -> Floats:
    found = POSES[at].pose_landmarks
    assert found is not None
    return found.copy()


def hands(at: int = 0) -> Floats:
    return body(at)[:21] + np.arange(2, dtype=np.float32)[:, None, None]


def face(at: int = 0, count: int = 478) -> Floats:
    return np.resize(body(at), (count, 4)) + np.linspace(0, 0.3, count, dtype=np.float32)[:, None]


def whole(at: int = 0) -> PoseData:
    return PoseData(body(at), face(at), hands(at))


def types(stream: Stream) -> list[FrameType]:
    return [code.frame_type for _, _, code in stream.sent]


def is_raw(code: CodedPose) -> bool:
    return code.frame_type is KEY and bool(code.body[0] & RAW)


def warm(**options: float) -> Stream:
    """A stream whose keyframe and first leaf are out."""
    stream = Stream(**options)  # type: ignore[arg-type]
    for at in range(2):
        stream.send(POSES[at])
    assert types(stream) == [KEY, LEAF]
    return stream


# Which frames there are ----------------------------------------------------------------------------------------------


def test_a_keyframe_first_then_every_fourth_an_anchor() -> None:
    stream = Stream()
    for at in range(14):
        stream.send(POSES[at])
    assert types(stream) == [KEY, LEAF, LEAF, LEAF, ANCHOR, LEAF, LEAF, LEAF, ANCHOR, LEAF, LEAF, LEAF, ANCHOR, LEAF]
    assert [code.ref for _, _, code in stream.sent] == [0, 1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4, 1]
    stream.all_received()


@pytest.mark.parametrize("interval", [1, 2, 7])
def test_other_intervals_of_anchors(interval: int) -> None:
    stream = Stream(anchor_interval=interval)
    for at in range(15):
        stream.send(POSES[at])
    assert types(stream)[1:] == [LEAF if at % interval else ANCHOR for at in range(1, 15)]
    stream.all_received()


def test_refs_count_over_gaps() -> None:
    stream = Stream()
    for at, gap in enumerate((1, 5, 1, 1, 100, 2, 1)):
        stream.send(POSES[at])
        stream.seq += gap - 1
    assert [(code.frame_type, code.ref) for _, _, code in stream.sent] == [
        *((KEY, 0), (LEAF, 1), (LEAF, 6), (LEAF, 7), (ANCHOR, 8), (LEAF, 100), (LEAF, 102)),
    ]
    stream.all_received()


def test_numbers_wrap_at_2_to_the_32() -> None:
    stream = Stream(seq=(1 << 32) - 3)
    for at in range(8):
        stream.send(POSES[at])
    assert [seq for seq, _, _ in stream.sent][2:4] == [(1 << 32) - 1, 0]
    assert [code.ref for _, _, code in stream.sent] == [0, 1, 2, 3, 4, 1, 2, 3]
    stream.all_received()


@pytest.mark.parametrize(("distance", "frame_type"), [(0xFFFF, LEAF), (0x10000, KEY), (1 << 31, KEY), (0, KEY)])
def test_how_far_back_a_reference_may_lie(distance: int, frame_type: FrameType) -> None:
    stream = Stream()
    stream.send(POSES[0])
    stream.seq = distance
    code = stream.send(POSES[1])
    assert (code.frame_type, code.ref) == (frame_type, distance if frame_type is LEAF else 0)
    stream.all_received()


def test_a_number_that_goes_backwards_makes_a_keyframe() -> None:
    stream = Stream(seq=1000)
    stream.send(POSES[0])
    stream.seq = 999
    assert stream.send(POSES[1]).frame_type is KEY


# Keyframes -----------------------------------------------------------------------------------------------------------


def test_a_keyframe_every_two_seconds() -> None:
    stream = Stream()
    for at in range(50):
        stream.time = at / 8
        stream.send(POSES[at])
    assert [at for at, frame_type in enumerate(types(stream)) if frame_type is KEY] == [0, 16, 32, 48]
    assert types(stream)[16:21] == [KEY, LEAF, LEAF, LEAF, ANCHOR]  # anchors are counted from it
    stream.all_received()


@pytest.mark.parametrize(
    ("jump", "frame_type"),
    [
        *((1.999, LEAF), (2.0, KEY), (1e9, KEY), (-1.999, LEAF), (-2.0, KEY), (-1e9, KEY)),
        *((float("nan"), KEY), (float("inf"), KEY)),
    ],
)
def test_time_that_jumps(jump: float, frame_type: FrameType) -> None:
    encoder = PoseEncoder()
    encoder.encode(POSES[0], seq=0, time=5.0)
    assert encoder.encode(POSES[1], seq=1, time=5.0 + jump).frame_type is frame_type


def test_time_that_went_back_counts_from_there() -> None:
    encoder = PoseEncoder()
    times = [1000.0, 3.0, 4.9, 5.0]
    found = [encoder.encode(POSES[at], seq=at, time=time).frame_type for at, time in enumerate(times)]
    assert found == [KEY, KEY, LEAF, KEY]


def test_a_keyframe_that_is_asked_for() -> None:
    stream = warm()
    stream.encoder.request_keyframe()
    stream.encoder.request_keyframe()
    for at in range(2, 5):
        stream.send(POSES[at])
    assert types(stream)[2:] == [KEY, LEAF, LEAF]
    stream.all_received()


def test_many_who_ask_within_the_gap_get_one() -> None:
    stream = Stream(keyframe_gap=0.25)
    for at in range(20):
        stream.time = at / 8
        stream.send(POSES[at])
        if at < 9:
            stream.encoder.request_keyframe()
    assert [at for at, frame_type in enumerate(types(stream)) if frame_type is KEY] == [0, 1, 3, 5, 7, 9]


def test_who_asks_when_nobody_has_waits_for_no_gap() -> None:
    stream = warm(keyframe_gap=100.0)
    stream.encoder.request_keyframe()
    assert stream.send(POSES[2]).frame_type is KEY
    stream.encoder.request_keyframe()
    assert stream.send(POSES[3]).frame_type is LEAF
    stream.time += 2.0  # the one that comes anyhow is the one that was asked for
    assert stream.send(POSES[4]).frame_type is KEY
    assert stream.send(POSES[5]).frame_type is LEAF


def test_other_steps_from_the_next_frame_on() -> None:
    stream = warm()
    coarse = Precision(8, 6, 2)
    stream.encoder.set_precision(coarse, hands=Precision(12))
    stream.sent.clear()
    stream.precisions = (coarse, coarse, Precision(12))
    for at in range(2, 8):
        stream.send(whole(at))
    assert types(stream) == [KEY, LEAF, LEAF, LEAF, ANCHOR, LEAF]
    stream.all_received()
    assert len(stream.sent[0][2].body) < len(PoseEncoder().encode(whole(2), seq=0, time=0.0).body)


@pytest.mark.parametrize("other", [{"face": Precision(9)}, {"hands": Precision(9)}])
def test_other_steps_for_one_part_make_a_keyframe(other: dict[str, Precision]) -> None:
    stream = warm()
    stream.encoder.set_precision(Precision(), **other)
    assert stream.send(POSES[2]).frame_type is KEY


def test_the_same_steps_make_no_keyframe() -> None:
    # set_precision() promises one only "if that changes anything".
    stream = warm()
    stream.encoder.set_precision(Precision())
    stream.encoder.set_precision(Precision(), face=Precision(), hands=Precision())
    assert stream.send(POSES[2]).frame_type is LEAF


# Parts and shapes ----------------------------------------------------------------------------------------------------

BODY_ONLY: Callable[[int], PoseData] = POSES.__getitem__


@pytest.mark.parametrize(
    "appears",
    [
        lambda at: PoseData(body(at), face(at)),
        lambda at: PoseData(body(at), hand_landmarks=hands(at)),
        lambda at: PoseData(None, None, hands(at)),
        whole,
    ],
    ids=["face", "hands", "hands alone", "face and hands"],
)
def test_a_part_that_appears_makes_a_keyframe(appears: Callable[[int], PoseData]) -> None:
    stream = warm()
    for at in range(2, 5):
        stream.send(appears(at))
    assert types(stream) == [KEY, LEAF, KEY, LEAF, LEAF]
    stream.all_received()


def test_parts_that_disappear_make_none_and_are_absent() -> None:
    stream = Stream()
    stream.send(whole(0))
    for at in range(1, 12):
        pose = whole(at)
        stream.send(
            PoseData(
                pose.pose_landmarks if at % 3 else None,
                pose.face_landmarks if at % 4 == 1 or at == 3 else None,
                pose.hand_landmarks if at % 3 == 0 or at > 6 else None,
            )
        )
    assert types(stream).count(KEY) == 1
    stream.all_received()  # None where it was None
    # The next keyframe is of what there is: a part that comes back after it is new.
    stream.encoder.request_keyframe()
    for pose in (POSES[12], POSES[13], whole(14)):
        stream.send(pose)
    assert types(stream)[12:] == [KEY, LEAF, KEY]
    stream.all_received()


def test_a_part_that_came_back_refers_over_the_gap() -> None:
    stream = Stream(anchor_interval=1)
    still = whole(0)
    stream.send(still)
    stream.send(POSES[0])
    back = stream.send(still)
    assert types(stream) == [KEY, ANCHOR, ANCHOR]
    assert len(back.body) == 4 * 4
    stream.all_received()


@pytest.mark.parametrize(
    "other",
    [
        PoseData(body()[:31], skeleton="a"),
        PoseData(body(), skeleton="b"),
        PoseData(body()),
        PoseData(np.zeros((34, 4), np.float32), skeleton="a"),
    ],
)
def test_another_number_of_landmarks_or_skeleton_makes_a_keyframe(other: PoseData) -> None:
    stream = Stream()
    first = PoseData(body(), skeleton="a")
    for pose in (first, first, other, other, first):
        stream.send(pose)
    assert types(stream) == [KEY, LEAF, KEY, LEAF, KEY]
    stream.all_received()


def test_faces_with_and_without_irises() -> None:
    stream = Stream()
    for count in (468, 468, 478, 478):
        stream.send(PoseData(face_landmarks=face(0, count)))
    assert types(stream) == [KEY, LEAF, KEY, LEAF]
    stream.all_received()


@pytest.mark.parametrize("skeleton", ["x", "x" * 20, "x" * 128, "\U0001f57a" * 128])
def test_a_long_name_does_not_stop_frames_from_referring(skeleton: str) -> None:
    # The name is in the keyframe however the landmarks travel: it is no reason to send float32.
    stream = Stream()
    for at in range(6):
        stream.send(PoseData(body(at)[:2], skeleton=skeleton))
    stream.all_received()
    assert types(stream) == [KEY, LEAF, LEAF, LEAF, ANCHOR, LEAF]


# What travels as it is -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [4096.0, -4096.0, 3e38, -3e38, float(np.finfo(np.float32).max)])
@pytest.mark.parametrize("where", [(0, 0), (32, 1)])
def test_large_values_travel_raw_and_nothing_refers_to_them(value: float, where: tuple[int, int]) -> None:
    large = body()
    large[where] = value
    large[5, :3] = np.nan
    large[6] = -0.0
    large[7] = 1e-45
    stream = warm()
    raw = [stream.send(PoseData(large)) for _ in range(2)]
    assert all(map(is_raw, raw))
    for code in raw:
        found = PoseDecoder().decode(KEY, 7, 0, code.body, timestamp=0.0).pose_landmarks
        assert found is not None
        assert found.tobytes() == large.tobytes()
    for at in range(2, 5):
        stream.send(POSES[at])
    assert types(stream) == [KEY, LEAF, KEY, KEY, KEY, LEAF, LEAF]
    assert not is_raw(stream.sent[4][2])
    stream.all_received()


@pytest.mark.parametrize(("channel", "bits"), [(0, 11), (1, 11), (2, 9), (3, 5)])
def test_the_largest_value_that_is_quantised(channel: int, bits: int) -> None:
    for sign in (1, -1):
        array = body()
        array[3, channel] = sign * ((1 << 23) - 1) / 2**bits
        stream = Stream()
        assert not is_raw(stream.send(PoseData(array)))
        array[3, channel] = sign * (1 << 23) / 2**bits
        assert is_raw(stream.send(PoseData(array)))
        stream.all_received()


def test_noise_that_quantising_makes_no_smaller_travels_raw() -> None:
    stream = Stream((Precision(20, 20, 20),) * 3)
    rng = np.random.default_rng(1)
    for _ in range(6):
        code = stream.send(PoseData(rng.uniform(-7.9, 7.9, (33, 4)).astype(np.float32)))
        assert len(code.body) <= 1 + 33 * 16
    stream.all_received()


@pytest.mark.parametrize("value", [0.0, -0.0, 1e-45, -1e-40])
def test_small_values_are_zero(value: float) -> None:
    stream = Stream()
    for _ in range(2):
        assert len(stream.send(PoseData(np.full((33, 4), value))).body) <= 5
    stream.all_received()


def test_what_is_not_found() -> None:
    stream = Stream()
    some, none, no_visibility, only_visibility = body(), np.full((33, 4), np.nan), body(), body()
    some[[0, 3, 32], :3] = np.nan
    some[[3, 8], 3] = np.nan
    no_visibility[:, 3] = np.nan
    only_visibility[:, :3] = np.nan
    arrays = [none, none, some, some, none, no_visibility, no_visibility, only_visibility, body(), some, none, body()]
    for array in arrays * 2:
        stream.send(PoseData(array, hand_landmarks=np.stack((array[:21], np.full((21, 4), np.nan)))))
    stream.all_received()
    assert types(stream).count(KEY) == 1
    # Not one of the 34 landmarks is sent where none is found, and masks are sent once.
    assert len(stream.sent[1][2].body) == 3
    stream = Stream()
    for _ in range(2):
        stream.send(PoseData(some))
    assert len(stream.sent[1][2].body) <= 4 + 10
    stream = Stream(anchor_interval=1)
    for _ in range(3):
        stream.send(PoseData(some))
    assert len(stream.sent[2][2].body) == 4


def test_a_signalling_nan_is_a_nan() -> None:
    # NumPy warned of it, and under -W error that is what came out.
    array = np.frombuffer(bytes.fromhex("0100a07f") * 132, dtype="<f4").reshape(33, 4)
    stream = Stream()
    for _ in range(2):
        stream.send(PoseData(array))
    stream.all_received()


# Bugs it had ---------------------------------------------------------------------------------------------------------


DEPTHS = np.array([int(level) for level in "012312344121223344556452334455667"])
"""How many landmarks lie between each and the nose."""


@pytest.mark.parametrize("scale", [0.1, 1.0, 8.0])
def test_a_face_in_a_line(scale: float) -> None:
    # LinAlgError: Singular matrix.
    stream = Stream(anchor_interval=1)
    line = np.tile(np.arange(468, dtype=np.float32)[:, None] * np.float32(scale), (1, 4))
    for at in range(5):
        stream.send(PoseData(face_landmarks=line + np.float32(at)))
    stream.all_received()


def test_far_landmarks_that_go_back_just_as_they_came() -> None:
    # ValueError: math domain error.
    for seed in range(200):
        far, near = np.zeros((2, 33, 4), np.float32)
        far[:, 2] = (-1.0) ** DEPTHS * np.rint(((1 << 23) - 1) * np.random.default_rng(seed).uniform(0.9, 1, 33)) / 512
        stream = Stream(anchor_interval=1)
        for pose in (PoseData(near), PoseData(far), PoseData(near)):
            stream.send(pose)
        stream.all_received()


# What a caller may rely on -------------------------------------------------------------------------------------------


def test_the_caller_s_arrays_are_neither_changed_nor_kept() -> None:
    poses = [whole(at) for at in range(6)]
    poses[3] = PoseData(np.where(np.arange(33)[:, None] % 3 == 0, np.float32(np.nan), body(3)), face(3), hands(3))
    twins = copy.deepcopy(poses)
    one, other = PoseEncoder(), PoseEncoder()
    for at, (pose, twin) in enumerate(zip(poses, twins, strict=True)):
        code = one.encode(pose, seq=at, time=0.0)
        assert pose == twin
        for part in (pose.pose_landmarks, pose.face_landmarks, pose.hand_landmarks):
            assert part is not None
            part.flags.writeable = True
            part[...] = 7.0
        assert other.encode(twin, seq=at, time=0.0) == code


def test_the_result_depends_on_nothing_else() -> None:
    streams = [Stream(), Stream()]
    for stream in streams:
        for at in range(12):
            stream.send(whole(at))
    assert [code for *_, code in streams[0].sent] == [code for *_, code in streams[1].sent]


def test_the_timestamp_of_a_pose_is_not_used() -> None:
    one = PoseEncoder().encode(PoseData(body(), timestamp=5.0), seq=0, time=0.0)
    assert PoseEncoder().encode(PoseData(body()), seq=0, time=9.0) == one


def test_an_encoder_s_own_rounding_is_that_of_the_nearest_step() -> None:
    array = np.zeros((33, 4), np.float32)
    array[:, 0] = (np.arange(33) - 16.5) / 2048
    code = PoseEncoder().encode(PoseData(array), seq=0, time=0.0)
    found = PoseDecoder().decode(KEY, 0, 0, code.body, timestamp=0.0)
    within_half_a_step(PoseData(array), found)
    assert found.pose_landmarks is not None
    np.testing.assert_array_equal(found.pose_landmarks[:, 0], np.rint(array[:, 0] * 2048) / 2048)
