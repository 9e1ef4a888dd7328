"""The figures of the latency benchmark and their table. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
import numpy as np

from benchmarks.messages import Role
from benchmarks.rig import Outcome
from benchmarks.table import align, number

SUBJECTS: Final = ("posewire", "posewire-v2")
_PERCENTILES: Final = {"p50": 50, "p95": 95, "p99": 99}
_ROLES: Final[tuple[Role, ...]] = ("publisher", "server", "subscribers")


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


def summarise(cells: Sequence[Cell], *, baseline: str) -> dict[str, Any]:
    """Return rows (medians over rounds), ratios (of each round; median, least, most), and the runs themselves."""
    groups: dict[tuple[int, float], dict[str, list[Cell]]] = {}
    for cell in cells:
        groups.setdefault((cell.subscribers, cell.fps), {}).setdefault(cell.system, []).append(cell)
    rows, ratios = [], []
    for key in sorted(groups, key=lambda key: (key[1], key[0])):
        systems = groups[key]
        rows += [_row(systems[name]) for name in sorted(systems, key=lambda name: (name not in SUBJECTS, name))]
        for subject in SUBJECTS:
            if subject != baseline and subject in systems and baseline in systems:
                ratios += [_ratio(systems[subject], systems[baseline], percentile) for percentile in ("p50", "p99")]
    return {"rows": rows, "ratios": [ratio for ratio in ratios if ratio], "runs": msgspec.to_builtins(list(cells))}


def _row(cells: Sequence[Cell]) -> dict[str, Any]:
    return {
        "fps": cells[0].fps,
        "subscribers": cells[0].subscribers,
        "system": cells[0].system,
        "latency_us": {name: _median(cell.latency_us.get(name) for cell in cells) for name in _PERCENTILES},
        "lost": sum(cell.expected - cell.delivered for cell in cells),
        "expected": sum(cell.expected for cell in cells),
        "lateness_us": _median(cell.lateness_us for cell in cells),
        "cpu_us": {role: _median(cell.cpu_us[role] for cell in cells) for role in _ROLES},
        "others_percent": _median(cell.others_percent for cell in cells),
        "bytes_up": _median(cell.bytes_up for cell in cells),
        "bytes_down": _median(cell.bytes_down for cell in cells),
    }


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(statistics.median(known), 1) if known else None


def _ratio(ours: Sequence[Cell], theirs: Sequence[Cell], percentile: str) -> dict[str, Any] | None:
    values = [
        one.latency_us[percentile] / other.latency_us[percentile]
        for one, other in zip(ours, theirs, strict=True)
        if one.latency_us and other.latency_us
    ]
    if not values:
        return None
    return {
        "fps": ours[0].fps,
        "subscribers": ours[0].subscribers,
        "of": ours[0].system,
        "to": theirs[0].system,
        "percentile": percentile,
        "median": round(statistics.median(values), 3),
        "least": round(min(values), 3),
        "most": round(max(values), 3),
    }


def _percentiles_us(seconds: np.ndarray[Any, np.dtype[np.float64]]) -> dict[str, float]:
    values = np.percentile(seconds * 1e6, list(_PERCENTILES.values()))
    return {name: round(float(value), 1) for name, value in zip(_PERCENTILES, values, strict=True)}


# The table -----------------------------------------------------------------------------------------------------------

_HEADINGS: Final = (
    ("fps", "subs", "system", "p50", "p95", "p99", "lost", "pub", "server", "subs", "up", "down", "late", "others"),
    ("", "", "", "µs", "µs", "µs", "frames", "CPU µs", "CPU µs", "CPU µs", "bytes", "bytes", "µs", "%"),
)


def render(result: dict[str, Any]) -> str:
    """Return the result as a table in plain text."""
    lines = [*_preface(result), ""]
    table: list[Sequence[str]] = [*_HEADINGS]
    notes: dict[int, list[str]] = {}
    last: tuple[float, int] | None = None
    for row in result["rows"]:
        key = (row["fps"], row["subscribers"])
        if last is not None and key != last:
            notes[len(table)] = [*_ratio_lines(result, last), ""]
        table.append(_texts(row, first=key != last))
        last = key
    if last is not None:
        notes[len(table)] = _ratio_lines(result, last)
    aligned = align(table, names=2)
    for index, line in enumerate([*aligned, ""]):
        lines += notes.get(index, [])
        if index < len(aligned):
            lines.append(line)
    return "\n".join(lines)


def _preface(result: dict[str, Any]) -> list[str]:
    settings, machine = result["settings"], result["machine"]
    hosts = settings["subscriber_processes"]
    rounds, seconds, warmup = settings["rounds"], settings["seconds"], settings["warmup"]
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    return [
        f"latency · {result['date']} · commit {result['commit']}{' + changes' if result['dirty'] else ''}",
        f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}, Python {result['python']}",
        versions,
        f"publisher and server: a process each; all subscribers: {hosts} process{'es' if hosts > 1 else ''}; loopback",
        f"{rounds} rounds of {seconds:g} s after {warmup:g} s of warm-up, systems in turn; seed {settings['seed']}",
        f"pose {settings['motion']}",
        "p50, p95, p99: from just before the send call to the decoded pose, all subscribers; medians over rounds",
        "CPU: of the role's processes, a delivered frame; bytes: through TCP, a frame; late: p99 of the send calls;",
        "others: of the machine, taken by programs that are not ours; over some percent, the tails are theirs",
        *(["PROFILED: the latencies mean nothing"] if settings["profiled"] else []),
    ]


def _texts(row: dict[str, Any], *, first: bool) -> list[str]:
    latency, cpu = row["latency_us"], row["cpu_us"]
    return [
        f"{row['fps']:g}" if first else "",
        str(row["subscribers"]) if first else "",
        row["system"],
        *(number(latency[name]) for name in _PERCENTILES),
        str(row["lost"]),
        *(number(cpu[role], 1) for role in _ROLES),
        number(row["bytes_up"]),
        number(row["bytes_down"]),
        number(row["lateness_us"]),
        number(row["others_percent"]),
    ]


def _ratio_lines(result: dict[str, Any], key: tuple[float, int]) -> list[str]:
    found = [ratio for ratio in result["ratios"] if (ratio["fps"], ratio["subscribers"]) == key]
    lines = []
    for subject in SUBJECTS:
        ours = [ratio for ratio in found if ratio["of"] == subject]
        texts = [f"{r['percentile']} {r['median']:.2f} ({r['least']:.2f} to {r['most']:.2f})" for r in ours]
        lines += [f"           {subject} / {ours[0]['to']}: {'   '.join(texts)}"] if ours else []
    return lines
