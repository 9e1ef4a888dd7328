"""The floors of the design, the file limit, the class-to-file table, the purity of the pure folders."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

SRC = Path(__file__).parents[2] / "src" / "posewire"

FLOORS = [
    {"errors", "clock", "limits", "lifetime", "addresses", "values", "version"},
    {"config", "protocol"},
    {"flow", "monitor", "recovery"},
    {"sockets"},
    {"rooms"},
    {"sender", "receiver"},
    {"server", "recording", "sources", "bridges"},
    {"session"},
    {"cli", "testing"},
]
FLOOR_OF = {unit: floor for floor, units in enumerate(FLOORS) for unit in units}
ENTRANCES = {"__init__", "__main__"}
"""They name what is inside; nothing imports them."""

CLASS_FILES = {
    "SocketManager": "sockets/socket_manager.py",
    "UnifiedSender": "sender/unified_sender.py",
    "PoseSender": "sender/pose_sender.py",
    "MediaSender": "sender/media_sender.py",
    "RoomManager": "rooms/room_manager.py",
    "RoomState": "rooms/room_state.py",
    "PoseProtocol": "protocol/pose_protocol.py",
    "PerformanceMonitor": "monitor/performance_monitor.py",
    "AlertManager": "monitor/alert_manager.py",
    "ErrorRecoveryChain": "recovery/error_recovery_chain.py",
    "PosewireError": "errors.py",
}
LINE_LIMIT = 400
FUNCTION_LIMIT = 60

FILES = sorted(path for path in SRC.rglob("*.py"))


def unit_of(path: Path) -> str:
    return path.relative_to(SRC).parts[0].removesuffix(".py")


def imports_of(path: Path) -> Iterator[str]:
    """Yield the posewire modules a file imports: anywhere in it, lazily and for types too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "posewire")
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "posewire":
            assert node.level == 0
            if node.module == "posewire":
                yield from (f"posewire.{alias.name}" for alias in node.names)
            else:
                yield node.module or ""


def functions_of(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_every_unit_has_a_floor() -> None:
    assert {unit_of(path) for path in FILES} - ENTRANCES <= set(FLOOR_OF)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SRC)))
def test_imports_go_down(path: Path) -> None:
    unit = unit_of(path)
    if unit in ENTRANCES:
        return
    for module in imports_of(path):
        other = module.split(".")[1]
        assert other == unit or FLOOR_OF[other] < FLOOR_OF[unit], f"{unit} (F{FLOOR_OF[unit]}) imports {module}"


@pytest.mark.parametrize("unit", sorted(FLOOR_OF))
def test_files_of_a_folder_form_a_chain(unit: str) -> None:
    """No cycle: there is an order in which every file imports only files before it."""
    folder = SRC / unit
    if not folder.is_dir():
        return
    edges = {
        path.stem: {
            module.split(".")[2]
            for module in imports_of(path)
            if module.startswith(f"posewire.{unit}.") and path.stem != "__init__"
        }
        for path in folder.glob("*.py")
    }
    while edges:
        free = [name for name, needs in edges.items() if not needs & edges.keys()]
        assert free, f"cycle among {sorted(edges)}"
        for name in free:
            del edges[name]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SRC)))
def test_files_and_functions_are_short(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= LINE_LIMIT or "# long file:" in text
    for function in functions_of(path):
        assert (function.end_lineno or 0) - function.lineno < FUNCTION_LIMIT, f"{function.name} is too long"


@pytest.mark.parametrize(("name", "file"), CLASS_FILES.items())
def test_a_class_is_found_by_its_name(name: str, file: str) -> None:
    classes = {node.name for node in ast.parse((SRC / file).read_text()).body if isinstance(node, ast.ClassDef)}
    assert name in classes


PURE = [
    path
    for path in itertools.chain(
        *((SRC / folder).glob("*.py") for folder in ("protocol", "flow", "monitor", "recovery")),
        [SRC / "rooms" / "room_state.py"],
    )
    # The specification's handle_error is awaited; it waits for the strategies it is given, for no clock.
    if path.name != "error_recovery_chain.py"
]


@pytest.mark.parametrize("path", PURE, ids=lambda path: str(path.relative_to(SRC)))
def test_pure_folders_have_no_waiting_clock_or_chance(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef | ast.Await)]
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names} | {
        node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)
    }
    # `random` only for the type of an argument.
    assert not imported & {"asyncio", "time", "secrets", "datetime"}
    assert not re.search(r"random\.(random|uniform|Random\()", path.read_text().replace("rng.", ""))


FORBIDDEN = {
    r"\btime\.sleep\(": "time.sleep",
    r"\bimport threading\b": "threads",
    r"except (Base)?Exception\b": "a broad except",
    r"except:": "a bare except",
}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SRC)))
def test_nothing_forbidden(path: Path) -> None:
    if unit_of(path) == "cli":
        return
    text = path.read_text()
    for pattern, what in FORBIDDEN.items():
        # A source may have a thread where the library blocks, and says why.
        excused = what == "threads" and unit_of(path) == "sources" and "# threads:" in text
        assert excused or not re.search(pattern, text), f"{what} in {path}"
