"""Each attack that docs/security.md says is refused has a test, and no row is without one."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "security.md").read_text()
ROWS = [
    tuple(cell.strip() for cell in line.strip("|").split("|"))
    for line in TEXT.partition("| attack | test |")[2].partition("\n## ")[0].splitlines()
    if line.startswith("|") and not line.startswith("|---")
]


def test_there_is_a_table() -> None:
    assert len(ROWS) > 30


@pytest.mark.parametrize(("attack", "test"), ROWS)
def test_each_attack_has_a_test(attack: str, test: str) -> None:
    found = re.fullmatch(r"`(tests/\S+\.py)::(\w+)`", test)
    assert found, test
    tree = ast.parse((ROOT / found[1]).read_text())
    assert found[2] in {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
