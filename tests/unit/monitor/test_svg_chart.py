"""Charts: right places, no matter which values."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posewire.monitor.svg_chart import (
    HEIGHT,
    WIDTH,
    Series,
    bar_chart,
    line_chart,
    log_ticks,
    number,
    round_ticks,
    stack_chart,
)

SVG = "{http://www.w3.org/2000/svg}"
VALUE = st.one_of(st.none(), st.floats(0, 1e9), st.integers(0, 5).map(float))


def parsed(chart: str) -> ET.Element:
    """Return the picture of a chart; it is well-formed, and everything in it lies within."""
    root = ET.fromstring(f"<div>{chart}</div>")
    svg = root.find(f"{SVG}svg")
    assert svg is not None
    for element in svg.iter():
        for name, limit in (("x", WIDTH), ("x1", WIDTH), ("x2", WIDTH), ("cx", WIDTH), ("y", HEIGHT), ("cy", HEIGHT)):
            assert -0.11 <= float(element.get(name, 0)) <= limit + 0.11, (element.tag, element.attrib)
        for point in element.get("points", "").split():
            x, y = map(float, point.split(","))
            assert 0 <= x <= WIDTH + 0.11
            assert -0.11 <= y <= HEIGHT
    return svg


def lines_of(svg: ET.Element) -> list[list[tuple[float, float]]]:
    return [
        [(float(x), float(y)) for x, _, y in (point.partition(",") for point in line.get("points", "").split())]
        for line in svg.findall(f"{SVG}polyline")
    ]


@given(st.lists(st.tuples(st.floats(0.01, 1000), VALUE, VALUE), min_size=2, max_size=40), st.booleans())
def test_any_lines_are_a_picture(rows: list[tuple[float, float | None, float | None]], step: bool) -> None:
    times, now = [], 0.0
    for gap, _, _ in rows:
        times.append(now)
        now += gap
    series = [
        Series(name="first", values=[row[1] for row in rows]),
        Series(name="second", values=[row[2] for row in rows], colour=1, step=step),
    ]
    chart = line_chart(times, series, unit="ms")
    if any(value is not None for row in rows for value in row[1:]):
        parsed(chart)
    else:
        assert "nothing to show" in chart


def test_a_line_goes_through_its_values_and_ends_where_there_is_none() -> None:
    svg = parsed(line_chart([0, 1, 2, 3, 4], [Series(name="age", values=[0.0, 10.0, None, 5.0, 10.0])], unit="ms"))
    first, second = lines_of(svg)
    assert len(first) == len(second) == 2
    bottom, top = first[0][1], first[1][1]
    assert bottom > top == second[1][1]
    assert second[0][1] == pytest.approx((bottom + top) / 2, abs=0.11)
    assert second[1][0] - first[0][0] == pytest.approx(4 * (first[1][0] - first[0][0]), abs=0.5)


def test_a_value_with_none_beside_it_is_a_dot() -> None:
    svg = parsed(line_chart([0, 1, 2], [Series(name="age", values=[None, 7.0, None])], unit="ms"))
    assert len(svg.findall(f"{SVG}circle")) == 1
    assert lines_of(svg) == []


def test_steps_have_corners() -> None:
    svg = parsed(line_chart([0, 1, 2], [Series(name="step", values=[0.0, 0.0, 2.0], step=True)], unit=""))
    (line,) = lines_of(svg)
    assert line[-1][0] == line[-2][0]
    assert line[-2][1] == line[0][1]


def test_ticks_may_have_words() -> None:
    chart = line_chart([0, 1], [Series(name="x", values=[0.0, 2.0])], unit="", ticks={0.0: "full", 2.0: "coarse"})
    assert re.findall(r'text-anchor="end">(\w+)</text>', chart)[:2] == ["full", "coarse"]


@pytest.mark.parametrize("times", [[], [1.0], [1.0, 1.0]])
def test_too_little_for_a_line(times: list[float]) -> None:
    assert "nothing to show" in line_chart(times, [Series(name="x", values=[1.0] * len(times))], unit="")


def test_the_legend_names_what_is_there() -> None:
    chart = line_chart(
        [0, 1], [Series(name="<here>", values=[1.0, 2.0]), Series(name="absent", values=[None, None])], unit="ms"
    )
    assert "&lt;here&gt;</span>" in chart
    assert "absent</span>" not in chart


@pytest.mark.parametrize(("span", "unit"), [(299, "s"), (300, "min")])
def test_long_times_are_minutes(span: float, unit: str) -> None:
    chart = line_chart([0, span], [Series(name="x", values=[1.0, 1.0])], unit="ms")
    assert f'text-anchor="end">{unit}</text>' in chart


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=40), st.floats(1e-6, 10), st.floats(1.001, 2))
def test_any_histogram_is_a_picture(counts: list[int], low: float, ratio: float) -> None:
    edges = [low * ratio**index for index in range(len(counts) + 1)]
    chart = bar_chart(edges, counts, {"p50": edges[len(edges) // 2], "gone": edges[-1] * 9}, scale=1e3)
    svg = parsed(chart)
    assert len(svg.findall(f"{SVG}rect")) == sum(count > 0 for count in counts)
    assert "p50 " in chart
    assert "gone" not in chart


def test_bars_are_as_high_as_their_counts() -> None:
    svg = parsed(bar_chart([0.001, 0.01, 0.1], [10, 5], {}, scale=1e3))
    tall, low = (float(bar.get("height", 0)) for bar in svg.findall(f"{SVG}rect"))
    assert tall == pytest.approx(2 * low, abs=0.2)
    assert "nothing to show" in bar_chart([], [], {}, scale=1e3)


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(0, 100)), min_size=1, max_size=40))
def test_any_stack_is_a_picture(rows: list[tuple[int, int]]) -> None:
    stacks = {"a": [row[0] for row in rows], "b": [row[1] for row in rows]}
    chart = stack_chart([float(index) for index in range(len(rows) + 1)], stacks, unit="frames")
    if any(map(any, rows)):
        bars = parsed(chart).findall(f"{SVG}rect")
        assert len(bars) == sum(value > 0 for row in rows for value in row)
    else:
        assert "nothing to show" in chart


def test_stacked_bars_stand_on_each_other() -> None:
    svg = parsed(stack_chart([0, 1], {"a": [6], "b": [4]}, unit="frames"))
    below, above = svg.findall(f"{SVG}rect")
    assert float(above.get("y", 0)) + float(above.get("height", 0)) == pytest.approx(float(below.get("y", 0)), abs=0.11)


@given(st.floats(1e-9, 1e12))
def test_round_ticks_reach_the_top(high: float) -> None:
    ticks = round_ticks(0.0, high)
    assert ticks[0] == 0 or high < 1e-11
    assert ticks[-1] >= high * 0.999999
    assert 2 <= len(ticks) <= 8


def test_ticks_people_can_read() -> None:
    assert round_ticks(0, 100) == [0, 50, 100]
    assert round_ticks(0, 7) == [0, 2, 4, 6, 8]
    assert round_ticks(0, 0) == [0, 1]
    assert log_ticks(1, 100) == pytest.approx([1, 2, 5, 10, 20, 50, 100])
    assert log_ticks(0.01, 10_000) == pytest.approx([0.01, 0.1, 1, 10, 100, 1000, 10_000])
    assert log_ticks(2.2, 2.9) == [2.2, 2.9]
    assert [number(value) for value in (0, 0.01234, 1.5, 99.96, 1234.5)] == ["0", "0.0123", "1.5", "100", "1234"]
