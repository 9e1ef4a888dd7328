"""Charts as SVG: no library, no script; colours come from the page's style, so that it is light or dark as a whole."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Final

import msgspec

WIDTH: Final = 760
HEIGHT: Final = 210
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 12, 10, 34
_PLOT_WIDTH: Final = WIDTH - _LEFT - _RIGHT
_PLOT_HEIGHT: Final = HEIGHT - _TOP - _BOTTOM
_LEAST_BAR: Final = 1.0
_NOTHING: Final = 1e-9
"""An axis that short would have no round numbers."""
_MINUTES_FROM: Final = 300.0
"""Seconds from which on an axis is in minutes."""


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """A line: its values at the times of the chart; None where there is none."""

    name: str
    values: Sequence[float | None]
    colour: int = 0
    """Class ``cN`` of the page's style."""
    dashed: bool = False
    step: bool = False
    """Whether it stays at a value until the next."""


def line_chart(
    times: Sequence[float], series: Sequence[Series], *, unit: str, ticks: Mapping[float, str] | None = None
) -> str:
    """Return lines over time, with a legend.

    Args:
        times: Seconds, ascending.
        series: As many values each as there are times.
        unit: Of the values.
        ticks: Words for values of the axis; by default round numbers.
    """
    values = [value for line in series for value in line.values if value is not None]
    if len(times) < 2 or not values:
        return _nothing()
    marks = dict(ticks) if ticks is not None else {tick: number(tick) for tick in round_ticks(0.0, max(values))}
    top = max(marks)
    first, span = times[0], times[-1] - times[0]
    if span <= 0:
        return _nothing()

    def place(time: float, value: float) -> tuple[float, float]:
        return _LEFT + (time - first) / span * _PLOT_WIDTH, _height(value / top if top else 0.0)

    parts = [*_value_axis(marks, top, unit), *_time_axis(span)]
    for line in series:
        style = f'class="line c{line.colour}{" dashed" * line.dashed}"'
        for piece in _pieces(times, line.values):
            corners = [place(*point) for point in (_stairs(piece) if line.step else piece)]
            if len(corners) == 1:  # one value with none beside it
                parts.append(f'<circle class="dot c{line.colour}" cx="{corners[0][0]:.1f}" cy="{corners[0][1]:.1f}"/>')
            else:
                path = " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)
                parts.append(f'<polyline {style} points="{path}"/>')
    names = [(line.name, line.colour, line.dashed) for line in series if any(v is not None for v in line.values)]
    return _svg(parts, f"{', '.join(line.name for line in series)} over time, {unit}") + _legend(names)


def bar_chart(edges: Sequence[float], counts: Sequence[int], marks: Mapping[str, float], *, scale: float) -> str:
    """Return a histogram on a logarithmic axis, in milliseconds.

    Args:
        edges: Of the bars, ascending; one more than ``counts``.
        counts: Of the bars.
        marks: Values to point out, by name.
        scale: What edges and marks are multiplied with, to be milliseconds.
    """
    if not counts or edges[0] <= 0:
        return _nothing()
    low, high = math.log10(edges[0] * scale), math.log10(edges[-1] * scale)
    span = high - low or 1.0

    def across(value: float) -> float:
        return _LEFT + (math.log10(value * scale) - low) / span * _PLOT_WIDTH

    tallest = max(counts)
    ticks = {tick: number(tick) for tick in round_ticks(0.0, tallest)}
    top = max(ticks)
    parts = [*_value_axis(ticks, top, "frames")]
    for index, count in enumerate(counts):
        if not count:
            continue
        x, right, y = across(edges[index]), across(edges[index + 1]), _height(count / top)
        label = f"{number(edges[index] * scale)} to {number(edges[index + 1] * scale)} ms: {count}"
        parts.append(
            f'<rect class="bar c0" x="{x:.1f}" y="{min(y, _height(0) - _LEAST_BAR):.1f}" '
            f'width="{max(right - x - 0.6, 0.6):.1f}" height="{max(_height(0) - y, _LEAST_BAR):.1f}">'
            f"<title>{label}</title></rect>"
        )
    parts += [_tick_below(across(value / scale), number(value)) for value in log_ticks(10**low, 10**high)]
    parts.append(f'<text class="unit" x="{WIDTH - _RIGHT}" y="{HEIGHT - 2}" text-anchor="end">ms</text>')
    inside = {name: value for name, value in marks.items() if edges[0] <= value <= edges[-1]}
    parts += [
        f'<line class="mark" x1="{across(value):.1f}" x2="{across(value):.1f}" y1="{_TOP}" y2="{_height(0)}"/>'
        for value in inside.values()
    ]
    for row, (name, value) in enumerate(inside.items()):
        x = across(value)
        anchor, shift = ("end", -3) if x > WIDTH / 2 else ("start", 3)
        parts.append(
            f'<text class="mark" x="{x + shift:.1f}" y="{_TOP + 9 + 12 * row}" text-anchor="{anchor}">'
            f"{escape(name)} {number(value * scale)} ms</text>"
        )
    return _svg(parts, "Histogram, milliseconds")


def stack_chart(edges: Sequence[float], stacks: Mapping[str, Sequence[float]], *, unit: str) -> str:
    """Return bars over time, what is named first at the bottom, with a legend.

    Args:
        edges: Seconds, ascending: where bars begin and end.
        stacks: A value for each bar, by name.
        unit: Of the values.
    """
    totals = [sum(column) for column in zip(*stacks.values(), strict=True)]
    if not totals or not max(totals):
        return _nothing()
    ticks = {tick: number(tick) for tick in round_ticks(0.0, max(totals))}
    top, first, span = max(ticks), edges[0], edges[-1] - edges[0]
    parts = [*_value_axis(ticks, top, unit), *_time_axis(span)]
    for index, total in enumerate(totals):
        x = _LEFT + (edges[index] - first) / span * _PLOT_WIDTH
        width = max((edges[index + 1] - edges[index]) / span * _PLOT_WIDTH - 0.6, 0.6)
        below = 0.0
        for colour, (name, values) in enumerate(stacks.items()):
            if not (value := values[index]):
                continue
            y, foot = _height((below + value) / top), _height(below / top)
            parts.append(
                f'<rect class="bar c{colour}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{foot - y:.1f}">'
                f"<title>{escape(name)}: {number(value)} of {number(total)}</title></rect>"
            )
            below += value
    return _svg(parts, f"{', '.join(stacks)} over time") + _legend(
        [(name, index, False) for index, name in enumerate(stacks)]
    )


def round_ticks(low: float, high: float, about: int = 4) -> list[float]:
    """Return round numbers from ``low`` to ``high`` or just above: steps of 1, 2 or 5 times a power of ten."""
    span = high - low
    if span <= _NOTHING:
        return [low, low + 1.0]
    rough = span / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    return [round(index * step, 12) for index in range(math.floor(low / step), math.ceil(high / step - 1e-9) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Return 1, 2 and 5 times powers of ten between two numbers; of a narrow span, its ends."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [factor * 10.0**power for power in powers for factor in (1, 2, 5)]
    within = [tick for tick in ticks if low <= tick <= high]
    if len(within) > 9:  # as many as can be read
        within = [tick for tick in within if abs(math.log10(tick) - round(math.log10(tick))) < 1e-9]
    return within if len(within) >= 2 else [low, high]


def number(value: float) -> str:
    """Return a number as people write it, with three digits at most after the first zeros."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _height(share: float) -> float:
    return _TOP + (1 - share) * _PLOT_HEIGHT


def _pieces(times: Sequence[float], values: Sequence[float | None]) -> Iterator[list[tuple[float, float]]]:
    """Yield runs of values: a line ends where there is none."""
    piece: list[tuple[float, float]] = []
    for time, value in zip(times, values, strict=True):
        if value is not None:
            piece.append((time, value))
        elif piece:
            yield piece
            piece = []
    if piece:
        yield piece


def _stairs(piece: list[tuple[float, float]]) -> list[tuple[float, float]]:
    corners = piece[:1]
    for time, value in piece[1:]:
        corners += [(time, corners[-1][1]), (time, value)]
    return corners


def _value_axis(ticks: Mapping[float, str], top: float, unit: str) -> Iterator[str]:
    for tick, label in ticks.items():
        y = _height(tick / top if top else 0.0)
        yield f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text class="tick" x="{_LEFT - 6}" y="{y + 3.5:.1f}" text-anchor="end">{escape(label)}</text>'
    yield f'<text class="unit" x="2" y="{HEIGHT - 2}">{escape(unit)}</text>'


def _time_axis(span: float) -> Iterator[str]:
    unit, seconds = ("min", 60.0) if span >= _MINUTES_FROM else ("s", 1.0)
    for tick in round_ticks(0.0, span / seconds, 6):
        if tick * seconds <= span:
            yield _tick_below(_LEFT + tick * seconds / span * _PLOT_WIDTH, number(tick))
    yield f'<text class="unit" x="{WIDTH - _RIGHT}" y="{HEIGHT - 2}" text-anchor="end">{unit}</text>'


def _tick_below(x: float, label: str) -> str:
    foot = _height(0)
    return (
        f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{foot}" y2="{foot + 4}"/>'
        f'<text class="tick" x="{x:.1f}" y="{foot + 15}" text-anchor="middle">{label}</text>'
    )


def _legend(names: Sequence[tuple[str, int, bool]]) -> str:
    items = (
        f'<span class="key"><i class="c{colour}{" dashed" * dashed}"></i>{escape(name)}</span>'
        for name, colour, dashed in names
    )
    return f'<p class="legend">{"".join(items)}</p>'


def _svg(parts: Sequence[str], label: str) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}" '
        f'xmlns="http://www.w3.org/2000/svg">{"".join(parts)}</svg>'
    )


def _nothing() -> str:
    return '<p class="none">nothing to show</p>'
