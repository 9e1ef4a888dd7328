"""One part of a pose: what the encoder makes of it the decoder makes into it again; and what no encoder makes."""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from hypothesis.strategies import DrawFn

from posewire.errors import ProtocolError
from posewire.limits import MAX_LANDMARKS
from posewire.protocol.part_decoder import finish_part, plan_part
from posewire.protocol.part_encoder import CodedPart, PartReference, encode_part
from posewire.protocol.part_state import (
    ABSENT,
    AFFINE,
    AFFINE_LIMIT,
    ALL,
    INTRA,
    MASKED,
    MOTION,
    NOTHING,
    PAIR_LIMIT,
    PAIR_RANKS,
    PAIR_SIDE,
    PAIRS_BY_RANK,
    SAME,
    TREE,
    VALUE_LIMIT,
    Bools,
    PartState,
    affine_shift,
    motion_shift,
)
from posewire.protocol.rice import SYMBOL_LIMIT, pack, unpack
from posewire.protocol.topology import Floats, Topology, topology

LIMIT: Final = int(VALUE_LIMIT)
Frame: TypeAlias = tuple[Floats, Bools | None]

TOPOLOGIES: Final = {
    "pose": topology("pose", 33),
    "hand": topology("hand", 21),
    "face": topology("other", 468),
    **{f"chain {count}": topology("other", count) for count in (1, 2, 5, 63, 64, 65)},
}


def sent(code: CodedPart, reference: PartState | None, tree: Topology) -> PartState:
    """Take a coded part through its bytes to the other side."""
    data = code.head
    if code.symbols:
        data += pack(np.concatenate(code.symbols), np.concatenate(code.ks))
    plan, at = plan_part(data, 0, reference, tree)
    assert at == len(code.head)
    ks = np.concatenate(plan.ks) if plan.ks else np.zeros(0, np.int64)
    return finish_part(plan, unpack(data[at:], ks), reference, tree)


def check(frame: Frame, code: CodedPart, state: PartState) -> None:
    """Nothing is lost where something was found, and both sides know the same of the rest."""
    q, found = frame
    np.testing.assert_array_equal(state.q, code.q)
    if found is None:
        assert state.found is None
        np.testing.assert_array_equal(state.q, q)
        return
    assert state.found is not None
    np.testing.assert_array_equal(state.found, found)
    mask = found[[0, 0, 0, 1]]
    np.testing.assert_array_equal(state.q[mask], q[mask])


def through(frames: list[Frame], tree: Topology) -> list[int]:
    """Send frames, each referring to the one before; returns their first bytes."""
    reference: PartReference | None = None
    before: PartState | None = None
    heads = []
    for q, found in frames:
        code = encode_part(q.copy(), found, reference, tree)
        state = sent(code, before, tree)
        check((q, found), code, state)
        heads.append(code.head[0])
        before, reference = state, PartReference(state)
    return heads


@st.composite
def sequences(draw: DrawFn) -> tuple[Topology, list[Frame]]:
    """A few frames of a part: jumps, noise, motion that goes on or back, landmarks that come and go."""
    tree = TOPOLOGIES[draw(st.sampled_from(sorted(TOPOLOGIES)))]
    rng = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    q = np.zeros((4, tree.count))
    motion = np.zeros((4, tree.count))
    frames: list[Frame] = []
    for _ in range(draw(st.integers(1, 5))):
        size = draw(st.sampled_from((0, 1, 3, 40, 3000, 10**6, LIMIT)))
        match draw(st.sampled_from(("jump", "noise", "on", "back", "affine", "end", "one"))):
            case "jump":
                after = rng.integers(-size, size + 1, q.shape).astype(np.float64)
            case "noise":
                after = q + rng.integers(-size, size + 1, q.shape)
            case "on":
                after = q + motion + rng.integers(-1, 2, q.shape)
            case "back":
                after = q - np.rint(motion * 0.5)
            case "affine":
                after = q + rng.integers(-size, size + 1, (4, 1))
                after[:3] += np.rint(rng.normal(0, 0.02, (3, 3)) @ q[:3])
            case "end":
                after = np.full_like(q, rng.choice((-LIMIT, 0, LIMIT)))
            case _:
                after = q.copy()
                after[rng.integers(4), rng.integers(tree.count)] += size
        after = np.clip(after, -LIMIT, LIMIT)
        motion, q = after - q, after
        share = draw(st.sampled_from((None, None, 0.0, 0.5, 0.9, 1.0)))
        found = rng.random((2, tree.count)) < (1.0 if share is None else share)
        frames.append((q, None if found.all() else found))
        if draw(st.booleans()):
            frames.append((q, frames[-1][1]))
    return tree, frames


@settings(max_examples=400)
@given(sequences())
def test_each_frame_comes_out_as_it_went_in(drawn: tuple[Topology, list[Frame]]) -> None:
    tree, frames = drawn
    through(frames, tree)


@settings(max_examples=50)
@given(st.data(), st.sampled_from(["hand", "chain 2", "chain 5"]))
def test_any_numbers_one_by_one(data: st.DataObject, which: str) -> None:
    tree = TOPOLOGIES[which]
    numbers = hnp.arrays(np.int32, (4, tree.count), elements=st.integers(-LIMIT, LIMIT) | st.integers(-3, 3))
    masks = st.none() | hnp.arrays(np.bool_, (2, tree.count)).filter(lambda mask: not mask.all())
    through([(data.draw(numbers).astype(np.float64), data.draw(masks)) for _ in range(3)], tree)


def test_every_mode_and_flag_is_used() -> None:
    seen = set()
    rng = np.random.default_rng(3)
    for tree in TOPOLOGIES.values():
        start = np.cumsum(rng.normal(0, 90, (4, tree.count)), axis=1).round()
        way = np.cumsum(rng.normal(0, 30, (4, tree.count)), axis=1).round()
        turned = start.copy()
        turned[:3] += np.rint(np.array([[0.01, 0.02, 0], [-0.02, 0.01, 0], [0, 0, 0]]) @ start[:3]) + 50
        some = rng.random((2, tree.count)) < 0.5
        some[0, 0] = True
        none = np.zeros((2, tree.count), np.bool_)
        frames: list[Frame] = [(start, None), (turned, None), (start, None), (start + way, None)]
        frames += [(start + 2 * way, None), (start + 3 * way + 1, None), (start, some), (start, some), (start, none)]
        seen |= set(through(frames, tree))
    assert {head & 7 for head in seen} == {NOTHING, ALL, SAME, MASKED}
    for flag in (INTRA, TREE, AFFINE, MOTION):
        assert any(head & flag for head in seen)
        assert any(not head & flag for head in seen if head & 7 != NOTHING)


@pytest.mark.parametrize("name", sorted(TOPOLOGIES))
def test_a_frame_that_does_not_change_takes_four_bytes(name: str) -> None:
    tree = TOPOLOGIES[name]
    q = np.random.default_rng(1).integers(-999, 999, (4, tree.count)).astype(np.float64)
    code = encode_part(q, None, PartReference(PartState(q.copy())), tree)
    assert len(code.head) == 4
    assert not code.symbols


@pytest.mark.parametrize("name", ["pose", "hand"])
def test_motion_is_not_worth_its_time_for_mediapipe(name: str) -> None:
    tree = TOPOLOGIES[name]
    frames = [np.full((4, tree.count), 100.0 * time) for time in range(4)]
    assert not any(head & MOTION for head in through([(q, None) for q in frames], tree))


@pytest.mark.parametrize("name", ["face", "chain 63", "chain 64"])
def test_motion_that_goes_on_is_foreseen(name: str) -> None:
    tree = TOPOLOGIES[name]
    rng = np.random.default_rng(4)
    start, way = rng.integers(-900, 900, (2, 4, tree.count)).astype(np.float64)
    way[3] = 0
    frames = [start, start + way, start + 2 * way, start + 2 * way + np.rint(way / 2)]
    heads = through([(q, None) for q in frames], tree)
    assert [bool(head & MOTION) for head in heads] == [False, False, True, True]
    code = encode_part(frames[2], None, PartReference(PartState(frames[1], start)), tree)
    assert len(code.head) == 6
    assert not code.symbols


def test_the_reference_is_left_alone() -> None:
    tree = TOPOLOGIES["chain 65"]
    rng = np.random.default_rng(2)
    before, q, after = (rng.integers(-99, 99, (4, 65)).astype(np.float64) for _ in range(3))
    found = rng.random((2, 65)) < 0.7
    reference = PartReference(PartState(q, before, found))
    twins = before.copy(), q.copy(), found.copy()
    for mask in (None, found, ~found):
        sent(encode_part(after.copy(), mask, reference, tree), reference.state, tree)
    for one, other in zip((before, q, found), twins, strict=True):
        np.testing.assert_array_equal(one, other)


def test_one_limb_that_flips_from_end_to_end_of_a_part_that_is_dear() -> None:
    # Little changes, but the largest difference is four times the limit.
    tree = TOPOLOGIES["pose"]
    for seed in range(9):
        q = np.zeros((4, 33))
        q[0] = np.random.default_rng(seed).integers(-LIMIT, LIMIT, 33)
        q[0, 13], q[0, 15] = LIMIT, -LIMIT
        after = q.copy()
        after[0, 13], after[0, 15] = -LIMIT, LIMIT
        through([(q, None), (after, None), (q, None)], tree)


# Bugs the encoder had ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1, 1000, 100_000])
def test_landmarks_in_a_line(scale: int) -> None:
    # The least squares of affine motion have no one answer: "Singular matrix", and the sender's pipeline ended.
    tree = TOPOLOGIES["chain 64"]
    line = np.tile(np.arange(64.0) * scale, (4, 1))
    through([(line, None), (line + 5, None), (line - 2, None)], tree)


def test_far_landmarks_that_go_back_just_as_they_came() -> None:
    # What the shares of motion leave, 0, came out as -15 by rounding: the logarithm of a negative number.
    tree = TOPOLOGIES["pose"]
    depth = np.zeros(33)
    for joint, row in enumerate(tree.differences(np.eye(33)).T):
        if (row == -1).any():
            depth[joint] = depth[int(np.argmin(row))] + 1
    still = np.zeros((4, 33))
    for seed in range(200):
        far = still.copy()
        far[2] = (-1) ** depth * np.rint(LIMIT * np.random.default_rng(seed).uniform(0.9, 1, 33))
        encode_part(still.copy(), None, PartReference(PartState(far, still)), tree)


# Arithmetic ----------------------------------------------------------------------------------------------------------

within = st.integers(-LIMIT, LIMIT) | st.sampled_from((-LIMIT, LIMIT))
eighths = st.integers(-16, 15)
factors = st.integers(1 - int(AFFINE_LIMIT), int(AFFINE_LIMIT) - 1) | st.sampled_from((1 - int(AFFINE_LIMIT), 4096))
rows = st.lists(st.tuples(within, within, within), min_size=1, max_size=40)


@given(rows, st.tuples(eighths, eighths, eighths))
def test_shares_of_motion_are_what_whole_numbers_give(
    joints: list[tuple[int, int, int]], shares: tuple[int, ...]
) -> None:
    x, y, z = shares
    q = np.array(joints, np.float64).T
    state = PartState(np.vstack((q, q[:1])), np.vstack((-q, q[:1])))
    motion = state.motion
    assert motion is not None
    found = motion_shift(motion, (x, y, z))
    for channel, share in enumerate((x, y, z)):
        assert found[channel].tolist() == [(2 * joint[channel] * share + 4) // 8 for joint in joints]
    np.testing.assert_array_equal(motion, 2 * q)


@given(rows, st.lists(st.tuples(factors, factors, factors, factors), min_size=3, max_size=3))
def test_affine_motion_is_what_whole_numbers_give(
    joints: list[tuple[int, int, int]], rows: list[tuple[int, int, int, int]]
) -> None:
    q = np.array(joints, np.float64).T
    basis = PartState(np.vstack((q, q[:1]))).basis
    means = [sum(joint[axis] for joint in joints) // len(joints) for axis in range(3)]
    centred = [[joint[axis] - means[axis] for axis in range(3)] for joint in joints]
    assert basis.T.tolist() == centred
    found = affine_shift(basis, np.array(rows, np.float64))
    for (t, a, b, c), channel in zip(rows, found.tolist(), strict=True):
        assert channel == [t + (a * x + b * y + c * z + 2048) // 4096 for x, y, z in centred]


def test_no_number_on_the_way_reaches_2_to_the_53() -> None:
    widest = 2 * LIMIT  # of one value less another: a motion, a landmark less the mean
    assert 16 * widest + 4 < 1 << 53
    assert 3 * int(AFFINE_LIMIT) * widest + 2048 < 1 << 53
    assert MAX_LANDMARKS * LIMIT < 1 << 53  # the sum under a mean
    assert MAX_LANDMARKS * (2 * SYMBOL_LIMIT) + int(AFFINE_LIMIT) + 3 * int(AFFINE_LIMIT) * widest < 1 << 53


def test_pairs_by_distance_from_zero() -> None:
    numbers = [(a, b) for a in range(-PAIR_LIMIT, PAIR_LIMIT + 1) for b in range(-PAIR_LIMIT, PAIR_LIMIT + 1)]
    numbers.sort(key=lambda pair: (pair[0] ** 2 + pair[1] ** 2, *pair))
    assert PAIRS_BY_RANK.tolist() == [list(pair) for pair in numbers]
    for rank, (a, b) in enumerate(numbers):
        assert PAIR_RANKS[(a + PAIR_LIMIT) * PAIR_SIDE + b + PAIR_LIMIT] == rank


# What no encoder makes -----------------------------------------------------------------------------------------------

HAND: Final = TOPOLOGIES["hand"]
PLAIN: Final = PartState(np.zeros((4, 21)))
UNKNOWN: Final = PartState(np.zeros((4, 21)), known=False)
MOVING: Final = PartState(np.zeros((4, 21)), np.ones((4, 21)))
PARTLY: Final = PartState(np.zeros((4, 21)), found=np.ones((2, 21), np.bool_))
ZEROS: Final = bytes(3)


@pytest.mark.parametrize("reference", [None, UNKNOWN, PLAIN, MOVING, PARTLY], ids=lambda state: "" if state else "none")
def test_first_bytes_that_mean_something(reference: PartState | None) -> None:
    known = reference is not None and reference.known
    allowed = {ABSENT, NOTHING}
    modes = [ALL, MASKED]
    if reference is not None and reference.found is not None:
        modes.append(SAME)
    for mode in modes:
        allowed |= {mode | INTRA, mode | INTRA | TREE}
        if known:
            allowed |= {mode | tree | affine for tree in (0, TREE) for affine in (0, AFFINE)}
        if reference is not None and reference.motion is not None:
            allowed |= {mode | tree | affine | MOTION for tree in (0, TREE) for affine in (0, AFFINE)}
    for first in range(256):
        data = bytes([first]) + b"\x08" * 64
        if first in allowed:
            plan, at = plan_part(data, 0, reference, HAND)
            assert (plan.mode, plan.flags) == (first & 7, first & ~7)
            assert plan.absent == (first == ABSENT)
            masks = 6 if first & 7 == MASKED else 0
            assert at == (1 if first & 7 <= NOTHING else 4 + (2 if first & MOTION else 0) + masks)
            for end in range(at):
                with pytest.raises(ProtocolError, match="cut short"):
                    plan_part(data[:end], 0, reference, HAND)
        else:
            with pytest.raises(ProtocolError, match="no meaning here"):
                plan_part(data, 0, reference, HAND)


def test_shares_have_fifteen_bits() -> None:
    with pytest.raises(ProtocolError, match="shares of motion"):
        plan_part(bytes([ALL | MOTION, 0, 128]) + ZEROS, 0, MOVING, HAND)
    plan, _ = plan_part(bytes([ALL | MOTION, 0xE0, 0x41]) + ZEROS, 0, MOVING, HAND)
    assert plan.shares == (-16, -1, 0)


def test_masks_have_a_bit_for_each_landmark() -> None:
    for last in (1, 2, 4):
        for masks in (bytes([0, 0, last, 0, 0, 0]), bytes([0, 0, 0, 0, 0, last])):
            with pytest.raises(ProtocolError, match="more bits than landmarks"):
                plan_part(bytes([MASKED]) + ZEROS + masks, 0, PLAIN, HAND)


def test_masks_of_all_and_of_nothing_have_modes_of_their_own() -> None:
    for masks in (bytes(6), b"\xff\xff\xf8" * 2):
        with pytest.raises(ProtocolError, match="another mode"):
            plan_part(bytes([MASKED]) + ZEROS + masks, 0, PLAIN, HAND)


def levels(*channels: int) -> bytes:
    return sum(level << 6 * at for at, level in enumerate(channels)).to_bytes(3, "little")


def hostile(head: bytes, symbols: list[int], reference: PartState | None, tree: Topology = HAND) -> PartState:
    plan, at = plan_part(head, 0, reference, tree)
    assert at == len(head)
    assert len(symbols) == sum(map(len, plan.ks))
    return finish_part(plan, np.array(symbols, np.int64), reference, tree)


def test_a_pair_that_does_not_exist() -> None:
    head = bytes([ALL | INTRA]) + levels(1, 0, 0, 0)
    assert hostile(head, [960] * 11, None).q[0].tolist() == [15] * 21
    with pytest.raises(ProtocolError, match="pair of rank 961"):
        hostile(head, [0] * 10 + [961], None)


@pytest.mark.parametrize("flags", [INTRA, INTRA | TREE, 0, TREE])
def test_values_at_the_limit_and_beyond(flags: int) -> None:
    head = bytes([ALL | flags]) + levels(63, 0, 0, 0)
    for symbol, value in ((2 * LIMIT, LIMIT), (2 * LIMIT - 1, -LIMIT)):
        state = hostile(head, [symbol] + [0] * 20, PLAIN)
        assert state.q[0, 0] == value
        with pytest.raises(ProtocolError, match="beyond 8388607 steps"):
            hostile(head, [symbol + 2] + [0] * 20, PLAIN)


@pytest.mark.parametrize("count", [2, 64, MAX_LANDMARKS])
def test_a_sum_out_of_all_measure(count: int) -> None:
    # Each symbol is the largest that Rice codes can say.
    head = bytes([ALL | INTRA | TREE]) + levels(63, 63, 63, 63)
    with pytest.raises(ProtocolError, match="beyond"):
        hostile(head, [2 * SYMBOL_LIMIT] * 4 * count, None, topology("other", count))


def test_many_values_that_are_large_together_but_not_alone() -> None:
    q = np.full((4, 65), VALUE_LIMIT)
    state = hostile(bytes([ALL]) + ZEROS, [], PartState(q), TOPOLOGIES["chain 65"])
    np.testing.assert_array_equal(state.q, q)


def affine(first: int) -> list[int]:
    return [first] + [0] * 11


def test_affine_coefficients_at_the_limit_and_beyond() -> None:
    head = bytes([ALL | AFFINE]) + ZEROS
    edge = int(AFFINE_LIMIT) - 1
    assert hostile(head, affine(2 * edge), PLAIN).q[0].tolist() == [edge] * 21
    assert hostile(head, affine(2 * edge - 1), PLAIN).q[0].tolist() == [-edge] * 21
    for symbol in (2 * edge + 1, 2 * edge + 2, 2 * SYMBOL_LIMIT):
        with pytest.raises(ProtocolError, match="affine motion beyond"):
            hostile(head, affine(symbol), PLAIN)


def test_the_strongest_affine_motion_of_the_widest_part_is_refused() -> None:
    q = np.where(np.arange(21) % 2, VALUE_LIMIT, -VALUE_LIMIT) * np.ones((4, 1))
    with pytest.raises(ProtocolError, match="beyond 8388607 steps"):
        hostile(bytes([ALL | AFFINE]) + ZEROS, [2 * int(AFFINE_LIMIT) - 2] * 12, PartState(q))


def test_motion_that_grows_from_anchor_to_anchor_is_refused_in_the_end() -> None:
    head = bytes([ALL | MOTION, 0xFF, 0x7F]) + ZEROS  # 15 eighths of each
    state = PartState(np.ones((4, 21)), np.zeros((4, 21)))
    place, before = 1, 0
    for _ in range(40):
        place, before = place + ((place - before) * 15 + 4) // 8, place
        if place > LIMIT:
            break
        state = hostile(head, [], state)
        assert state.q[:3].tolist() == [[place] * 21] * 3
    with pytest.raises(ProtocolError, match="beyond"):
        hostile(head, [], state)


def test_what_was_not_found_stays_what_it_was() -> None:
    q = np.arange(84.0).reshape(4, 21)
    state = hostile(bytes([MASKED]) + levels(63, 0, 0, 63) + bytes([0, 0, 0, 64, 0, 0]), [7] * 42, PartState(q.copy()))
    q[3, 1] -= 4
    np.testing.assert_array_equal(state.q, q)
    assert state.found is not None
    assert np.argwhere(state.found).tolist() == [[1, 1]]
    gone = hostile(bytes([NOTHING]), [], state)
    assert gone.q is state.q
    assert gone.known
    assert not hostile(bytes([NOTHING]), [], None).known
    for mode in (ABSENT, NOTHING):
        assert not hostile(bytes([mode]), [], UNKNOWN).known


def test_a_part_without_its_reference_has_no_motion() -> None:
    for first in (ALL | INTRA, ABSENT, NOTHING):
        state = hostile(bytes([first]) + (b"" if first <= NOTHING else ZEROS), [], MOVING)
        assert state.motion is None
