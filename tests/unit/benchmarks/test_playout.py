"""The bars of playout that do not depend on the machine, on every run: the benchmark measures the rest."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks import playout_alignment, playout_schedule
from benchmarks.playout import MAX_APART_MS, MAX_DELAY_MS, MAX_RATIO, MAX_STD_MS
from benchmarks.playout_motion import measure_motion
from benchmarks.playout_smoothing import measure_smoothing

import posewire

SAMPLES = Path(posewire.__file__).parent / "samples"


@pytest.mark.parametrize("delay", [0.08, None])
@pytest.mark.parametrize("seed", [1, 2])
def test_forty_milliseconds_of_jitter_leave_an_even_schedule(delay: float | None, seed: int) -> None:
    row = playout_schedule.virtual(20.0, seed, delay)
    assert row["arrival_std_ms"] > 10
    assert row["interval_std_ms"] <= MAX_STD_MS
    assert row["delay_ms"] <= MAX_DELAY_MS
    assert row["released"] > 590
    assert (row["late"], row["missing"], row["dropped"]) == (0, 0, 0)


def test_interpolated_poses_are_nearer_to_the_true_motion_than_held_ones() -> None:
    (row,) = measure_motion(SAMPLES, 1)
    assert max(row["cubic_ratio"], row["smooth_ratio"]) <= MAX_RATIO
    assert row["cubic_error"] < row["linear_error"] < row["hold_error"]


@pytest.mark.parametrize(("seconds", "ppm"), [(60.0, 0.0), (120.0, 400.0)])
def test_sound_and_poses_stay_together_over_a_link_with_jitter_and_loss(seconds: float, ppm: float) -> None:
    row = playout_alignment.virtual(seconds, 1, skew_ppm=ppm)
    assert row["apart_max_ms"] <= MAX_APART_MS
    assert row["released"] > 0.97 * row["sent"]
    assert row["told"] == 0


def test_the_filter_takes_much_of_the_tremble() -> None:
    for row in measure_smoothing(SAMPLES):
        assert row["tremble_after"] < 0.7 * row["tremble_before"]
