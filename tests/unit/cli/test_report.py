"""`posewire report`, and the option that writes what it reads."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

import posewire
from posewire.cli.app import cli
from posewire.monitor import load_performance_data, save_performance_data
from tests.unit.monitor.reports import busy_report


@pytest.fixture
def run_file(tmp_path: Path) -> Path:
    file = tmp_path / "run.json"
    save_performance_data(busy_report(), file)
    return file


def invoke(*arguments: str | Path) -> str:
    result = CliRunner().invoke(cli, ["report", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_as_markdown_by_default(run_file: Path) -> None:
    assert invoke(run_file) == posewire.report_markdown(busy_report())


def test_as_files(run_file: Path, tmp_path: Path) -> None:
    page, text = tmp_path / "out.html", tmp_path / "out.md"
    assert invoke(run_file, "--html", page, "--markdown", text) == ""
    assert page.read_text() == posewire.report_page(load_performance_data(run_file))
    assert text.read_text() == posewire.report_markdown(load_performance_data(run_file))


def test_as_json(run_file: Path) -> None:
    figures = msgspec.json.decode(invoke(run_file, "--json"))
    assert figures["latency"]["count"] == 1800
    assert figures["recommendations"][0].startswith("Consider reducing target FPS: ")


@pytest.mark.parametrize("what", ["none.json", "damaged.json"])
def test_what_cannot_be_read_or_written(what: str, run_file: Path, tmp_path: Path) -> None:
    (tmp_path / "damaged.json").write_text('{"format": 1')
    with pytest.raises(posewire.MonitoringError, match=what):
        invoke(tmp_path / what)
    with pytest.raises(posewire.MonitoringError, match="cannot be written"):
        invoke(run_file, "--html", tmp_path / "none" / "out.html")


@pytest.mark.parametrize("command", ["send", "watch"])
def test_who_writes_one(command: str) -> None:
    assert "--report RUN.json" in CliRunner().invoke(cli, [command, "--help"]).output
