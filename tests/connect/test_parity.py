"""Every name of the specification is there and has a test; see parity.toml."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.connect.parity_names import ROOT, Row, found, page, rows

ROWS = rows()
SPECIFICATION = ROOT.parent / "shared" / "spec" / "connect-module.md"
NOT_OURS = {"pool_manager", "on_connect", "decorator", "PerfMonitor"}
"""Functions inside others in the specification, and a name in one of its pictures."""


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_name_is_there_and_has_a_test(row: Row) -> None:
    assert found(row.name) is not None, f"posewire.{row.name} is missing"
    assert row.tests, f"posewire.{row.name} has no test"
    assert row.missing_tests == []


def test_a_row_that_is_missing_is_seen() -> None:
    assert found("PoseSender.set_colour") is None
    assert found("paint.Brush") is None
    assert found("SecurityConfig.token_expiry") is not None
    assert Row("", "", "PoseSender.send", ("connect/test_parity::test_none",)).missing_tests
    assert Row("", "", "PoseSender.send", ("connect/test_none::test_none",)).missing_tests


def test_the_page_is_up_to_date() -> None:
    assert (ROOT / "docs" / "parity.md").read_text("utf-8") == page(), "run: python scripts/make_parity.py"


@pytest.mark.skipif(not SPECIFICATION.is_file(), reason="the specification is not beside the repository")
def test_no_name_of_the_specification_is_forgotten() -> None:
    """What it defines is somewhere in the table: classes, methods, and their names without the underscore."""
    text = Path(SPECIFICATION).read_text("utf-8")
    names = set(re.findall(r"^ *(?:async )?def (\w+)", text, re.M)) | set(re.findall(r"^ *class (\w+)", text, re.M))
    names = {name for name in names if not name.startswith(("Test", "test_", "__"))} - NOT_OURS
    told = {word for row in ROWS for word in re.findall(r"\w+", f"{row.specification} {row.section}")}
    assert names - told == set()
