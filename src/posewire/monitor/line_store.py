"""Lines of figures in a table that is as large when it is empty as when it is full."""

from __future__ import annotations

from typing import Any, Final, get_type_hints

import msgspec
import numpy as np

from posewire.monitor.performance_metrics import PerformanceMetrics

_KINDS: Final = get_type_hints(PerformanceMetrics)
_NUMBERS: Final = tuple(name for name, kind in _KINDS.items() if kind in (float, int, float | None))
_OTHERS: Final = tuple(name for name in _KINDS if name not in _NUMBERS)
_WHOLE: Final = frozenset(name for name, kind in _KINDS.items() if kind is int)
_TIMESTAMP: Final = _NUMBERS.index("timestamp")
_MOST_KNOWN: Final = 64
_SLACK: Final = 4
"""A quarter as many rows more, so that the first one can be let go without moving all others each time."""


class LineStore:
    """Holds up to ``most`` lines, the oldest first. As objects they would take three times as much, bit by bit.

    Numbers are columns of one array of float64, exact for counts up to 2**53; NaN stands for None. Words and drops are
    kept beside it, and shared by the lines in which they are the same.
    """

    def __init__(self, most: int) -> None:
        # Filled, so that the system gives all of its memory now.
        self._table = np.full((most + most // _SLACK + 1, len(_NUMBERS)), np.nan)
        self._words: list[tuple[object, ...]] = []
        self._known: dict[tuple[object, ...], tuple[object, ...]] = {}
        self._first = 0

    def __len__(self) -> int:
        return len(self._words)

    def __getitem__(self, index: int) -> PerformanceMetrics:
        words = self._words[index]
        row = self._table[self._first + index % len(self._words)].tolist()
        fields: dict[str, Any] = {
            name: int(value) if name in _WHOLE else (value if value == value else None)
            for name, value in zip(_NUMBERS, row, strict=True)
        }
        fields.update(zip(_OTHERS, words, strict=True))
        return PerformanceMetrics(**fields)

    def append(self, line: PerformanceMetrics) -> None:
        """Add a line at the end."""
        if self._first + len(self._words) == len(self._table):
            self._table[: len(self._words)] = self._table[self._first :].copy()
            self._first = 0
        self._words.append(())
        self.replace_last(line)

    def replace_last(self, line: PerformanceMetrics) -> None:
        """Put a line in the place of the last one."""
        values = msgspec.structs.asdict(line)
        self._table[self._first + len(self._words) - 1] = [
            np.nan if values[name] is None else values[name] for name in _NUMBERS
        ]
        self._words[-1] = self._shared(tuple(values[name] for name in _OTHERS))

    def _shared(self, words: tuple[object, ...]) -> tuple[object, ...]:
        """Return words that some line has already, if they are the same: a loop has few slowest callbacks, in turns."""
        key = tuple(tuple(sorted(word.items())) if isinstance(word, dict) else word for word in words)
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        return self._known.setdefault(key, words)

    def let_go(self, timestamp: float) -> None:
        """Let go of the lines before ``timestamp``."""
        count = self.index(timestamp)
        self._first += count
        del self._words[:count]

    def replace_all(self, lines: list[PerformanceMetrics]) -> None:
        """Hold these lines and no others."""
        self._words.clear()
        self._first = 0
        for line in lines:
            self.append(line)

    def index(self, timestamp: float) -> int:
        """Return the number of lines before ``timestamp``."""
        times = self._table[self._first : self._first + len(self._words), _TIMESTAMP]
        return int(np.searchsorted(times, timestamp))

    def timestamp(self, index: int) -> float:
        """Return when the line was; negative from the end."""
        return float(self._table[self._first + index % len(self._words), _TIMESTAMP])
