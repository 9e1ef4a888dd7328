"""The rate: down before anything is lost, up when it is clear, none when it limits nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posewire.flow import RateController


def observed(controller: RateController, start: float, seconds: float, **values: float | bool) -> float:
    now = start
    while now < start + seconds:
        controller.observe(now, **values)  # type: ignore[arg-type]
        now += 0.1
    return now


def test_while_the_link_takes_everything_there_is_no_rate() -> None:
    controller = RateController()
    observed(controller, 10.0, 5.0, delivered=5000.0, queueing=0.5, held_up=False)
    assert controller.rate is None, "whose queue that is we do not know, but not ours"
    observed(controller, 20.0, 5.0, delivered=5000.0, queueing=0.01, held_up=True)
    assert controller.rate is None


def test_it_steps_back_below_what_comes_through_when_packets_wait_longer() -> None:
    controller = RateController()
    assert controller.observe(10.0, delivered=16_000.0, queueing=0.08, held_up=True) == pytest.approx(14_400)
    assert controller.observe(10.1, delivered=16_000.0, queueing=0.08, held_up=True) == pytest.approx(14_400), (
        "the first step must show before there is a second"
    )
    assert controller.observe(10.3, delivered=14_400.0, queueing=0.08, held_up=True) == pytest.approx(12_960)
    assert controller.backed_off == 2


def test_it_grows_when_nothing_waits_and_is_gone_when_it_limits_nothing() -> None:
    controller = RateController()
    controller.observe(10.0, delivered=16_000.0, queueing=0.2, held_up=True)
    rate = controller.rate
    assert rate is not None
    observed(controller, 10.1, 1.0, delivered=16_000.0, queueing=0.0, held_up=True)
    assert controller.rate == pytest.approx(rate * 1.6, rel=0.1)
    observed(controller, 11.2, 5.0, delivered=16_000.0, queueing=0.0, held_up=False)
    assert controller.rate is None


@given(st.lists(st.tuples(st.floats(0, 2), st.floats(0, 1e6), st.floats(0, 3), st.booleans()), max_size=50))
def test_the_rate_is_none_or_more_than_nothing(steps: list[tuple[float, float, float, bool]]) -> None:
    controller = RateController()
    now = 1.0
    for gap, delivered, queueing, held_up in steps:
        now += gap
        rate = controller.observe(now, delivered=delivered, queueing=queueing, held_up=held_up)
        assert rate is None or 0 < rate < float("inf")
