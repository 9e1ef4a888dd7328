"""Percentiles of errors, and whether they are good enough."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from benchmarks.clocks.messages import Errors


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One estimator on one link; errors in milliseconds, without a sign.

    Attributes:
        kind: ``virtual`` or ``real``.
        link: Its name.
        estimator: Whose errors.
        looks: How many errors there are.
        bar: What the 99th percentile has to keep to; None for those that are only beside it.
    """

    kind: str
    link: str
    estimator: str
    looks: int
    p50: float
    p95: float
    p99: float
    worst: float
    bar: float | None = None

    @property
    def held(self) -> bool:
        """Whether it is good enough."""
        return self.bar is None or self.p99 <= self.bar


def rows_of(kind: str, link: str, runs: Sequence[Errors], *, settle: float, bar: float) -> list[Row]:
    """Return a row for each estimator, over all runs, from ``settle`` seconds on. The bar is for Posewire."""
    rows = []
    for name in runs[0].errors:
        errors = sorted(
            abs(error) * 1000
            for run in runs
            for time, error in zip(run.times, run.errors[name], strict=True)
            if time >= settle
        )
        p50, p95, p99 = (errors[min(len(errors) - 1, int(share * len(errors)))] for share in (0.5, 0.95, 0.99))
        rows.append(
            Row(
                kind=kind,
                link=link,
                estimator=name,
                looks=len(errors),
                p50=p50,
                p95=p95,
                p99=p99,
                worst=errors[-1],
                bar=bar if name == "posewire" else None,
            )
        )
    return rows
