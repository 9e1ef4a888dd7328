"""One run of a rig in figures."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import numpy as np

from benchmarks.messages import Role
from benchmarks.rig import Outcome

PERCENTILES: Final = {"p50": 50, "p95": 95, "p99": 99}


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One run in figures."""

    round: int
    fps: float
    subscribers: int
    system: str
    latency_us: dict[str, float]
    """By percentile; empty when nothing came."""
    expected: int
    delivered: int
    lateness_us: float
    """p99 of how late the publisher called send: the health of the run."""
    cpu_us: dict[Role, float]
    """By role, a delivered frame."""
    others_percent: float
    """Of the machine that other programs took: the other health of the run."""
    bytes_up: float | None
    bytes_down: float | None

    @classmethod
    def of(cls, outcome: Outcome, *, system: str, subscribers: int, round_: int) -> Cell:
        """Return the figures of ``outcome``."""
        return cls(
            round=round_,
            fps=outcome.run.fps,
            subscribers=subscribers,
            system=system,
            latency_us=_percentiles_us(outcome.latencies) if outcome.delivered else {},
            expected=outcome.expected,
            delivered=outcome.delivered,
            lateness_us=_percentiles_us(outcome.lateness)["p99"],
            cpu_us={role: ns / 1e3 / max(1, outcome.delivered) for role, ns in outcome.cpu_ns.items()},
            others_percent=round(100 * outcome.others, 1),
            bytes_up=outcome.bytes_up,
            bytes_down=outcome.bytes_down,
        )


def _percentiles_us(seconds: np.ndarray[Any, np.dtype[np.float64]]) -> dict[str, float]:
    values = np.percentile(seconds * 1e6, list(PERCENTILES.values()))
    return {name: round(float(value), 1) for name, value in zip(PERCENTILES, values, strict=True)}
