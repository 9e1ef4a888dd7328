"""The figures of `fanout`, their table and their picture."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from benchmarks.cell import Cell
from benchmarks.systems import SUBJECTS, SYSTEMS
from benchmarks.table import align, number

_OURS, _OTHERS = "#c2410c", "#374151"
_MARKERS: Final = "osv^Dx"


def summarise(cells: Sequence[Cell]) -> dict[str, Any]:
    """Return rows and ratios, medians over rounds with the least and the most, and the runs themselves."""
    groups: dict[tuple[float, int], dict[str, list[Cell]]] = {}
    for cell in cells:
        groups.setdefault((cell.fps, cell.subscribers), {}).setdefault(cell.system, []).append(cell)
    rows, ratios = [], []
    for (fps, subscribers), systems in sorted(groups.items()):
        key: dict[str, Any] = {"fps": fps, "subscribers": subscribers}
        for system in sorted(systems, key=list(SYSTEMS).index):
            found = systems[system]
            row: dict[str, Any] = {**key, "system": system, **_spread([cell.cpu_us["server"] for cell in found])}
            row["lost"] = sum(cell.expected - cell.delivered for cell in found)
            row["others_percent"] = statistics.median(cell.others_percent for cell in found)
            rows.append(row)
            if system in SUBJECTS:
                for other in systems:
                    if other not in SUBJECTS:
                        pairs = zip(found, systems[other], strict=True)
                        values = [one.cpu_us["server"] / two.cpu_us["server"] for one, two in pairs]
                        ratios.append({**key, "of": system, "to": other, **_spread(values)})
    return {"rows": rows, "ratios": ratios, "runs": msgspec.to_builtins(list(cells))}


def _spread(values: list[float]) -> dict[str, float]:
    figures = {"median": statistics.median(values), "least": min(values), "most": max(values)}
    return {name: round(value, 3) for name, value in figures.items()}


def render(result: dict[str, Any]) -> str:
    """Return the result as tables in plain text."""
    settings, machine = result["settings"], result["machine"]
    lost = sum(row["lost"] for row in result["rows"])
    others = max(row["others_percent"] for row in result["rows"])
    lines = [
        f"fanout · {result['date']} · commit {result['commit']}{' + changes' if result['dirty'] else ''}",
        f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}, Python {result['python']}",
        ", ".join(f"{name} {version}" for name, version in result["versions"].items()),
        f"{settings['rounds']} rounds of {settings['seconds']:g} s, systems in turn; {settings['motion']}; loopback",
        f"frames lost: {lost}; other programs took up to {others:.0f} % of the machine",
    ]
    counts = sorted({row["subscribers"] for row in result["rows"]})
    for fps in sorted({row["fps"] for row in result["rows"]}):
        title = f"{fps:g} fps: server CPU µs a delivered frame: median (least to most of the rounds)"
        rows = _by_name([row for row in result["rows"] if row["fps"] == fps], lambda row: str(row["system"]))
        lines += ["", *_table(title, counts, rows, digits=1)]
        ratios = [ratio for ratio in result["ratios"] if ratio["fps"] == fps]
        if ratios:
            title = f"{fps:g} fps: ratios of it"
            lines += ["", *_table(title, counts, _by_name(ratios, lambda r: f"{r['of']} / {r['to']}"), digits=2)]
    return "\n".join(lines)


def _by_name(rows: list[dict[str, Any]], name: Any) -> dict[str, dict[int, dict[str, Any]]]:
    found: dict[str, dict[int, dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(name(row), {})[row["subscribers"]] = row
    return found


def _table(title: str, counts: list[int], rows: dict[str, dict[int, dict[str, Any]]], *, digits: int) -> list[str]:
    table = [["subscribers", *map(str, counts)]]
    for name, by_count in rows.items():
        table.append([name, *(_cell(by_count[count], digits) for count in counts)])
    return [title, *align(table, names=0)]


def _cell(row: dict[str, Any], digits: int) -> str:
    least, most = number(row["least"], digits), number(row["most"], digits)
    return f"{number(row['median'], digits)} ({least} to {most})"


def draw(result: dict[str, Any], file: Path) -> None:
    """Write the picture of a result to ``file``: a panel a rate, a line a system, a bar from least to most."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rates = sorted({row["fps"] for row in result["rows"]})
    counts = sorted({row["subscribers"] for row in result["rows"]})
    figure = Figure(figsize=(5.5 * len(rates), 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, fps in zip(figure.subplots(1, len(rates), sharey=True, squeeze=False)[0], rates, strict=True):
        chosen = _by_name([row for row in result["rows"] if row["fps"] == fps], lambda row: str(row["system"]))
        for place, (system, by_count) in enumerate(chosen.items()):
            medians = [by_count[count]["median"] for count in counts]
            below = [by_count[count]["median"] - by_count[count]["least"] for count in counts]
            above = [by_count[count]["most"] - by_count[count]["median"] for count in counts]
            axes.errorbar(
                *(counts, medians, (below, above)),
                label=system,
                color=_OURS if system in SUBJECTS else _OTHERS,
                marker=_MARKERS[place % len(_MARKERS)],
                capsize=2,
                linewidth=1.2,
            )
        axes.set(title=f"{fps:g} fps", xlabel="recipients", xscale="log", yscale="log")
        axes.set_xticks(counts, [str(count) for count in counts], minor=False)
        axes.minorticks_off()
        axes.grid(visible=True, alpha=0.3)
    figure.axes[0].set_ylabel("server CPU, µs a delivered frame")
    figure.axes[0].legend(frameon=False)
    figure.savefig(file, dpi=120)
