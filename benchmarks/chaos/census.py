"""How much a server remembers: the entries of all its containers, by class and attribute."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Mapping, Set
from typing import Any, Final

_OURS: Final = ("posewire.", "socketio.", "engineio.")


def census(root: object) -> dict[str, int]:
    """Count the entries of all containers that objects of Posewire or Socket.IO hold, from ``root`` on.

    Knows no names: a dictionary that is added tomorrow is counted too.

    Returns:
        ``{"RoomRegistry.rooms": 2, …}``; what is empty is left out.
    """
    counts: Counter[str] = Counter()
    seen: set[int] = set()
    waiting: list[object] = [root]
    while waiting:
        item = waiting.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if _is_container(item):
            waiting.extend(_entries(item))
        elif f"{type(item).__module__}.".startswith(_OURS):
            for name, value in _attributes(item):
                if _is_container(value):
                    counts[f"{type(item).__name__}.{name.strip('_')}"] += len(value)
                waiting.append(value)
    return {name: count for name, count in sorted(counts.items()) if count}


def growth(before: Mapping[str, int], after: Mapping[str, int], allowed: Mapping[str, str]) -> list[str]:
    """Return what holds more than it did, each as text; ``allowed`` names what may, and why."""
    return [
        f"{name}: {before.get(name, 0)} entries, then {count}"
        for name, count in after.items()
        if count > before.get(name, 0) and name not in allowed
    ]


def _is_container(item: object) -> Any:
    return isinstance(item, dict | Set | list | deque | tuple)


def _entries(item: Any) -> Iterator[object]:
    if isinstance(item, dict):
        yield from item.keys()
        yield from item.values()
    else:
        yield from item


def _attributes(item: object) -> Iterator[tuple[str, Any]]:
    names = {*getattr(item, "__dict__", {}), *getattr(item, "__struct_fields__", ())}
    for cls in type(item).__mro__:
        slots = cls.__dict__.get("__slots__", ())
        names.update([slots] if isinstance(slots, str) else slots)
    for name in sorted(names):
        if not name.startswith("__") and (value := getattr(item, name, None)) is not None:
            yield name, value
