"""The age of a pose is in the pose."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.crowd_age import AGE_STEPS, Ages, age, percentile, read, stamp

STEP_NS = 100_000


@pytest.mark.parametrize("sent_ns", [0, 1, 123_456_789_000, (1 << 22) * STEP_NS - 1, 10**18])
@pytest.mark.parametrize("steps", [0, 1, 2047, 99_999])
def test_an_age_comes_out_as_it_went_in(sent_ns: int, steps: int) -> None:
    pose = stamp(np.full((33, 4), 0.3, dtype=np.float32), sent_ns)
    # What the codec does to it: the nearest step of 1/2048.
    pose = (np.rint(pose * 2048) / 2048).astype(np.float32)
    assert age(pose, sent_ns // STEP_NS * STEP_NS + steps * STEP_NS) == steps


def test_ages_are_counted_and_taken_once() -> None:
    ages = Ages()
    for steps in (0, 10, 10, AGE_STEPS + 5):
        ages.add(steps)
    counts = read(ages.take())
    assert (counts[0], counts[10], counts[-1], counts.sum()) == (1, 2, 1, 4)
    assert read(ages.take()).sum() == 0


def test_percentiles_are_upper_ends_of_steps() -> None:
    ages = Ages()
    for steps in range(100):
        ages.add(steps)
    counts = read(ages.take())
    assert percentile(counts, 50) == pytest.approx(0.005)
    assert percentile(counts, 99) == pytest.approx(0.0099)
    assert percentile(read(ages.take()), 50) is None
