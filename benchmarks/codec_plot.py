"""The picture of the codec benchmark: bytes a frame against the largest error, both on log axes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PANELS: Final = {"pose33": "pose, 33 landmarks", "holistic": "pose, face and hands, 543 or 553 landmarks"}
"""Kinds that begin with the key share a panel."""

_FLOOR: Final = 2048 * 2**-25
"""Steps: half the gap between float32 numbers below 1, as an error of x or y. Exact formats are drawn here."""

_SWEPT: Final = "posewire-v3"
_OURS, _OTHERS = "#c2410c", "#374151"


class PlotError(Exception):
    """There can be no picture; says why."""


@dataclass(frozen=True, slots=True)
class _Point:
    """A format in a panel: mean over its recordings, the least and the most of them, and the largest error."""

    label: str
    mean_bytes: float
    least: float
    most: float
    error: float

    @classmethod
    def of(cls, label: str, rows: list[dict[str, Any]]) -> _Point:
        sizes = [float(row["mean_bytes"]) for row in rows]
        error = max(float(row["max_error_steps"]) for row in rows)
        return cls(label, sum(sizes) / len(sizes), min(sizes), max(sizes), error)


def check_plotting() -> None:
    """Raise `PlotError` when matplotlib is missing: better before the measuring than after it."""
    try:
        import matplotlib as _  # noqa: F401
    except ImportError:
        raise PlotError("a picture needs matplotlib: pip install -e '.[bench]'") from None


def draw(result: dict[str, Any], file: Path) -> None:
    """Write the picture of a result to ``file``.

    Raises:
        PlotError: Matplotlib is missing, or no recording is of a kind that has a panel.
    """
    check_plotting()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = [prefix for prefix in _PANELS if _of_kind(result["rows"], prefix)]
    if not panels:
        raise PlotError(f"nothing to draw: no recording is of {' or '.join(_PANELS)}")
    figure = Figure(figsize=(7.2 * len(panels), 6.2), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    for prefix, axes in zip(panels, figure.subplots(1, len(panels), squeeze=False)[0], strict=True):
        _draw_panel(axes, _of_kind(result["rows"], prefix), _of_kind(result.get("sweep", []), prefix))
        names = {row["recording"] for row in _of_kind(result["rows"], prefix)}
        axes.set_title(f"{_PANELS[prefix]} ({len(names)} recording{'s' if len(names) > 1 else ''})", fontsize=11)
    figure.savefig(file)


def _of_kind(rows: Iterable[dict[str, Any]], prefix: str) -> list[dict[str, Any]]:
    return [row for row in rows if row["kind"].startswith(prefix)]


def _draw_panel(axes: Axes, rows: list[dict[str, Any]], sweep: list[dict[str, Any]]) -> None:
    from matplotlib.ticker import LogLocator

    points = _grouped(rows, key="format")
    swept = sorted(_grouped(sweep, key="xy_bits"), key=lambda point: point.mean_bytes)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylim(_FLOOR / 6, 20)
    everything = [*points, *swept]
    axes.set_xlim(min(point.least for point in everything) / 2.7, max(point.most for point in everything) * 1.6)
    axes.grid(visible=True, which="major", color="#e5e7eb", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.set_xlabel("bytes a frame (dot: mean over recordings; bar: from the least to the most of them)")
    axes.set_ylabel("largest error, in default steps (1/2048 of the picture in x and y)")
    axes.axhline(_FLOOR, color="#9ca3af", linewidth=0.8, linestyle=(0, (4, 3)), zorder=0)
    axes.text(
        0.01,
        _FLOOR / 1.5,
        "exact: the float32 that was given (drawn at its own rounding)",
        transform=axes.get_yaxis_transform(),
        fontsize=8.5,
        color="#6b7280",
        va="top",
    )
    _draw_sweep(axes, swept)
    _draw_points(axes, points)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(lambda value, _position: f"{value:,.0f}")
    axes.yaxis.set_major_formatter(lambda value, _position: f"{value:g}")


def _grouped(rows: list[dict[str, Any]], *, key: str) -> list[_Point]:
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(str(row[key]), []).append(row)
    return [_Point.of(label, group) for label, group in groups.items()]


def _draw_sweep(axes: Axes, swept: list[_Point]) -> None:
    if not swept:
        return
    axes.plot([p.mean_bytes for p in swept], [p.error for p in swept], "-", color=_OURS, linewidth=1.6)
    for point in swept:
        axes.plot(point.mean_bytes, point.error, "o", color=_OURS, markersize=4)
        axes.annotate(
            f"{'steps of ' if point is swept[0] else ''}1/{2 ** int(point.label):,}",
            (point.mean_bytes, point.error),
            xytext=(-7, -3),
            textcoords="offset points",
            ha="right",
            va="top",
            fontsize=8,
            color=_OURS,
        )


def _draw_points(axes: Axes, points: list[_Point]) -> None:
    exact = sorted((point for point in points if point.error < _FLOOR), key=lambda point: point.mean_bytes)
    for level, point in enumerate(exact):
        # Formats of one size share a dot. Their names climb to the right like stairs, so none lies on another.
        colour, weight = _style(point)
        height = _FLOOR * 2.4 * 1.9**level
        axes.plot([point.mean_bytes] * 2, [_FLOOR, height], "-", color=colour, linewidth=0.7, alpha=0.6)
        _draw_dot(axes, point, _FLOOR)
        axes.annotate(
            _label(point),
            (point.mean_bytes, height),
            xytext=(-4, -1),
            textcoords="offset points",
            ha="right",
            va="center",
            fontsize=9,
            color=colour,
            fontweight=weight,
        )
    for point in points:
        if point in exact:
            continue
        colour, weight = _style(point)
        _draw_dot(axes, point, point.error)
        axes.annotate(
            _label(point),
            (point.mean_bytes, point.error),
            xytext=(9, 5) if point.label == _SWEPT else (0, 9),
            textcoords="offset points",
            ha="left" if point.label == _SWEPT else "center",
            fontsize=9,
            color=colour,
            fontweight=weight,
        )


def _draw_dot(axes: Axes, point: _Point, height: float) -> None:
    colour, _ = _style(point)
    axes.plot([point.least, point.most], [height, height], "-", color=colour, linewidth=3, alpha=0.25)
    axes.plot(point.mean_bytes, height, "o", color=colour, markersize=8 if point.label == _SWEPT else 6)


def _style(point: _Point) -> tuple[str, str]:
    return (_OURS, "bold") if point.label.startswith("posewire") else (_OTHERS, "normal")


def _label(point: _Point) -> str:
    return f"{point.label}  {point.mean_bytes:,.0f} B"
