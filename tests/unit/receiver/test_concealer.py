"""Sound made up between two pieces: no clicks, and gone when the gap is long."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from posewire.receiver.concealer import HISTORY, bridge, extend
from tests.sound import sine, speech

RATES = [8000, 16_000, 44_100, 48_000, 192_000]


def step_at(before: Any, after: Any) -> float:
    return float(np.abs(after[0] - before[-1]).max())


def natural(*parts: Any) -> float:
    return max(float(np.abs(np.diff(part, axis=0)).max()) for part in parts if len(part) > 1)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("hz", [80, 120, 217.3, 390])
def test_a_voice_goes_on(rate: int, hz: float) -> None:
    whole = sine(hz, 0.2, rate) + sine(2 * hz, 0.2, rate, amplitude=0.2)
    gap = slice(round(0.1 * rate), round(0.12 * rate))
    before, after = whole[: gap.start], whole[gap.stop :]
    made = bridge(before, after, gap.stop - gap.start, rate)
    error = float(np.sqrt(np.mean((made - whole[gap]) ** 2)) / np.std(whole))
    assert error < 0.5
    assert step_at(before, made) < 2 * natural(whole)
    assert step_at(made, after) < 2 * natural(whole)


def test_both_sides_count() -> None:
    low, high = sine(100, 0.1), sine(300, 0.1)
    made = bridge(low, high, 960, 48_000)
    onward = extend(low, 960, 48_000)
    assert made[:50] == pytest.approx(onward[:50], abs=0.05)
    assert made[-50:] != pytest.approx(onward[-50:], abs=0.05)


def test_it_fades_to_nothing_in_60_ms() -> None:
    made = extend(sine(200, 0.1), 9600, 48_000)
    assert float(np.abs(made[:480]).max()) == pytest.approx(0.5, abs=0.02)
    assert float(np.abs(made[1920:2400]).max()) < 0.3
    assert not made[2880:].any()


def test_channels_keep_their_sides() -> None:
    both = np.concatenate((sine(200, 0.1), sine(200, 0.1, amplitude=0.05)), axis=1)
    made = bridge(both, both, 960, 48_000)
    assert float(np.abs(made[:, 0]).max()) > 5 * float(np.abs(made[:, 1]).max())


@pytest.mark.parametrize("length", [0, 1, 2, 10, 100, 1000])
@pytest.mark.parametrize("count", [1, 2, 37, 960])
def test_little_is_known_of_what_was_before(length: int, count: int) -> None:
    before = sine(200, 0.1)[: length or 1]
    made = bridge(before, before, count, 48_000)
    assert made.shape == (count, 1)
    assert np.isfinite(made).all()
    assert float(np.abs(made).max()) <= 1


def test_silence_stays_silent() -> None:
    nothing = np.zeros((2000, 2), np.float32)
    assert not bridge(nothing, nothing, 960, 48_000).any()


@given(st.integers(1, 1500), st.integers(0, 2**32 - 1), st.sampled_from(RATES))
def test_noise_makes_nothing_louder(count: int, seed: int, rate: int) -> None:
    rng = np.random.default_rng(seed)
    keep = round(HISTORY * rate)
    before, after = (rng.uniform(-1, 1, (keep, 1)).astype(np.float32) for _ in range(2))
    made = bridge(before, after, count, rate)
    assert np.isfinite(made).all()
    # A joint may add what it has to hide.
    assert float(np.abs(made).max()) <= 3


def test_no_click_anywhere_in_speech() -> None:
    """The largest step at a joint is no larger than what speech has by itself nearby."""
    whole = speech().samples.astype(np.float32) / np.float32(32768)
    size, ratios = 320, []
    for first in range(2000, len(whole) - 2000, 997):
        before, after = whole[first - 400 : first], whole[first + size : first + size + 400]
        if float(np.std(before)) < 0.01 or float(np.std(after)) < 0.01:
            continue
        made = bridge(before, after, size, 16_000)
        limit = natural(before, after)
        ratios += [step_at(before, made) / limit, step_at(made, after) / limit]
    assert len(ratios) > 50
    assert max(ratios) < 1.5
    assert float(np.median(ratios)) < 0.5
