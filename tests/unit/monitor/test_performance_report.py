"""The report: figures, plain data, files, Markdown."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from posewire.errors import MonitoringError
from posewire.monitor import (
    PerformanceMonitor,
    PerformanceReport,
    build_report,
    load_performance_data,
    report_markdown,
    save_performance_data,
)
from posewire.monitor.performance_report import FORMAT
from tests.unit.monitor.reports import STREAM, Clock, busy_monitor, busy_report

REPORT = busy_report()


def test_the_figures_are_those_of_the_monitor() -> None:
    monitor = busy_monitor()
    report = build_report(monitor)
    assert report.duration == pytest.approx(60)
    assert report.latency.count == 1800
    assert report.latency.p50 == pytest.approx(0.0012, rel=0.2)
    assert report.latency.p95 == pytest.approx(0.08, rel=0.01)
    assert report.latency.max == 0.08
    assert report.latency.avg == pytest.approx((1200 * 0.001145 + 600 * 0.08) / 1800)
    assert report.age.count == 55 * 30
    assert report.reliability.sent == 1780
    assert report.reliability.failed == 20
    assert report.reliability.error_rate == pytest.approx(1 / 90)
    assert report.reliability.success_rate == pytest.approx(89 / 90)
    assert report.reliability.drops == {"replaced": 100, "quality": 200}
    assert (report.reliability.received, report.reliability.lost) == (1800, 5)
    assert report.resource_usage.cpu == pytest.approx(10.0)
    assert report.resource_usage.cpu_peak == 20.0
    assert report.resource_usage.memory_growth == pytest.approx(5.9)
    assert report.resource_usage.memory_growth_rate == pytest.approx(6.0)
    # The worst of the hour, long over.
    assert (report.resource_usage.loop_lag, report.resource_usage.slowest_callback) == (
        0.15,
        "task camera (Camera.read)",
    )
    assert report.traffic.bytes_sent == 150_000
    assert report.traffic.bandwidth == pytest.approx(2500)
    assert report.traffic.bandwidth_received == pytest.approx(1500)
    assert report.traffic.fps == pytest.approx(29.5, abs=1)
    assert len(report.history) == 60
    assert sum(report.latency_bars.counts) == 1800
    assert sum(report.age_bars.counts) == 1650
    assert [each.text for each in report.recommendations] == ["Consider reducing target FPS"]
    assert {alert.name for alert in report.alerts} >= {"latency", "loop_lag"}


def test_jitter_of_ages_is_that_of_the_worst_stream() -> None:
    assert REPORT.age.jitter == STREAM.jitter == 0.004


def test_of_nothing() -> None:
    report = build_report(PerformanceMonitor(clock=Clock()))
    assert (report.reliability.success_rate, report.traffic.bandwidth, report.latency.count) == (1.0, 0.0, 0)
    assert [*report.history, *report.alerts, *report.recommendations] == []
    assert "None: all is within its thresholds." in report_markdown(report)
    assert msgspec.json.decode(report.to_json(), type=PerformanceReport) == report


def test_what_was_put_aside_is_in_it() -> None:
    monitor = PerformanceMonitor(clock=Clock())
    monitor.update(True, 0.01)
    assert build_report(monitor).latency.count == 1


def test_the_names_of_the_specification() -> None:
    plain = REPORT.to_dict()
    assert set(plain["latency"]) >= {"avg", "p95", "p99"}
    assert set(plain["resource_usage"]) >= {"cpu", "memory"}
    assert set(plain["reliability"]) >= {"success_rate", "error_rate"}
    assert plain["recommendations"] == [str(each) for each in REPORT.recommendations]
    assert plain["streams"][0]["user_id"] == "bob"
    assert plain["quality"] == "full"  # defaults, too
    assert "history" not in plain
    msgspec.json.encode(plain)


def test_round_trip_through_a_file(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    file.write_text("an older one")
    save_performance_data(REPORT, file)
    assert load_performance_data(str(file)) == REPORT
    assert [each.name for each in tmp_path.iterdir()] == ["run.json"]
    assert file.read_bytes().startswith(b'{"format":1,')


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "damaged"),
        (b"\xff\xfe", "damaged"),
        (b"{", "damaged"),
        (b"[" * 100_000, "damaged"),
        (b"[]", "no 'format'"),
        (b"42", "no 'format'"),
        (b"{}", "no 'format'"),
        (b'{"format": true}', "no 'format'"),
        (b'{"format": "1"}', "no 'format'"),
        (b'{"format": 0}', "no 'format'"),
        (b'{"format": 2}', "reads up to 1"),
        (b'{"format": 1, "duration": "long"}', r"damaged: .*\$.duration"),
        (b'{"format": 1, "history": [{"fps": 1}]}', r"damaged: .*\$.history\[0\]"),
        (b'{"format": 1, "alerts": [{"name": "x", "state": "maybe"}]}', "damaged"),
    ],
)
def test_a_damaged_file_is_told_of(tmp_path: Path, content: bytes, problem: str) -> None:
    file = tmp_path / "run.json"
    file.write_bytes(content)
    with pytest.raises(MonitoringError, match=problem) as caught:
        load_performance_data(file)
    assert caught.value.component == "performance data"
    assert "run.json" in str(caught.value)


@given(st.integers(0, 10_000), st.integers(0, 255))
def test_a_byte_changed_is_read_or_refused(place: int, byte: int) -> None:
    """Nothing but MonitoringError comes out of a file."""
    data = bytearray(REPORT.to_json())
    data[place % len(data)] = byte
    file = Path("/dev/shm" if Path("/dev/shm").is_dir() else "/tmp") / "posewire-test-run.json"
    file.write_bytes(data)
    try:
        assert isinstance(load_performance_data(file), PerformanceReport)
    except MonitoringError:
        pass
    finally:
        file.unlink()


def test_what_a_newer_minor_version_added_is_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    file.write_bytes(b'{"format": 1, "duration": 2.5, "something": {"new": 1}}')
    assert load_performance_data(file) == PerformanceReport(format=FORMAT, duration=2.5)


def test_files_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(MonitoringError, match="cannot be read: No such file"):
        load_performance_data(tmp_path / "none.json")
    with pytest.raises(MonitoringError, match="cannot be read: Is a directory"):
        load_performance_data(tmp_path)
    with pytest.raises(MonitoringError, match="cannot be written: No such file"):
        save_performance_data(REPORT, tmp_path / "none" / "run.json")
    (tmp_path / "folder").mkdir()
    with pytest.raises(MonitoringError, match="cannot be written"):
        save_performance_data(REPORT, tmp_path / "folder")
    assert [each.name for each in tmp_path.iterdir()] == ["folder"]


def test_a_file_without_end(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    with file.open("wb") as sparse:
        sparse.truncate((64 << 20) + 1)
    with pytest.raises(MonitoringError, match="larger than 64 MB"):
        load_performance_data(file)


def test_markdown() -> None:
    text = report_markdown(REPORT)
    lines = text.splitlines()
    assert lines[0] == "# Performance · alice in studio · 2026-11-27 12:00:00"
    assert "| send latency, ms | 27.43 | 1.22 | 79.65 | 79.65 | 80.00 | 0.02 | 1800 |" in text
    assert "| age on arrival, ms | " in text
    assert "| sent | 1780 frames, " in text
    assert "| not sent | 200 quality, 100 replaced |" in text
    assert "| not taken | 1 replay |" in text
    assert "| bob/pose | 500 | 29.5 | 3 | 81 | 20.0 | 50.0 | 80.0 |" in text
    assert "| event loop held up | 150.0 ms at worst, by task camera (Camera.read) |" in text
    assert "- **Consider reducing target FPS**: " in text
    assert "- raised: latency over its threshold: " in text
    for row in (line for line in lines if line.startswith("|")):
        assert row.endswith("|")


def test_names_mean_nothing_to_markdown() -> None:
    evil = "*x*|`y`\n# z <script>[a](b)_"
    report = msgspec.structs.replace(
        REPORT, user_id=evil, streams=[msgspec.structs.replace(STREAM, user_id=evil)], alerts=[]
    )
    text = report_markdown(report)
    assert (
        text.splitlines()[0]
        == r"# Performance · \*x\*\|\`y\` \# z \<script\>\[a\](b)\_ in studio · 2026-11-27 12:00:00"
    )
    assert r"| \*x\*\|\`y\` \# z \<script\>\[a\](b)\_/pose |" in text
