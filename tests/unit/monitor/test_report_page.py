"""The page: whole, alone, and harmless."""

from __future__ import annotations

import html.parser
import json
import re
from pathlib import Path

import msgspec
import pytest

from posewire.errors import MonitoringError
from posewire.monitor import (
    PerformanceMonitor,
    PerformanceReport,
    build_report,
    load_performance_data,
    report_page,
)
from tests.unit.monitor.lines import line
from tests.unit.monitor.reports import STREAM, Clock, busy_report

REPORT = busy_report()
PAGE = report_page(REPORT)


class Reader(html.parser.HTMLParser):
    """Checks that what is opened is closed, and notes the tags and links."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "style", "onclick", "onload")]
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert reader.open == []
    return reader


def test_it_needs_no_other_file_and_runs_nothing() -> None:
    reader = read(PAGE)
    assert not {"script", "link", "img", "iframe", "object"} & set(reader.tags)
    assert reader.links == []
    assert "url(" not in PAGE
    assert "@import" not in PAGE
    assert re.findall(r"https?://[^\"'< ]+", PAGE) == ["http://www.w3.org/2000/svg"] * PAGE.count("<svg")
    assert "default-src 'none'" in PAGE
    assert "prefers-color-scheme: dark" in PAGE


@pytest.mark.parametrize(
    ("edges", "counts"),
    [
        ([0.0, 0.1, 0.2], [1, 2]),
        ([0.1, -0.2, 0.3], [1, 2]),
        ([0.1, 0.2, -1e300], [1, 2]),
        ([0.3, 0.2, 0.4], [1, 2]),
        ([0.1, 0.2, 1e308], [1, 2]),
        ([0.1, 0.2], [1, 2]),
        ([0.1], []),
    ],
)
@pytest.mark.parametrize("name", ["latency_bars", "age_bars"])
def test_a_histogram_that_cannot_be_drawn_is_refused(
    name: str, edges: list[float], counts: list[int], tmp_path: Path
) -> None:
    data = json.loads(REPORT.to_json()) | {name: {"edges": edges, "counts": counts}}
    file = tmp_path / "run.json"
    file.write_text(json.dumps(data))
    with pytest.raises(MonitoringError, match=f"is damaged: .*expected .*{name}"):
        load_performance_data(file)


def test_every_plot_is_in_it() -> None:
    headings = re.findall(r"<h2>(.*?)</h2>", PAGE)
    assert headings == [
        "Recommendations",
        "Age over time",
        "Age on arrival",
        "Send latency",
        "Bandwidth",
        "Quality",
        "Drops",
        "This process",
        "Figures",
        "Received",
        "Alerts",
    ]
    assert PAGE.count("<svg") == 8  # two of this process
    assert "nothing to show" not in PAGE
    assert "<title>quality: 10 of 15</title>" in PAGE
    assert ">2 coarse</text>" in PAGE
    assert "<h1>Performance · alice in studio · 2026-11-27 12:00:00</h1>" in PAGE


def test_names_are_only_text() -> None:
    evil = "</style></title><script>alert(1)</script>\"'&"
    report = msgspec.structs.replace(
        REPORT,
        user_id=evil,
        room=evil,
        posewire=evil,
        created=evil,
        streams=[msgspec.structs.replace(STREAM, user_id=evil, stream=evil)],
        alerts=[msgspec.structs.replace(each, message=evil) for each in REPORT.alerts],
        recommendations=[msgspec.structs.replace(each, text=evil, reason=evil) for each in REPORT.recommendations],
        resource_usage=msgspec.structs.replace(REPORT.resource_usage, slowest_callback=evil),
        history=[
            msgspec.structs.replace(each, quality=evil, drops={evil: 3 * n}) for n, each in enumerate(REPORT.history)
        ],
    )
    page = report_page(report)
    assert "script" not in read(page).tags
    assert "<script>alert" not in page
    assert page.count("&lt;script&gt;") > 10


@pytest.mark.parametrize("seconds", [0, 1, 2])
def test_of_little(seconds: int) -> None:
    report = build_report(PerformanceMonitor(clock=Clock())) if not seconds else busy_report(seconds)
    read(report_page(report))


def test_drops_without_time_between_them() -> None:
    report = PerformanceReport(history=[line(drops={"replaced": 4})])
    assert "not watched for long enough" in report_page(report)


def test_what_was_dropped_before_the_first_line_is_shown() -> None:
    lines = [line(timestamp=100.0 + n, drops={"replaced": 7 + n}) for n in range(3)]
    page = report_page(PerformanceReport(history=lines))
    assert sum(int(count) for count in re.findall(r"<title>replaced: (\d+) of", page)) == 9


def test_an_hour_is_drawn_with_as_many_points_as_a_screen_has() -> None:
    lines = [line(timestamp=float(second), latency_p99=0.1, drops={"replaced": second}) for second in range(3600)]
    page = report_page(PerformanceReport(history=lines))
    read(page)
    points = max(len(found.split()) for found in re.findall(r'points="(.*?)"', page))
    assert 400 < points <= 600
    assert sum(int(count) for count in re.findall(r"<title>replaced: (\d+) of", page)) == pytest.approx(3599, abs=10)
    assert len(page) < 200_000
