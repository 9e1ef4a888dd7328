"""What many schedules came to. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import msgspec
import numpy as np

from benchmarks.chaos.history import History
from benchmarks.chaos.plan import Plan


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """One schedule, played and judged."""

    seed: int
    seconds: float
    """Real time."""
    faults: dict[str, int]
    returned: int
    """Events whose `send_event` returned."""
    raised: int
    received: int
    """Events that came, over all members."""
    poses: int
    resumed: list[float]
    """Real seconds from the last sign of life of the old connection, of those that were resumed."""
    rejoined: dict[str, int]
    """Those that came back without being resumed, by the reason they were given."""
    ended: dict[str, int]
    """Sessions that ended by an error, by its type."""
    sessions: int
    wrong: list[str]
    story: str = ""
    """Plan and history, when something was wrong."""


def verdict_of(plan: Plan, history: History, wrong: list[str], seconds: float) -> Verdict:
    """Return what is to be told of a schedule."""
    return Verdict(
        seed=plan.seed,
        seconds=seconds,
        faults=dict(history.faults),
        returned=sum(event.outcome == "returned" for event in history.sent),
        raised=sum(event.outcome == "raised" for event in history.sent),
        received=len(history.received),
        poses=history.poses,
        resumed=[back.seconds for back in history.comebacks if back.resumed],
        rejoined=Counter(back.reason for back in history.comebacks if not back.resumed),
        ended=Counter(end.error for end in history.ends if end.error),
        sessions=len(history.indices),
        wrong=wrong,
        story=f"{plan.render()}\nwhat happened:\n{history.render()}" if wrong else "",
    )


def add_up(verdicts: Iterable[Verdict]) -> dict[str, Any]:
    """Return the figures of all of them."""
    found = list(verdicts)
    counters: dict[str, Counter[str]] = {name: Counter() for name in ("faults", "rejoined", "ended", "wrong")}
    for verdict in found:
        for name in ("faults", "rejoined", "ended"):
            counters[name].update(getattr(verdict, name))
        counters["wrong"].update(line.partition(":")[0] for line in verdict.wrong)
    names = ("sessions", "returned", "raised", "received", "poses")
    gone = [seconds for verdict in found for seconds in verdict.resumed]
    return {
        "schedules": len(found),
        "failed": sorted(verdict.seed for verdict in found if verdict.wrong),
        **{name: sum(getattr(verdict, name) for verdict in found) for name in names},
        # The first two are what the bar is about; the judge calls them so.
        "lost": counters["wrong"]["lost"],
        "doubled": counters["wrong"]["doubled"],
        "resumed": len(gone),
        **{f"gone_p{share}": float(np.percentile(gone, share)) if gone else None for share in (50, 95, 99)},
        **{name: dict(sorted(counts.items())) for name, counts in counters.items()},
    }
