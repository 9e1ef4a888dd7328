"""The picture of the pressure benchmark: age over time, memory below."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS: Final = {"posewire": "#c2410c", "socketio-default": "#374151"}
_ACROSS: Final = 3
_GAP_SECONDS: Final = 1.0
_STYLES: Final = ("-", "--", ":", "-.")


class PlotError(Exception):
    """There can be no picture; says why."""


def check_plotting() -> None:
    """Raise `PlotError` when matplotlib is missing: better before the measuring than after it."""
    try:
        import matplotlib as _  # noqa: F401
    except ImportError:
        raise PlotError("a picture needs matplotlib: pip install -e '.[bench]'") from None


def draw(result: dict[str, Any], file: Path) -> None:
    """Write the picture of a result to ``file``: a column for each scenario and variant that was compared.

    Raises:
        PlotError: Matplotlib is missing.
    """
    check_plotting()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in result["rows"]:
        # Variants of scenario c are compared with stock, those of d with each other.
        key = (row["scenario"], row["variant"] if row["scenario"] == "c" else "")
        columns.setdefault(key, []).append(row)
    wide = min(len(columns), _ACROSS)
    bands = -(-len(columns) // wide)
    figure = Figure(figsize=(6.4 * wide, 6.6 * bands), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2 * bands, wide, squeeze=False, height_ratios=(2.2, 1) * bands)
    for pair in axes[1::2].flat[len(columns) :], axes[::2].flat[len(columns) :]:
        for unused in pair:
            unused.set_axis_off()
    for index, rows in enumerate(columns.values()):
        band, column = divmod(index, wide)
        ages, memory = axes[2 * band][column], axes[2 * band + 1][column]
        _draw_ages(ages, rows)
        _draw_memory(memory, rows)
        _shade(ages, memory, rows[0])
        memory.set_xlim(ages.get_xlim())
    figure.savefig(file)


def _draw_ages(axes: Axes, rows: list[dict[str, Any]]) -> None:
    axes.set_yscale("log")
    axes.set_title(f"{rows[0]['scenario']}: {rows[0]['title']}", fontsize=8.5)
    axes.set_ylabel("age at delivery, s (most in ¼ s)")
    for number, row in enumerate(rows):
        label = row["system"] if row["scenario"] == "c" else f"{row['system']} {row['variant']}".strip()
        lines = {f"{label}, {name}": points for name, points in row["series"].items()}
        lines |= {f"{label}, {name}, slow one": points for name, points in row.get("slow_series", {}).items()}
        colour = "#0f766e" if number and row["system"] == rows[0]["system"] else _COLOURS[row["system"]]
        for index, (name, points) in enumerate(lines.items()):
            if points:
                xs, ys = zip(*_broken(points), strict=True)
                style = _STYLES[index % len(_STYLES)]
                axes.plot(xs, ys, style, marker=".", markersize=2.5, color=colour, linewidth=1.1, label=name)
    axes.grid(visible=True, which="major", color="#e5e7eb", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.legend(fontsize=7, loc="upper left")


def _broken(points: list[list[float]]) -> Iterator[list[float]]:
    """Yield the points with a break where nothing came for a while: a line across it would be invented."""
    last = points[0][0]
    for at, age in points:
        if at - last > _GAP_SECONDS:
            yield [last, float("nan")]
        yield [at, age]
        last = at


def _draw_memory(axes: Axes, rows: list[dict[str, Any]]) -> None:
    axes.set_ylabel("resident memory since start, MB")
    axes.set_xlabel("seconds")
    for row in rows:
        for index, role in enumerate(("server", "publisher")):
            points = row["memory_mb"][role]
            first = points[0][1]
            label = f"{row['system']} {role}"
            times, sizes = [at for at, _ in points], [size - first for _, size in points]
            axes.plot(times, sizes, _STYLES[index], color=_COLOURS[row["system"]], linewidth=1.2, label=label)
    axes.grid(visible=True, color="#e5e7eb", linewidth=0.8)
    axes.legend(fontsize=7, loc="upper left")


def _shade(ages: Axes, memory: Axes, row: dict[str, Any]) -> None:
    for phase in row["phases"]:
        if phase["bad"]:
            for axes in (ages, memory):
                axes.axvspan(phase["begin"], phase["begin"] + phase["seconds"], color="#fef3c7", zorder=0)
