"""What to do, by rule: each with a case that has it and one, just within, that has not."""

from __future__ import annotations

from typing import Any

import pytest

from posewire.monitor import Recommendation, recommend
from tests.unit.monitor.lines import line

WELL = {"fps": 30.0, "error_rate": 0.0, "latency": 0.002, "queue_usage": 0.0, "sending": 1.0}


def texts(
    stats: dict[str, float] | None = None, *, target: float | None = 30, version: str = "v3", **of: Any
) -> list[str]:
    said = recommend(WELL | (stats or {}), line(**of), target_fps=target, protocol_version=version)
    assert all(each.reason for each in said)
    return [each.text for each in said]


def test_all_is_well() -> None:
    assert texts() == []


@pytest.mark.parametrize(
    ("stats", "text"),
    [
        ({"fps": 23.9}, "Consider reducing target FPS"),
        ({"error_rate": 0.101}, "Check network connection"),
        ({"latency": 0.051}, "Consider enabling compression"),
        ({"queue_usage": 0.81}, "Consider reducing send frequency"),
    ],
)
def test_the_four_rules_of_the_specification(stats: dict[str, float], text: str) -> None:
    assert texts(stats) == [text]


def test_at_the_bound_nothing_is_said() -> None:
    assert texts({"fps": 24.0, "error_rate": 0.1, "latency": 0.05, "queue_usage": 0.8}) == []


def test_the_rate_is_judged_only_when_there_is_a_target_and_something_is_sent() -> None:
    assert texts({"fps": 1.0}, target=None) == []
    assert texts({"fps": 0.0, "sending": 0.0}) == []


def test_the_thresholds_in_force_count() -> None:
    stats = WELL | {"latency": 0.1}
    assert recommend(stats, line(), thresholds={"max_latency": 0.2}) == []
    (said,) = recommend(stats, line(), thresholds={"max_latency": None})  # off for alerts; the default is meant
    assert said == Recommendation(
        text="Consider enabling compression", reason="frames wait 100 ms for the link, over 50 ms"
    )
    assert str(said) == "Consider enabling compression: frames wait 100 ms for the link, over 50 ms"


def test_what_the_ladder_knows() -> None:
    (said,) = recommend(WELL, line(quality_level=2, quality="coarse", link_rate=16_000.0))
    assert said.reason == "quality is at step 2, 'coarse'; the link takes 16.0 kB/s"
    assert texts(quality_level=1, quality="half rate", version="v1") == [
        "Send less, or use a faster link",
        "Use protocol version v3",
    ]


@pytest.mark.parametrize(
    ("of", "said"),
    [
        ({"receivers": 4, "receivers_behind": 1}, ["Look at the slow receivers' links"]),
        ({"receivers": 4, "receivers_behind": 4}, ["Look at the server's link"]),
        ({"receivers": 4, "receivers_behind": 0}, []),
        ({"receivers": 0, "receivers_behind": 0}, []),
        ({"drops": {"sampled": 101}, "sent": 100}, ["Raise the sampling rate"]),
        ({"drops": {"sampled": 100}, "sent": 100}, []),
        ({"loop_lag": 0.11, "slowest_callback": "x"}, ["Move blocking work off the event loop"]),
        ({"loop_lag": 0.1}, []),
        ({"cpu_usage": 81.0}, ["Send fewer frames, or parts, on this machine"]),
        ({"memory_growth": 101.0}, ["Look for a memory leak"]),
    ],
)
def test_receivers_and_this_machine(of: dict[str, Any], said: list[str]) -> None:
    assert texts(**of) == said


def test_who_held_the_loop_up_is_named() -> None:
    (said,) = recommend(WELL, line(loop_lag=0.25, slowest_callback="task camera (read)"))
    assert said.reason == "it was held up for 250 ms by task camera (read)"
