"""A report as one HTML file that needs no other, and runs no script."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import Final

from posewire.monitor.latency_histogram import Bars
from posewire.monitor.performance_metrics import PerformanceMetrics, thinned
from posewire.monitor.performance_report import PerformanceReport, Times
from posewire.monitor.report_markdown import (
    STREAM_COLUMNS,
    TIME_COLUMNS,
    figure_rows,
    stream_rows,
    time_rows,
    title_of,
)
from posewire.monitor.svg_chart import Series, bar_chart, line_chart, stack_chart

_MOST_POINTS: Final = 600
"""Of a line; a screen has not many more."""
_DROP_BARS: Final = 60
_STYLE: Final = """
:root { color-scheme: light dark; --back: #ffffff; --card: #f6f7f9; --text: #1c2024; --soft: #60646c; --line: #d9dce1;
  --c0: #2563c9; --c1: #c2410c; --c2: #0f7b5f; --c3: #8a3ffc; --c4: #a16207; --c5: #be185d; --c6: #0e7490;
  --c7: #4d5562 }
@media (prefers-color-scheme: dark) {
  :root { --back: #14161a; --card: #1c1f25; --text: #e6e8eb; --soft: #a0a6b0; --line: #353a43;
    --c0: #7aa9ff; --c1: #ff9d5c; --c2: #4fd1a5; --c3: #c4a1ff; --c4: #e5c04b; --c5: #ff8ac0; --c6: #5fd0e6;
    --c7: #b6bcc7 } }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 860px; padding: 24px 16px 48px; background: var(--back); color: var(--text);
  font: 15px/1.5 system-ui, sans-serif }
h1 { font-size: 1.4rem; margin: 0 0 .2rem } h2 { font-size: 1.05rem; margin: 2rem 0 .3rem }
p { margin: .3rem 0 } .said { color: var(--soft); font-size: .9rem } .none { color: var(--soft); font-style: italic }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .9rem }
th, td { padding: .28rem .6rem; border-bottom: 1px solid var(--line); text-align: right; overflow-wrap: anywhere }
th:first-child, td:first-child, .pairs td, .pairs th { text-align: left } th { color: var(--soft); font-weight: 500 }
.wide { overflow-x: auto }
li { margin: .25rem 0 } .raised { color: var(--c1); font-weight: 600 } .cleared { color: var(--c2); font-weight: 600 }
figure { margin: .4rem 0; padding: 10px; background: var(--card); border-radius: 8px }
svg { display: block; width: 100%; height: auto }
.grid { stroke: var(--line); stroke-width: 1 } .axis { stroke: var(--soft) }
text { font: 11px system-ui, sans-serif; fill: var(--soft) }
text.mark { fill: var(--text); paint-order: stroke; stroke: var(--card); stroke-width: 4px }
line.mark { stroke: var(--text); stroke-width: 1; stroke-dasharray: 2 3 }
.line { fill: none; stroke-width: 1.6; stroke-linejoin: round } .line.dashed { stroke-dasharray: 5 3 }
.legend { margin: 4px 0 0 52px; font-size: .82rem; color: var(--soft) }
.key { margin-right: 1.1em; white-space: nowrap }
.key i { display: inline-block; width: 18px; border-top: 3px solid; margin-right: 6px; vertical-align: middle }
.key i.dashed { border-top-style: dashed }
"""
_COLOURS: Final = "".join(
    f".line.c{n} {{ stroke: var(--c{n}) }} .bar.c{n}, .dot.c{n} {{ fill: var(--c{n}) }} "
    f".key i.c{n} {{ border-top-color: var(--c{n}) }}\n"
    for n in range(8)
)
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"
"""Whatever a member calls itself, the page fetches nothing and runs nothing."""


def report_page(report: PerformanceReport) -> str:
    """Return a report as an HTML page: light or dark as the reader's system is, with plots and tables."""
    title = escape(title_of(report))
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}{_COLOURS}</style></head>\n<body>\n"
        f"<h1>{title}</h1>\n{''.join(_body(report))}</body></html>\n"
    )


def _body(report: PerformanceReport) -> Iterator[str]:
    yield f'<p class="said">posewire {escape(report.posewire)}, {report.duration:.0f} s watched</p>\n'
    if rows := time_rows(report):
        yield _table(TIME_COLUMNS, rows)
    yield "<h2>Recommendations</h2>\n"
    yield _listed(f"<b>{escape(each.text)}</b>: {escape(each.reason)}" for each in report.recommendations)
    lines, times = _lines_of(report)
    yield _section(
        "Age over time",
        "How old the frames of others are when they arrive here, and ours at the slowest receiver.",
    )
    yield _figure(_ages(times, lines))
    for name, bars, of in (
        ("Age on arrival", report.age_bars, report.age),
        ("Send latency", report.latency_bars, report.latency),
    ):
        if bars.counts:
            yield _section(name, f"{of.count} frames; the axis is logarithmic.")
            yield _figure(_histogram(bars, of))
    yield _section("Bandwidth", "Of what is sent and received, without the headers of TCP and WebSocket.")
    yield _figure(_bandwidth(times, lines))
    yield _section("Quality", "The step of the quality ladder; 0 is full quality.")
    yield _figure(_quality(times, lines))
    yield _section("Drops", "Frames of ours that did not leave, by reason.")
    yield _figure(_drops(times, lines))
    yield _section("This process", "CPU, and the longest that something due waited for the event loop.")
    yield _figure(_cpu(times, lines) + _lag(times, lines))
    yield _section("Figures", "")
    yield _table(("figure", "value"), figure_rows(report), "pairs")
    if streams := stream_rows(report):
        yield _section("Received", "")
        yield _table(STREAM_COLUMNS, streams)
    if report.alerts:
        yield _section("Alerts", "The last of them, with the seconds since the first sample.")
        yield _listed(
            f'<span class="{each.state}">{each.state}</span> '
            f"{each.timestamp - _begin(report):.1f} s: {escape(each.message)}"
            for each in report.alerts[-50:]
        )


def _begin(report: PerformanceReport) -> float:
    return report.history[0].timestamp if report.history else 0.0


def _lines_of(report: PerformanceReport) -> tuple[list[PerformanceMetrics], list[float]]:
    """Return the lines that are drawn, and their seconds since the first."""
    # The first look has nothing to compare with: no CPU, no bandwidth.
    lines = report.history[1:] if len(report.history) > 2 else report.history
    while len(lines) > _MOST_POINTS:
        lines = thinned(lines)
    return lines, [line.timestamp - _begin(report) for line in lines]


def _ages(times: list[float], lines: list[PerformanceMetrics]) -> str:
    return line_chart(
        times,
        [
            Series(name="here, p50", values=[_ms(line.age_p50) for line in lines], colour=0),
            Series(name="here, p95", values=[_ms(line.age_p95) for line in lines], colour=3),
            Series(name="here, p99", values=[_ms(line.age_p99) for line in lines], colour=1),
            Series(
                name="ours there, p50",
                values=[_ms(line.remote_age_p50) for line in lines],
                colour=2,
                dashed=True,
            ),
            Series(name="ours there, p99", values=[_ms(line.remote_age_p99) for line in lines], colour=5, dashed=True),
        ],
        unit="ms",
    )


def _histogram(bars: Bars, of: Times) -> str:
    return bar_chart(bars.edges, bars.counts, {"p50": of.p50, "p95": of.p95, "p99": of.p99}, scale=1e3)


def _bandwidth(times: list[float], lines: list[PerformanceMetrics]) -> str:
    return line_chart(
        times,
        [
            Series(name="sent", values=[line.bandwidth / 1e3 for line in lines], colour=0),
            Series(name="received", values=[line.bandwidth_received / 1e3 for line in lines], colour=2),
            Series(
                name="what the link takes, where it is the limit",
                values=[None if line.link_rate is None else line.link_rate / 1e3 for line in lines],
                colour=1,
                dashed=True,
            ),
        ],
        unit="kB/s",
    )


def _quality(times: list[float], lines: list[PerformanceMetrics]) -> str:
    steps = {line.quality_level: f"{line.quality_level} {line.quality}" for line in lines}
    if not any(steps):
        return '<p class="none">full quality all the time</p>'
    ticks = {0.0: "0 full"} | {float(level): name[:13] for level, name in sorted(steps.items())}
    levels = [float(line.quality_level) for line in lines]
    return line_chart(times, [Series(name="step", values=levels, colour=3, step=True)], unit="step", ticks=ticks)


def _drops(times: list[float], lines: list[PerformanceMetrics]) -> str:
    if not lines or not any(lines[-1].drops.values()):
        return '<p class="none">none</p>'
    if len(lines) < 2:
        return '<p class="none">not watched for long enough</p>'
    bars = min(_DROP_BARS, len(lines) - 1)
    bounds = [index * (len(lines) - 1) // bars for index in range(bars + 1)]
    reasons = sorted(lines[-1].drops, key=lambda reason: -lines[-1].drops[reason])[:8]
    counts = {reason: [lines[bound].drops.get(reason, 0) for bound in bounds] for reason in reasons}
    # What was dropped before the first line belongs to the first bar.
    counts = {reason: [0, *line[1:]] for reason, line in counts.items()}
    stacks = {
        reason: [max(0, after - before) for before, after in itertools.pairwise(line)]
        for reason, line in counts.items()
    }
    return stack_chart([times[bound] for bound in bounds], stacks, unit="frames")


def _cpu(times: list[float], lines: list[PerformanceMetrics]) -> str:
    return line_chart(times, [Series(name="CPU", values=[x.cpu_usage for x in lines], colour=0)], unit="% of a core")


def _lag(times: list[float], lines: list[PerformanceMetrics]) -> str:
    lags = [x.loop_lag * 1e3 for x in lines]
    return line_chart(times, [Series(name="event loop held up", values=lags, colour=1)], unit="ms")


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1e3


def _section(name: str, said: str) -> str:
    return f"<h2>{escape(name)}</h2>\n" + (f'<p class="said">{escape(said)}</p>\n' if said else "")


def _figure(chart: str) -> str:
    return f"<figure>{chart}</figure>\n"


def _listed(items: Iterable[str]) -> str:
    lines = "".join(f"<li>{item}</li>\n" for item in items)
    return f"<ul>\n{lines}</ul>\n" if lines else '<p class="none">None: all is within its thresholds.</p>\n'


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]], kind: str = "") -> str:
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>\n" for row in rows)
    return f'<div class="wide"><table class="{kind}"><tr>{head}</tr>\n{body}</table></div>\n'
