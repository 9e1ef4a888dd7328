"""Which landmark moves with which: differences and sums, parents, Rice parameters."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from posewire.limits import MAX_LANDMARKS
from posewire.protocol.part_state import MAX_LEVEL, RICE, VALUE_LIMIT
from posewire.protocol.rice import MAX_K, SYMBOL_LIMIT
from posewire.protocol.topology import LEVEL_BIAS, Floats, Topology, topology

Part: TypeAlias = Literal["pose", "hand", "other"]

TREES: list[tuple[Part, int]] = [("pose", 33), ("hand", 21)]
CHAINS: list[tuple[Part, int]] = [
    *(("pose", 1), ("pose", 32), ("pose", 34), ("hand", 20), ("other", 1), ("other", 2), ("other", 21)),
    *(("other", 33), ("other", 468), ("other", MAX_LANDMARKS)),
]
ALL = TREES + CHAINS
LARGEST = 2 * SYMBOL_LIMIT
"""More than any number the bytes can say."""


def parents(tree: Topology) -> list[int]:
    """Read them off the differences of one landmark after the other; -1 for none."""
    found = []
    for row in tree.differences(np.eye(tree.count)).T:  # [of, with]
        others = np.flatnonzero(row == -1).tolist()
        assert len(others) <= 1
        assert np.count_nonzero(row) == 1 + len(others)
        found.append(others[0] if others else -1)
    return found


@pytest.mark.parametrize(("part", "count"), ALL)
def test_a_parent_comes_before_its_children(part: Part, count: int) -> None:
    found = parents(topology(part, count))
    assert found[0] == -1
    assert all(0 <= parent < joint for joint, parent in enumerate(found) if joint)


def test_parents_of_a_body() -> None:
    found = parents(topology("pose", 33))
    nose, shoulder, elbow, wrist, thumb, hip, knee, ankle, heel, toe = 0, 11, 13, 15, 21, 23, 25, 27, 29, 31
    expected = {shoulder: nose, elbow: shoulder, wrist: elbow, thumb: wrist}
    expected |= {hip: shoulder, knee: hip, ankle: knee, heel: ankle, toe: heel}
    for joint, parent in expected.items():
        assert found[joint] == parent
        if joint > shoulder:  # the right side is like the left
            assert found[joint + 1] == parent + 1


def test_parents_in_a_hand() -> None:
    assert parents(topology("hand", 21)) == [-1] + [joint - 1 if joint % 4 != 1 else 0 for joint in range(1, 21)]


@pytest.mark.parametrize(("part", "count"), CHAINS)
def test_what_is_not_mediapipe_s_is_a_chain(part: Part, count: int) -> None:
    chain = topology(part, count)
    assert chain.is_chain
    assert parents(chain) == list(range(-1, count - 1))
    assert not chain.offsets.any()


@pytest.mark.parametrize(("part", "count"), TREES)
def test_trees_are_none(part: Part, count: int) -> None:
    assert not topology(part, count).is_chain


@pytest.mark.parametrize(("part", "count"), ALL)
def test_offsets_and_weights(part: Part, count: int) -> None:
    tree = topology(part, count)
    assert (tree.count, tree.offsets.shape) == (count, (4, count))
    assert tree.offsets.dtype == np.int64
    np.testing.assert_array_equal(tree.offsets[0], tree.offsets[1])
    assert not tree.offsets[3].any()
    # The encoder relies on it: a small enough weighted sum is a small sum.
    assert tree.weights.min() >= 0.25
    np.testing.assert_allclose(np.log2(tree.weights) * -4, tree.offsets, atol=1e-12)


@given(st.sampled_from([*ALL[:-1], ("other", 60)]), st.data())
def test_sums_undo_differences(which: tuple[Part, int], data: st.DataObject) -> None:
    tree = topology(*which)
    limit = int(VALUE_LIMIT)
    numbers = data.draw(hnp.arrays(np.int32, (4, tree.count), elements=st.integers(-limit, limit)))
    values = numbers.astype(np.float64)
    found = tree.differences(values)
    np.testing.assert_array_equal(tree.sums(found), values)
    np.testing.assert_array_equal(tree.differences(tree.sums(values)), values)
    np.testing.assert_array_equal(values, numbers)
    # One channel alone, or some, are no other than all four.
    np.testing.assert_array_equal(tree.differences(values[2]), found[2])
    np.testing.assert_array_equal(tree.sums(found[:3]), values[:3])


@pytest.mark.parametrize(("part", "count"), ALL)
def test_sums_of_the_largest_numbers_are_exact(part: Part, count: int) -> None:
    tree = topology(part, count)
    rng = np.random.default_rng(count)
    values: Floats = np.where(rng.random((3, count)) < 0.1, -1.0, 1.0) * (LARGEST - rng.integers(0, 99, (3, count)))
    above = parents(tree)
    found = tree.sums(values)
    for row, sums in zip(values.tolist(), found.tolist(), strict=True):
        whole: list[int] = []
        for joint, number in enumerate(row):
            whole.append(int(number) + (whole[above[joint]] if joint else 0))
        assert sums == whole
        assert max(map(abs, whole)) < 1 << 53


def test_longest_chain_of_largest_numbers_stays_below_2_to_the_53() -> None:
    assert MAX_LANDMARKS * LARGEST < 1 << 53


@pytest.mark.parametrize(("part", "count"), ALL)
@pytest.mark.parametrize("tree", [False, True])
def test_rice_parameters_of_every_level(part: Part, count: int, tree: bool) -> None:
    shape = topology(part, count)
    for channel in range(4):
        offsets = shape.offsets[channel] if tree else np.zeros(count, np.int64)
        for level in range(RICE, MAX_LEVEL + 1):
            found = shape.parameters(channel, level, tree=tree)
            expected = [max((offset + level - LEVEL_BIAS) // 4, 0) for offset in offsets.tolist()]
            assert found.tolist() == expected
            assert found.dtype == np.int64
            assert 0 <= found.min() <= found.max() <= MAX_K


def test_one_topology_serves_all_who_ask() -> None:
    assert topology("pose", 33) is topology("pose", 33)
    chain = topology("other", 77)
    assert np.shares_memory(chain.parameters(0, 30, tree=True), chain.parameters(2, 30, tree=False))
