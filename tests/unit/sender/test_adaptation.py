"""When to send fewer poses, and when more again."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posewire.sender.adaptation import LEAST_RATE, Adaptation, Look

GOOD: dict[str, Any] = {"fps": 30.0, "wanted_fps": 30.0, "latency": 0.001, "max_latency": 0.05, "error_rate": 0.0}
BAD = [
    ({"fps": 23.9}, "poses a second left"),
    ({"latency": 0.051}, "latency"),
    ({"error_rate": 0.11}, "sends failed"),
]
NEITHER: list[dict[str, Any]] = [{"fps": 25.0}, {"latency": 0.045}, {"error_rate": 0.08}]


def look(**changes: Any) -> Look:
    return Look(**{**GOOD, **changes})


def lowered(strategy: Any = "gradual", steps: int = 2) -> Adaptation:
    adaptation = Adaptation()
    adaptation.strategy = strategy
    while steps:
        steps -= bool(adaptation.observe(look(fps=1.0)))
    return adaptation


@pytest.mark.parametrize(("changes", "words"), BAD)
def test_down_after_two_bad_looks_in_a_row(changes: dict[str, Any], words: str) -> None:
    adaptation = Adaptation()
    assert adaptation.observe(look(**changes)) == ""
    assert adaptation.observe(look()) == ""
    assert adaptation.observe(look(**changes)) == ""
    assert (adaptation.share, adaptation.degraded) == (1.0, False)
    assert words in adaptation.observe(look(**changes))
    assert adaptation.share == pytest.approx(0.7)
    assert adaptation.degraded is True
    assert adaptation.observe(look(**changes)) == "", "the step must show first"
    assert words in adaptation.observe(look(**changes))
    assert adaptation.share == pytest.approx(0.49)


@pytest.mark.parametrize("changes", [{"fps": 24.0}, {"latency": 0.05}, {"error_rate": 0.1}])
def test_at_the_threshold_is_not_past_it(changes: dict[str, Any]) -> None:
    adaptation = Adaptation()
    assert not any(adaptation.observe(look(**changes)) for _ in range(20))


@pytest.mark.parametrize("changes", NEITHER)
def test_between_good_and_bad_nothing_moves(changes: dict[str, Any]) -> None:
    adaptation = lowered()
    share = adaptation.share
    assert not any(adaptation.observe(look(**changes)) for _ in range(50))
    assert adaptation.share == share


def test_it_ends_somewhere() -> None:
    adaptation = Adaptation()
    for _ in range(100):
        adaptation.observe(look(fps=0.0))
    assert adaptation.share == LEAST_RATE
    assert adaptation.observe(look(fps=0.0)) == ""


def test_gradual_comes_back_by_tenths() -> None:
    adaptation = lowered()
    shares = []
    for _ in range(12):
        adaptation.observe(look())
        shares.append(round(adaptation.share, 2))
    assert shares == [0.49, 0.49, 0.49, 0.59, 0.69, 0.79, 0.89, 0.99, 1.0, 1.0, 1.0, 1.0]


def test_immediate_comes_back_at_once() -> None:
    adaptation = lowered("immediate", steps=4)
    assert [adaptation.observe(look()) for _ in range(4)] == ["", "", "", "all is well"]
    assert (adaptation.share, adaptation.degraded) == (1.0, False)
    assert adaptation.observe(look()) == ""


def test_adaptive_doubles_and_learns_when_it_was_too_much() -> None:
    adaptation = lowered("adaptive", steps=4)
    low = adaptation.share
    waits = []
    for _ in range(3):
        looks = 0
        while not adaptation.observe(look()):
            looks += 1
        waits.append(looks + 1)
        assert adaptation.share == pytest.approx(2 * low)
        while not adaptation.observe(look(fps=1.0)):
            pass
        low = adaptation.share
    assert waits == [4, 8, 16]


def test_too_few_poses_say_nothing_about_the_rate() -> None:
    adaptation = Adaptation()
    assert not any(adaptation.observe(look(fps=None)) for _ in range(20))
    adaptation = lowered()
    for _ in range(20):
        adaptation.observe(look(fps=None))
    assert adaptation.share == 1.0


def test_reset_begins_anew() -> None:
    adaptation = lowered("adaptive")
    adaptation.observe(look(fps=1.0))
    adaptation.reset()
    assert (adaptation.share, adaptation.degraded, adaptation.strategy) == (1.0, False, "adaptive")
    assert adaptation.observe(look(fps=1.0)) == "", "one bad look is not the second"


@given(
    st.lists(st.sampled_from([GOOD, *(GOOD | bad for bad, _ in BAD), *(GOOD | each for each in NEITHER)])),
    st.sampled_from(["immediate", "gradual", "adaptive"]),
)
def test_the_share_stays_in_its_range_and_only_moves_with_a_reason(looks: list[dict[str, Any]], strategy: Any) -> None:
    adaptation = Adaptation()
    adaptation.strategy = strategy
    for each in looks:
        before = adaptation.share
        reason = adaptation.observe(Look(**each))
        assert LEAST_RATE <= adaptation.share <= 1.0
        assert (adaptation.share != before) == bool(reason)
        if adaptation.share > before:
            assert each == GOOD
        assert adaptation.degraded == (adaptation.share < 1.0)
