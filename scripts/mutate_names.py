"""Replace the body of each function in the parity table by a stub, and see whether its tests notice.

    python scripts/mutate_names.py [--workers 2] [--only PATTERN] [--json FILE]

Works on copies of ``src``. A body becomes ``return None`` (that is ``pass``) and, where the annotation says what is
returned, a constant of that type: both truths for a bool, 0 and 1 for a number, an empty string, dict or list.
A stub that all tests beside it pass with is a survivor. Ends with 1 when there are any that ``EXPLAINED`` does not.
"""

from __future__ import annotations

import argparse
import ast
import concurrent.futures
import inspect
import json
import os
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.connect.parity_names import Found, Row, found, rows  # noqa: E402  # needs the path above

STUBS: dict[str, list[str]] = {
    "bool": ["return True", "return False"],
    "int": ["return 0", "return 1"],
    "float": ["return 0.0", "return 1.0"],
    "str": ['return ""'],
    "bytes": ['return b""'],
    "dict": ["return {}"],
    "list": ["return []"],
}
EXPLAINED: dict[str, str] = {}
"""Survivors that are no fault: ``name: stub`` and why."""
TIMEOUT = 120


class Mutant:
    """A function, and what its body becomes."""

    def __init__(self, row: Row, thing: Found, stub: str) -> None:
        self.row, self.stub = row, stub
        function = thing.function
        code = function.__code__
        self.path = Path(code.co_filename).resolve().relative_to(ROOT / "src")
        self.line = code.co_firstlineno
        self.name = function.__name__

    @property
    def label(self) -> str:
        """What it is called in the outcome."""
        return f"{self.row.name}: {self.stub}"

    def text(self, source: str) -> str:
        """Return ``source`` with the stub in place of the body; the docstring goes too."""
        node = next(
            node
            for node in ast.walk(ast.parse(source))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and node.name == self.name
            and min([node.lineno, *(each.lineno for each in node.decorator_list)]) == self.line
        )
        lines = source.splitlines(keepends=True)
        first, last = node.body[0].lineno - 1, node.body[-1].end_lineno or 0
        indent = " " * node.body[0].col_offset
        return "".join([*lines[:first], f"{indent}{self.stub}\n", *lines[last:]])


def stubs_of(function: Any) -> list[str]:
    """Return what the body of a function may become."""
    annotation = str(inspect.get_annotations(function).get("return", "None"))
    plain = ["return None"]
    for name, stubs in STUBS.items():
        if re.match(rf"{name}\b", annotation):
            return [*plain, *stubs]
    return plain


def mutants(pattern: str) -> list[Mutant]:
    """Return all of the table; a function with several rows is tried with the tests of all of them."""
    merged: dict[tuple[str, int], Row] = {}
    things: dict[tuple[str, int], Found] = {}
    for row in rows():
        thing = found(row.name)
        if not row.is_done or thing is None or thing.function is None or not re.search(pattern, row.name):
            continue
        code = thing.function.__code__
        key = (code.co_filename, code.co_firstlineno)
        tests = tuple(dict.fromkeys((*(merged[key].tests if key in merged else ()), *row.tests)))
        merged.setdefault(key, row)
        merged[key] = Row(row.section, row.specification, merged[key].name, tests)
        things.setdefault(key, thing)
    return [Mutant(merged[key], thing, stub) for key, thing in things.items() for stub in stubs_of(thing.function)]


def run(tree: Path, test_ids: list[str]) -> tuple[bool, str]:
    """Return whether the tests pass on a tree, and the last lines they print."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--no-header", *test_ids]
    path = os.pathsep.join([str(tree), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired:
        return False, "hangs"
    return done.returncode == 0, "\n".join(done.stdout.splitlines()[-3:])


def main() -> int:
    """Try all mutants and say which survive."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", default="", help="names that match this expression")
    parser.add_argument("--json", type=Path, help="write the outcome of each there")
    arguments = parser.parse_args()
    tried = mutants(arguments.only)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        trees: queue.Queue[Path] = queue.Queue()
        for index in range(arguments.workers):
            trees.put(Path(shutil.copytree(ROOT / "src", Path(folder) / f"src{index}")))

        def attempt(mutant: Mutant) -> bool:
            tree = trees.get()
            file = tree / mutant.path
            source = file.read_text("utf-8")
            try:
                file.write_text(mutant.text(source), "utf-8")
                survived, _ = run(tree, mutant.row.test_ids)
            finally:
                file.write_text(source, "utf-8")
                trees.put(tree)
            return survived

        with concurrent.futures.ThreadPoolExecutor(arguments.workers) as pool:
            outcomes = list(pool.map(attempt, tried))
    survivors = [mutant.label for mutant, survived in zip(tried, outcomes, strict=True) if survived]
    functions = len({mutant.row.name for mutant in tried})
    print(
        f"{len(tried)} stubs of {functions} functions in {time.monotonic() - started:.0f} s: {len(survivors)} survive"
    )
    for label in survivors:
        print(f"  {label}  {EXPLAINED.get(label, '(unexplained)')}")
    if arguments.json:
        text = json.dumps(
            {m.label: "survived" if s else "killed" for m, s in zip(tried, outcomes, strict=True)}, indent=1
        )
        arguments.json.write_text(text + "\n", "utf-8")
    return int(any(label not in EXPLAINED for label in survivors))


if __name__ == "__main__":
    sys.exit(main())
