"""The figures of the latency benchmark and their table. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from benchmarks.cell import PERCENTILES, Cell
from benchmarks.messages import Role
from benchmarks.systems import SUBJECTS, SYSTEMS
from benchmarks.table import align, number

_RATIOS: Final = ("p50", "p99", "server CPU")
_PLACE: Final = {name: place for place, name in enumerate(SYSTEMS)}
_ROLES: Final[tuple[Role, ...]] = ("publisher", "server", "subscribers")


def summarise(cells: Sequence[Cell], *, baselines: Sequence[str]) -> dict[str, Any]:
    """Return rows (medians over rounds), ratios (of each round; median, least, most), and the runs themselves."""
    groups: dict[tuple[int, float], dict[str, list[Cell]]] = {}
    for cell in cells:
        groups.setdefault((cell.subscribers, cell.fps), {}).setdefault(cell.system, []).append(cell)
    rows, ratios = [], []
    for key in sorted(groups, key=lambda key: (key[1], key[0])):
        systems = groups[key]
        rows += [_row(systems[name]) for name in sorted(systems, key=_PLACE.__getitem__)]
        for subject in SUBJECTS:
            for baseline in baselines:
                if subject != baseline and subject in systems and baseline in systems:
                    ratios += [_ratio(systems[subject], systems[baseline], what) for what in _RATIOS]
    return {"rows": rows, "ratios": [ratio for ratio in ratios if ratio], "runs": msgspec.to_builtins(list(cells))}


def _row(cells: Sequence[Cell]) -> dict[str, Any]:
    return {
        "fps": cells[0].fps,
        "subscribers": cells[0].subscribers,
        "system": cells[0].system,
        "latency_us": {name: _median(cell.latency_us.get(name) for cell in cells) for name in PERCENTILES},
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


def _ratio(ours: Sequence[Cell], theirs: Sequence[Cell], what: str) -> dict[str, Any] | None:
    pairs = [(_figure(one, what), _figure(other, what)) for one, other in zip(ours, theirs, strict=True)]
    values = [one / other for one, other in pairs if one and other]
    if not values:
        return None
    return {
        "fps": ours[0].fps,
        "subscribers": ours[0].subscribers,
        "of": ours[0].system,
        "to": theirs[0].system,
        "what": what,
        "median": round(statistics.median(values), 3),
        "least": round(min(values), 3),
        "most": round(max(values), 3),
    }


def _figure(cell: Cell, what: str) -> float | None:
    return cell.cpu_us["server"] if what == "server CPU" else cell.latency_us.get(what)


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
        *(number(latency[name]) for name in PERCENTILES),
        str(row["lost"]),
        *(number(cpu[role], 1) for role in _ROLES),
        number(row["bytes_up"]),
        number(row["bytes_down"]),
        number(row["lateness_us"]),
        number(row["others_percent"]),
    ]


def _ratio_lines(result: dict[str, Any], key: tuple[float, int]) -> list[str]:
    pairs: dict[tuple[str, str], list[str]] = {}
    for ratio in result["ratios"]:
        if (ratio["fps"], ratio["subscribers"]) == key:
            text = f"{ratio['what']} {ratio['median']:.2f} ({ratio['least']:.2f} to {ratio['most']:.2f})"
            pairs.setdefault((ratio["of"], ratio["to"]), []).append(text)
    return [f"           {ours} / {theirs}: {'   '.join(texts)}" for (ours, theirs), texts in pairs.items()]
