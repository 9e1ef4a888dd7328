"""What sound is coded with, with a link that is told what to be."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posewire.flow import AudioRate


class Rig:
    def __init__(self, **arguments: Any) -> None:
        self.rate = AudioRate(12_000, 32_000, **arguments)
        self.now = 50.0

    def run(self, seconds: float, *, rate: float | None = None, level: int = 0, loss: float = 0.0) -> list[int]:
        seen = [self.rate.bit_rate]
        for _ in range(round(seconds / 0.2)):
            self.now += 0.2
            self.rate.observe(self.now, rate=rate, level=level, loss=loss)
            if self.rate.bit_rate != seen[-1]:
                seen.append(self.rate.bit_rate)
        return seen


def test_the_best_on_a_link_that_takes_everything() -> None:
    assert Rig().run(10) == [32_000]
    assert Rig().run(10, rate=50_000) == [32_000]


def test_a_narrow_link_takes_it_down_at_once_and_up_in_steps() -> None:
    rig = Rig()
    assert rig.run(1, rate=5_000) == [32_000, 12_000]
    up = rig.run(2.8)
    assert up == [12_000], "not at once"
    up = rig.run(20)
    assert up[0] == 12_000
    assert up[-1] == 32_000
    assert up == sorted(up)
    assert len(up) == 5
    assert all(0.7 < one / two < 0.85 for one, two in itertools.pairwise(up))


def test_between_two_steps_down_the_first_may_show() -> None:
    rig = Rig()
    rig.run(0.2, rate=11_000)
    first = rig.rate.bit_rate
    assert 12_000 < first < 32_000
    assert rig.run(0.4, rate=5_000) == [first]
    assert rig.run(0.2, rate=5_000) == [first, 12_000]


def test_it_does_not_swing_with_a_rate_that_does() -> None:
    rig = Rig()
    rig.run(2, rate=5_000)
    for _ in range(20):
        assert rig.run(1, rate=50_000) == [12_000]
        assert rig.run(1, rate=5_000) == [12_000]


def test_in_between_what_fits_beside_the_poses() -> None:
    rig = Rig()
    rig.run(2, rate=11_000)
    assert 12_000 < rig.rate.bit_rate < 32_000
    # Half of the link, less 21.6 kbit/s of headers and seals.
    assert rig.rate.bit_rate <= 0.5 * 8 * 11_000 - 21_600


@pytest.mark.parametrize("level", range(6))
def test_each_step_of_the_ladder_takes_one(level: int) -> None:
    rig = Rig()
    rig.run(2, level=level)
    bit_rates = [32_000, 25_043, 19_596, 15_336, 12_000, 12_000]
    assert rig.rate.bit_rate == pytest.approx(bit_rates[level], rel=0.01)


@pytest.mark.parametrize("rate", [None, 50_000])
def test_loss_brings_the_copy_where_there_is_room_for_it(rate: float | None) -> None:
    rig = Rig()
    rig.run(30, loss=0.005, rate=rate)
    assert not rig.rate.redundant
    rig.run(10, loss=0.05, rate=rate)
    assert rig.rate.redundant
    assert rig.rate.bit_rate == 32_000
    assert rig.rate.loss == pytest.approx(0.05, abs=0.01)
    rig.run(60, loss=0.005, rate=rate)
    assert rig.rate.redundant, "so little does not bring it, and does not take it away"
    rig.run(10, loss=0.0, rate=rate)
    assert not rig.rate.redundant


def test_no_copy_while_the_link_is_too_slow() -> None:
    rig = Rig()
    for case in ({"rate": 5_000}, {"rate": 18_000}, {"level": 1}):
        rig.run(10, loss=0.1, **case)
        assert not rig.rate.redundant
    rig.run(1, loss=0.1)
    assert rig.rate.redundant
    rig.run(1, loss=0.1, rate=18_000)
    assert not rig.rate.redundant


def test_always_and_never() -> None:
    rig = Rig(redundancy="always")
    assert rig.rate.redundant
    assert rig.rate.bit_rate == 32_000
    rig.run(10, rate=18_000)
    assert rig.rate.redundant
    with_copy = rig.rate.bit_rate
    rig = Rig(redundancy="never")
    rig.run(10, loss=0.5, rate=18_000)
    assert not rig.rate.redundant
    assert with_copy < rig.rate.bit_rate, "there is room for both"


@given(
    bounds=st.tuples(st.integers(6000, 510_000), st.integers(6000, 510_000)),
    steps=st.lists(
        st.tuples(
            st.floats(0, 5),
            st.none() | st.floats(1, 1e9),
            st.integers(0, 5),
            st.floats(0, 1),
        ),
        max_size=30,
    ),
)
def test_it_stays_within_its_bounds(bounds: tuple[int, int], steps: list[Any]) -> None:
    least, most = sorted(bounds)
    rate, now = AudioRate(least, most), 0.0
    assert rate.bit_rate == most
    for seconds, link, level, loss in steps:
        now += seconds
        rate.observe(now, rate=link, level=level, loss=loss)
        assert least <= rate.bit_rate <= most
