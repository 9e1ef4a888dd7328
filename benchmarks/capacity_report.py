"""The figures of `capacity` and their table. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

import msgspec

from benchmarks.capacity_rig import HELD_SHARE, Step
from benchmarks.systems import SUBJECTS
from benchmarks.table import align, number

_HEADINGS = (
    ("system", "capacity", "least", "most", "p50", "p99", "pub", "server", "subs"),
    ("", "frames/s", "", "", "ms", "ms", "CPU %", "CPU %", "CPU %"),
)

Search = tuple[int, str, float, bool, list[Step]]
"""Round, system, capacity, whether it is a lower bound only, and the steps."""


def summarise(searches: Sequence[Search]) -> dict[str, Any]:
    """Return rows (medians over rounds), ratios of capacities (of each round), and the searches themselves."""
    capacities: dict[str, list[float]] = {}
    steps: dict[str, list[Step]] = {}
    for _, system, capacity, _, tried in searches:
        capacities.setdefault(system, []).append(capacity)
        steps.setdefault(system, []).extend(step for step in tried if step.held and step.rate == capacity)
    limited = {system for _, system, _, limited, _ in searches if limited}
    return {
        "rows": [_row(system, found, steps[system], system in limited) for system, found in capacities.items()],
        "ratios": [
            _ratio(subject, other, capacities)
            for subject in SUBJECTS
            for other in capacities
            if subject in capacities and other not in SUBJECTS and all(capacities[other])
        ],
        "searches": [
            {
                "round": round_,
                "system": system,
                "capacity": capacity,
                "limited": limit,
                "steps": msgspec.to_builtins(tried),
            }
            for round_, system, capacity, limit, tried in searches
        ],
    }


def _row(system: str, found: list[float], steps: list[Step], limited: bool) -> dict[str, Any]:
    row: dict[str, Any] = {"system": system, "limited": limited, "capacity": statistics.median(found)}
    row |= {"least": min(found), "most": max(found)}
    for name in ("p50_ms", "p99_ms", "publisher", "server", "subscribers"):
        row[name] = statistics.median(getattr(step, name) for step in steps) if steps else None
    return row


def _ratio(ours: str, theirs: str, capacities: dict[str, list[float]]) -> dict[str, Any]:
    values = [one / other for one, other in zip(capacities[ours], capacities[theirs], strict=True)]
    return {
        "of": ours,
        "to": theirs,
        "median": round(statistics.median(values), 2),
        "least": round(min(values), 2),
        "most": round(max(values), 2),
    }


def render(result: dict[str, Any]) -> str:
    """Return the result as a table in plain text."""
    settings, machine = result["settings"], result["machine"]
    lines = [
        f"capacity · {result['date']} · commit {result['commit']}{' + changes' if result['dirty'] else ''}",
        f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}, Python {result['python']}",
        ", ".join(f"{name} {version}" for name, version in result["versions"].items()),
        f"frames/s into a room of {settings['subscribers']} subscribers; {settings['rounds']} rounds, systems in turn",
        f"held: for {settings['seconds']:g} s {HELD_SHARE:.0%} of frames came, p99 within {settings['bound_ms']:g} ms",
        f"of when they were due; a step higher ({settings['fine'] - 1:.0%}) failed {settings['tries']} times in a row",
        "p50, p99 and CPU (of one core) at that rate; a publisher or subscribers near 100 % were the limit themselves",
        "",
    ]
    table: list[Sequence[str]] = [*_HEADINGS]
    for row in result["rows"]:
        shares = [
            number(None if row[role] is None else 100 * row[role]) for role in ("publisher", "server", "subscribers")
        ]
        capacity = f"{'≥ ' if row['limited'] else ''}{row['capacity']:.0f}"
        cells = [row["system"], capacity, number(row["least"]), number(row["most"])]
        table.append([*cells, number(row["p50_ms"], 1), number(row["p99_ms"], 1), *shares])
    lines += [*align(table, names=0), ""]
    lines += [
        f"{r['of']} / {r['to']}: {r['median']:.2f} ({r['least']:.2f} to {r['most']:.2f})" for r in result["ratios"]
    ]
    return "\n".join(lines)
