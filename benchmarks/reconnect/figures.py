"""From times to figures. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np

from benchmarks.reconnect.messages import Back

STEPS: Final = ("connected", "room", "first", "all")
"""In the order in which they come."""
BAR_MS: Final = 300.0
BARRED: Final = ("connected", "room", "first")
"""What has to be there by then, p95; ``all`` is shown beside it: it waits for the last of ten."""


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """How long something took, milliseconds; None when nobody has it."""

    came: int
    """Sessions that have it, all rounds."""
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None
    worst: float | None = None


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One system after one kind of cut."""

    system: str
    cut: str
    sessions: int
    """Of all rounds together."""
    resumed: int
    steps: dict[str, Spread]

    @property
    def held(self) -> bool:
        """Whether the bar is kept: all are back, 95 of a hundred in time."""
        return all(
            self.steps[step].came == self.sessions and (self.steps[step].p95 or 0.0) <= BAR_MS for step in BARRED
        )


def row_of(system: str, cut: str, rounds: Sequence[tuple[int, Sequence[Back]]]) -> Row:
    """Return the row of some rounds, each the time the network came back (nanoseconds) and what the sessions saw."""
    backs = [back for _, sessions in rounds for back in sessions]
    steps = {
        step: spread(
            [
                (at - returned) / 1e6
                for returned, sessions in rounds
                for back in sessions
                if (at := getattr(back, f"{step}_ns"))
            ]
        )
        for step in STEPS
    }
    return Row(system=system, cut=cut, sessions=len(backs), resumed=sum(back.resumed for back in backs), steps=steps)


def spread(values: Sequence[float]) -> Spread:
    """Return percentiles."""
    if not values:
        return Spread(came=0)
    p50, p95, p99 = (float(value) for value in np.percentile(values, (50, 95, 99)))
    return Spread(came=len(values), p50=p50, p95=p95, p99=p99, worst=max(values))
