"""Whether a process grew over a soak. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Final

import msgspec

MAX_GROWTH: Final = 2 * 1024 * 1024
"""Bytes."""
SETTLE_SECONDS: Final = 60.0
"""Of each phase, that do not count: pools, caches and buffers fill."""
_WINDOW: Final = 3
"""Samples at either end whose median counts."""


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One look at one process."""

    phase: str
    role: str
    at: float
    """Seconds since the phase began."""
    rss: int
    """Bytes."""
    tasks: int
    descriptors: int
    frames: int = 0
    lost: int = 0


class Growth(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a process in a phase."""

    phase: str
    role: str
    seconds: float
    """Between the ends that are compared."""
    rss_first: int
    rss_last: int
    tasks_first: int
    tasks_last: int
    descriptors_first: int
    descriptors_last: int
    settled: bool
    """False: the phase was too short, and the ends compared lie in its first minute."""

    @property
    def rss(self) -> int:
        """Bytes it grew by."""
        return self.rss_last - self.rss_first

    @property
    def held(self) -> bool:
        """Whether it kept within what it may."""
        return (
            self.rss <= MAX_GROWTH
            and self.tasks_last <= self.tasks_first
            and self.descriptors_last <= self.descriptors_first
        )


def judge(samples: Sequence[Sample]) -> list[Growth]:
    """Compare both ends of what each process went through in each phase.

    Memory at an end is the median of up to three samples. Tasks and descriptors come and go with what is under way at
    the moment of a look, so the least of the last third is compared with the most of the first: what leaks stays.
    """
    groups: dict[tuple[str, str], list[Sample]] = {}
    for sample in samples:
        groups.setdefault((sample.phase, sample.role), []).append(sample)
    growths = []
    for (phase, role), found in groups.items():
        settled = [sample for sample in found if sample.at >= SETTLE_SECONDS]
        chosen = settled if len(settled) >= 2 else found
        if len(chosen) < 2:
            continue
        size = min(_WINDOW, len(chosen) // 2)
        first, last = chosen[:size], chosen[-size:]
        third = max(1, len(chosen) // 3)
        early, late = chosen[:third], chosen[-third:]
        growths.append(
            Growth(
                phase=phase,
                role=role,
                seconds=last[-1].at - first[0].at,
                rss_first=_median([sample.rss for sample in first]),
                rss_last=_median([sample.rss for sample in last]),
                tasks_first=max(sample.tasks for sample in early),
                tasks_last=min(sample.tasks for sample in late),
                descriptors_first=max(sample.descriptors for sample in early),
                descriptors_last=min(sample.descriptors for sample in late),
                settled=chosen is settled,
            )
        )
    return growths


def _median(values: list[int]) -> int:
    return statistics.median_low(values)
