"""Values as users hand them in: numbers that NumPy made, names of files.

Every setter takes a number through `plain` first: what is kept is a Python number, which can be written as JSON.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np

_LARGEST: Final = sys.float_info.max
_SHOWN_CHARS: Final = 60


def plain(value: Any) -> Any:
    """Return a number of NumPy, or of a class of its own, as the Python number it is; anything else as it is."""
    if type(value) in (float, int, bool):
        return value
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool):
        return value
    if isinstance(value, float):
        return float(value)
    return int(value) if isinstance(value, int) else value


def is_number(value: Any) -> bool:
    """Whether ``value`` is a plain number that fits a finite float, and no bool."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -_LARGEST <= value <= _LARGEST


def is_whole(value: Any) -> bool:
    """Whether ``value`` is a plain whole number, and no bool."""
    return isinstance(value, int) and not isinstance(value, bool)


def path_of(value: Any) -> Path | None:
    """Return the file that ``value`` names; None when it is no name of a file."""
    if not isinstance(value, str | os.PathLike):
        return None
    path = Path(value) if isinstance(os.fspath(value), str) else Path()
    return path if path.name and "\0" not in path.name else None


def shown(value: Any) -> str:
    """Return ``value`` as a message may show it: not endless."""
    try:
        text = repr(value)
    except ValueError:  # an int of more digits than Python writes out
        text = f"a {type(value).__name__} too long to show"
    return text if len(text) <= _SHOWN_CHARS else f"{text[: _SHOWN_CHARS - 3]}..."
