"""Tables in plain text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def align(table: Iterable[Sequence[str]], *, names: int) -> list[str]:
    """Return the lines of a table: column ``names`` to the left, numbers to the right."""
    rows = list(table)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if column == names else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def number(value: float | None, digits: int = 0) -> str:
    """Return a figure, or ``?`` where it is not known."""
    return "?" if value is None else f"{value:.{digits}f}"
