"""What many schedules came to."""

from __future__ import annotations

from typing import Any

from benchmarks.chaos.history import Comeback, End, History, Sent
from benchmarks.chaos.plan import make_plan
from benchmarks.chaos.tally import add_up, verdict_of


def comeback(resumed: bool, reason: str = "") -> Comeback:
    return Comeback(session="ann.1", at=1, resumed=resumed, reason=reason, seconds=0.5, generations=0)


def sent(outcome: Any) -> Sent:
    return Sent(sender="ann.1", number=1, room="red", began=1, outcome=outcome)


def test_figures_are_added_up() -> None:
    history = History()
    history.indices = {0: "ann.1"}
    history.sent = [sent("returned"), sent("returned"), sent("raised"), sent("open")]
    history.comebacks = [comeback(True), comeback(False, "gone"), comeback(False, "gone")]
    history.ends = [
        End(session="ann.1", error="AuthError", detail="", named=True),
        End(session="bob.1", error="", detail="", named=True),
    ]
    history.faults["kill"] = 2
    good = verdict_of(make_plan(3), history, [], 1.0)
    bad = verdict_of(make_plan(4), history, ["lost: event 1", "lost: event 2", "doubled: event 3"], 1.0)
    assert not good.story
    assert "seed 4" in bad.story
    figures = add_up([bad, good])
    assert figures["failed"] == [4]
    assert (figures["lost"], figures["doubled"]) == (2, 1)
    assert (figures["sessions"], figures["returned"], figures["raised"], figures["resumed"]) == (2, 4, 2, 2)
    assert figures["rejoined"] == {"gone": 4}
    assert figures["ended"] == {"AuthError": 2}
    assert figures["faults"] == {"kill": 4}
    assert figures["gone_p50"] == 0.5


def test_nothing_is_nothing() -> None:
    figures = add_up([])
    assert figures["schedules"] == 0
    assert figures["gone_p99"] is None
