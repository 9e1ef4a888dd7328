"""The table of `parity.toml`: read, and its names and tests looked up. Used by test_parity.py and two scripts."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import tomllib
from pathlib import Path
from typing import Any

import msgspec

ROOT = Path(__file__).parents[2]
TABLE = Path(__file__).with_name("parity.toml")


class Row(msgspec.Struct, frozen=True):
    """One name of the specification."""

    section: str
    specification: str
    name: str
    """Ours, under ``posewire.``."""
    tests: tuple[str, ...]
    """``connect/test_x::test_y``, under ``tests/``."""

    @property
    def is_done(self) -> bool:
        """Whether there is something of that name, and a test of it."""
        return bool(self.tests) and found(self.name) is not None and not self.missing_tests

    @property
    def missing_tests(self) -> list[str]:
        """The tests that are not there."""
        return [test for test in self.tests if test.partition("::")[2] not in tests_in(test.partition("::")[0])]

    @property
    def test_ids(self) -> list[str]:
        """The tests as pytest wants them, from the top of the repository."""
        return ["tests/{}.py::{}".format(*test.split("::")) for test in self.tests]


class Found(msgspec.Struct, frozen=True):
    """What a name stands for."""

    owner: Any
    """The class or module it was found in."""
    name: str
    """Its name in there."""
    value: Any

    @property
    def function(self) -> Any:
        """The function whose body does it; None for a class, a field or a setting."""
        raw = inspect.getattr_static(self.owner, self.name, None)
        if isinstance(raw, property):
            return raw.fget
        if isinstance(raw, staticmethod | classmethod):
            return raw.__func__
        return raw if inspect.isfunction(raw) else None

    @property
    def file(self) -> str:
        """Where it is written, from the top of the repository."""
        thing = self.function or (self.value if inspect.isclass(self.value) else self._holder)
        return str(Path(inspect.getsourcefile(thing) or "?").resolve()).partition("/src/")[2]

    @property
    def _holder(self) -> Any:
        """The class in which a field is written down, which may be a base of the one it was looked up in."""
        for each in inspect.getmro(self.owner) if inspect.isclass(self.owner) else ():
            if self.name in vars(each) or self.name in vars(each).get("__annotations__", {}):
                return each
        return self.owner


def rows() -> list[Row]:
    """Return the table."""
    sections = tomllib.loads(TABLE.read_text("utf-8"))["section"]
    return [
        Row(section["title"], specification, name, tuple(tests))
        for section in sections
        for specification, name, *tests in section["rows"]
    ]


def found(name: str) -> Found | None:
    """Return what ``posewire.<name>`` stands for; None when there is no such thing."""
    path = ["posewire", *name.split(".")]
    owner: Any = importlib.import_module("posewire")
    value: Any = owner
    for index, part in enumerate(path[1:], 1):
        owner = value
        try:
            value = getattr(owner, part)
        except AttributeError:
            try:
                value = importlib.import_module(".".join(path[: index + 1]))
            except ImportError:
                # An attribute that is only set on instances is written down as an annotation.
                if part not in getattr(owner, "__annotations__", {}):
                    return None
                value = None
    return Found(owner, path[-1], value)


@functools.cache
def tests_in(path: str) -> frozenset[str]:
    """Return the names of the tests in ``tests/<path>.py``, those bound by assignment too."""
    file = ROOT / "tests" / f"{path}.py"
    if not file.is_file():
        return frozenset()
    names = set()
    for node in ast.parse(file.read_text("utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
    return frozenset(names)


def page() -> str:
    """Return `docs/parity.md`."""
    table = rows()
    done = sum(row.is_done for row in table)
    lines = [
        "# Parity: specification → code → test",
        "",
        "Made by `python scripts/make_parity.py` from `tests/connect/parity.toml`; `tests/connect/test_parity.py`",
        "fails when a name or a test is missing, or this page is old. `python scripts/mutate_names.py` replaces each",
        "body by `return None` or a constant and runs the tests beside it. Names that begin with `_` are the",
        "specification's own inner ones; beside them is what does that here.",
        "",
        f"{done} of {len(table)} rows are there, each with a test that calls it.",
    ]
    for title in dict.fromkeys(row.section for row in table):
        lines += ["", f"## {title}", "", "| specification | code | test |", "|---|---|---|"]
        lines += [_line(row) for row in table if row.section == title]
    return "\n".join(lines) + "\n"


def _line(row: Row) -> str:
    if not row.is_done or (thing := found(row.name)) is None:
        return f"| {row.specification} | `{row.name}` | **not yet** |"
    tests = ", ".join(f"`{test}`" for test in row.tests)
    return f"| {row.specification} | `{thing.file}`: `{row.name}` | {tests} |"
