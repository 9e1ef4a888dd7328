"""The ladder: one step at a time, not back and forth."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posewire.flow import LADDER, QualityLadder


class Climber:
    """A ladder and a clock."""

    def __init__(self) -> None:
        self.ladder = QualityLadder()
        self.now = 100.0
        self.changes: list[tuple[float, int]] = []

    def spend(
        self, seconds: float, *, too_much: bool = False, clear: bool = False, face: bool = True, hands: bool = True
    ) -> int:
        end = self.now + seconds
        while self.now < end:
            self.now += 0.1
            if self.ladder.observe(self.now, too_much=too_much, clear=clear, face=face, hands=hands):
                self.changes.append((self.now, self.ladder.level))
        return self.ladder.level


def test_the_steps_are_named_and_give_up_more_and_more() -> None:
    names = ["full", "half rate", "coarse", "no face", "no hands", "keyframe rate"]
    assert [quality.name for quality in LADDER] == names
    climber = Climber()
    assert climber.spend(10, too_much=True) == len(LADDER) - 1
    assert [level for _, level in climber.changes] == [1, 2, 3, 4, 5]


def test_a_moment_of_too_much_changes_nothing() -> None:
    climber = Climber()
    for _ in range(20):
        climber.spend(0.4, too_much=True)
        climber.spend(0.2)
    assert climber.changes == []


def test_a_clear_link_brings_everything_back_within_three_seconds() -> None:
    climber = Climber()
    climber.spend(10, too_much=True)
    returned = climber.now
    climber.spend(5, clear=True)
    assert climber.ladder.level == 0
    assert climber.changes[-1][0] - returned < 3.0


def test_a_link_that_just_about_takes_it_is_tried_ever_less_often() -> None:
    """Step 2 fits, step 1 does not."""
    climber = Climber()
    for _ in range(2400):
        climber.spend(0.1, too_much=climber.ladder.level < 2)
    trials = [now for now, level in climber.changes if level == 1][1:]
    gaps = [after - before for before, after in itertools.pairwise(trials)]
    assert all(after > before - 0.5 for before, after in itertools.pairwise(gaps))
    assert gaps[0] < 20
    assert gaps[-1] > 30
    assert climber.ladder.level in (1, 2)


@pytest.mark.parametrize(
    ("face", "hands", "levels"),
    [(False, False, [1, 2, 5]), (True, False, [1, 2, 3, 5]), (False, True, [1, 2, 4, 5])],
)
def test_steps_that_save_nothing_are_passed_over(face: bool, hands: bool, levels: list[int]) -> None:
    climber = Climber()
    climber.spend(10, too_much=True, face=face, hands=hands)
    assert [level for _, level in climber.changes] == levels
    climber.spend(10, clear=True, face=face, hands=hands)
    assert [level for _, level in climber.changes[len(levels) :]] == [*levels[-2::-1], 0]


@given(st.lists(st.tuples(st.floats(0.01, 3), st.booleans(), st.booleans()), max_size=80))
def test_it_stays_on_the_ladder_and_never_changes_twice_at_once(steps: list[tuple[float, bool, bool]]) -> None:
    climber = Climber()
    for seconds, too_much, clear in steps:
        climber.spend(seconds, too_much=too_much, clear=clear)
        assert 0 <= climber.ladder.level < len(LADDER)
    times = [now for now, _ in climber.changes]
    assert all(after - before > 0.25 for before, after in itertools.pairwise(times))
