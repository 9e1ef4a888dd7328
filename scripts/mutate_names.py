"""Replace the body of each function in the parity table by a stub, and see whether its tests notice.

    python scripts/mutate_names.py [--workers 2] [--only PATTERN] [--json FILE]

A body becomes ``return None`` (that is ``pass``) and, where the annotation says what is returned, a constant of that
type: both truths for a bool, 0 and 1 for a number, an empty string, dict or list. Each stub is tried in a process that
is forked with everything imported, so that no file is touched and hundreds of them take minutes. A stub that all tests
in its rows pass with is a survivor. Ends with 1 when there are any that ``EXPLAINED`` does not.

First the tests are run as they are: one that fails anyway would notice everything.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import inspect
import json
import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType

import pytest

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from tests.connect.parity_names import Row, found, rows  # noqa: E402  # needs the path above

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
TIMEOUT = 180
"""Seconds; tests that hang have noticed."""
QUIET = [
    "-x",
    "-q",
    "--no-header",
    "--tb=no",
    "--assert=plain",
    *(f"-pno:{name}" for name in ("cacheprovider", "xdist", "pytest_cov")),
]


class Mutant:
    """A function, and what its body becomes."""

    def __init__(self, row: Row, function: FunctionType, stub: str) -> None:
        self.row, self.stub = row, stub
        self._function = function

    @property
    def label(self) -> str:
        """What it is called in the outcome."""
        return f"{self.row.name}: {self.stub}"

    def apply(self) -> None:
        """Put the stub in the place of the body, in this process, for everyone who has the function."""
        old = self._function.__code__
        source = Path(old.co_filename).read_text("utf-8")
        lines = source.splitlines(keepends=True)
        node = next(
            node
            for node in ast.walk(ast.parse(source))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and node.name == self._function.__name__
            and min([node.lineno, *(each.lineno for each in node.decorator_list)]) == old.co_firstlineno
        )
        indent = " " * node.body[0].col_offset
        # What the old body closed over must be named, or the code does not fit the function.
        names = "".join(f"{indent}{name}\n" for name in old.co_freevars)
        lines[node.body[0].lineno - 1 : node.body[-1].end_lineno] = [f"{names}{indent}{self.stub}\n"]
        module = compile("".join(lines), old.co_filename, "exec", dont_inherit=True)
        self._function.__code__ = next(
            code for code in _codes(module) if code.co_name == old.co_name and code.co_firstlineno == old.co_firstlineno
        )


def _codes(code: CodeType) -> Iterator[CodeType]:
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield each
            yield from _codes(each)


def stubs_of(function: FunctionType) -> list[str]:
    """Return what the body of a function may become."""
    annotation = str(inspect.get_annotations(function).get("return", "None"))
    plain = ["return None"]
    for name, stubs in STUBS.items():
        if re.match(rf"{name}\b", annotation):
            return [*plain, *stubs]
    return plain


def mutants(pattern: str) -> list[Mutant]:
    """Return all of the table; a function in several rows is tried with the tests of all of them."""
    merged: dict[FunctionType, Row] = {}
    for row in rows():
        thing = found(row.name)
        if not row.is_done or thing is None or thing.function is None or not re.search(pattern, row.name):
            continue
        first = merged.get(thing.function, row)
        tests = tuple(dict.fromkeys((*first.tests, *row.tests)))
        merged[thing.function] = Row(first.section, first.specification, first.name, tests)
    return [Mutant(row, function, stub) for function, row in merged.items() for stub in stubs_of(function)]


def start(test_ids: list[str], mutant: Mutant | None = None) -> int:
    """Run tests in a process of their own, which ends with 0 when they pass; returns its number."""
    if process := os.fork():
        return process
    os.setpgid(0, 0)
    code = 1
    try:
        if mutant is not None:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 1)
            os.dup2(nowhere, 2)
            mutant.apply()
        code = int(pytest.main([*QUIET, f"--rootdir={ROOT}", *test_ids]))
    finally:
        os._exit(code)


def outcomes(tried: list[Mutant], workers: int) -> Iterator[tuple[Mutant, bool]]:
    """Yield each stub as it is done, and whether it survived."""
    running: dict[int, tuple[Mutant, float]] = {}
    waiting = list(reversed(tried))
    while waiting or running:
        while waiting and len(running) < workers:
            mutant = waiting.pop()
            running[start(mutant.row.test_ids, mutant)] = (mutant, time.monotonic())
        process, status = os.waitpid(-1, os.WNOHANG)
        if process:
            yield running.pop(process)[0], os.waitstatus_to_exitcode(status) == 0
            continue
        for late, (_, begun) in running.items():
            if time.monotonic() - begun > TIMEOUT:
                os.killpg(late, signal.SIGKILL)
        time.sleep(0.02)


def main() -> int:
    """Try all stubs and say which survive."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", default="", help="names that match this expression")
    parser.add_argument("--json", type=Path, help="write the outcome of each there")
    arguments = parser.parse_args()
    os.chdir(ROOT)
    tried = mutants(arguments.only)
    test_ids = sorted({test for mutant in tried for test in mutant.row.test_ids})
    for file in sorted({test.partition("::")[0] for test in test_ids}):
        importlib.import_module(file.removesuffix(".py").replace("/", "."))
    started = time.monotonic()
    if os.waitstatus_to_exitcode(os.waitpid(start(test_ids), 0)[1]):
        print("some test fails without any stub; nothing can be said")
        return 2
    print(f"{len(test_ids)} tests pass as they are: {time.monotonic() - started:.0f} s", flush=True)
    told: dict[str, str] = {}
    for mutant, survived in outcomes(tried, arguments.workers):
        told[mutant.label] = "survived" if survived else "killed"
        if survived:
            print(f"  survived: {mutant.label}  {EXPLAINED.get(mutant.label, '(not explained)')}", flush=True)
        if arguments.json:
            arguments.json.write_text(json.dumps(told, indent=1) + "\n", "utf-8")
    survivors = [label for label, outcome in told.items() if outcome == "survived"]
    functions = len({mutant.row.name for mutant in tried})
    spent = time.monotonic() - started
    print(f"{len(tried)} stubs of {functions} functions in {spent:.0f} s: {len(survivors)} survive")
    return int(any(label not in EXPLAINED for label in survivors))


if __name__ == "__main__":
    sys.exit(main())
