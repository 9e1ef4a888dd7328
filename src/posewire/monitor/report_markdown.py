"""A report as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from posewire.monitor.performance_report import PerformanceReport, Times


def figure_rows(report: PerformanceReport) -> list[tuple[str, str]]:
    """Return the figures as pairs of words and values, as people read them."""
    usage, reliability, traffic = report.resource_usage, report.reliability, report.traffic
    lag = f"{usage.loop_lag * 1e3:.1f} ms"
    return [
        ("watched", f"{report.duration:.1f} s"),
        ("sent", f"{reliability.sent} frames, {traffic.fps:.1f} a second"),
        ("failed", f"{reliability.failed} ({reliability.error_rate:.1%})"),
        ("not sent", _counts(reliability.drops)),
        ("received", f"{reliability.received} frames, {reliability.lost} lost"),
        ("not taken", _counts(reliability.drops_received)),
        ("bandwidth sent", f"{traffic.bandwidth / 1e3:.2f} kB/s ({traffic.bytes_sent} bytes)"),
        ("bandwidth received", f"{traffic.bandwidth_received / 1e3:.2f} kB/s ({traffic.bytes_received} bytes)"),
        ("round trip", f"{traffic.round_trip * 1e3:.2f} ms"),
        ("quality at the end", f"{report.quality} (step {report.quality_level})"),
        ("CPU", f"{usage.cpu:.1f} % of a core, peak {usage.cpu_peak:.1f} %"),
        ("memory", f"{usage.memory:.1f} MB, {usage.memory_growth:+.1f} MB, {usage.memory_growth_rate:+.2f} MB/min"),
        ("event loop held up", f"{lag} at worst" + (f", by {usage.slowest_callback}" * bool(usage.slowest_callback))),
    ]


TIME_COLUMNS = ("", "mean", "p50", "p95", "p99", "max", "jitter", "frames")


def time_rows(report: PerformanceReport) -> list[tuple[str, ...]]:
    """Return latency and age as rows under `TIME_COLUMNS`, milliseconds."""
    named = (("send latency, ms", report.latency), ("age on arrival, ms", report.age))
    return [(name, *_times(times)) for name, times in named if times.count]


STREAM_COLUMNS = ("stream", "frames", "frames/s", "lost", "bytes/frame", "age p50", "p95", "p99 ms")


def stream_rows(report: PerformanceReport) -> list[tuple[str, ...]]:
    """Return the streams that were received as rows under `STREAM_COLUMNS`."""
    return [
        (
            f"{each.user_id}/{each.stream}",
            str(each.frames),
            f"{each.mean_fps:.1f}",
            str(each.lost),
            f"{each.bytes_per_frame:.0f}",
            *(f"{age * 1e3:.1f}" for age in (each.age_p50, each.age_p95, each.age_p99)),
        )
        for each in report.streams
    ]


def report_markdown(report: PerformanceReport) -> str:
    """Return a report as Markdown: figures, streams, recommendations, alerts."""
    return "\n".join(_lines(report)) + "\n"


def title_of(report: PerformanceReport) -> str:
    """Return whose report it is, and of when."""
    whose = " in ".join(name for name in (report.user_id, report.room) if name)
    return " · ".join(part for part in ("Performance", whose, report.created[:19].replace("T", " ")) if part)


def _lines(report: PerformanceReport) -> Iterator[str]:
    yield f"# {_plain(title_of(report))}"
    if rows := time_rows(report):
        yield from ("", *_table(TIME_COLUMNS, rows))
    yield from ("", *_table(("figure", "value"), figure_rows(report)))
    if streams := stream_rows(report):
        yield from ("", "## Received", "", *_table(STREAM_COLUMNS, streams))
    yield from ("", "## Recommendations", "")
    yield from (f"- **{_plain(each.text)}**: {_plain(each.reason)}" for each in report.recommendations)
    if not report.recommendations:
        yield "None: all is within its thresholds."
    if report.alerts:
        yield from ("", "## Alerts", "")
        yield from (f"- {each.state}: {_plain(each.message)}" for each in report.alerts)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(columns)} |"
    yield f"|{'|'.join('---' + ':' * (index > 0) for index in range(len(columns)))}|"
    for row in rows:
        yield f"| {' | '.join(_plain(cell) for cell in row)} |"


def _plain(text: str) -> str:
    """Return text that means nothing to Markdown: names come from members."""
    escaped = "".join(f"\\{letter}" if letter in "\\`*_[]<>|#" else letter for letter in text)
    return " ".join(escaped.split())


def _counts(counts: Mapping[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda each: -each[1])
    return ", ".join(f"{count} {reason}" for reason, count in ordered if count) or "none"


def _times(times: Times) -> list[str]:
    values = (times.avg, times.p50, times.p95, times.p99, times.max, times.jitter)
    return [*(f"{value * 1e3:.2f}" for value in values), str(times.count)]
