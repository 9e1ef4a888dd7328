"""When a link changes, and how that is written."""

from __future__ import annotations

import re
from typing import Final, Literal

import msgspec

from benchmarks.netlab.errors import SettingError
from benchmarks.netlab.path import Path, parse_path, read_time

Side = Literal["up", "down"]
"""``up``: from the far side to the near side; ``down``: back."""

_STEP: Final = re.compile(r"at\s+(\S+)\s+(up|down|both)\s+(.+)")
_FORM: Final = "steps such as 'at 5s up rate=128kbit', each with up, down or both, separated by ';' or lines"


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One change.

    Attributes:
        at: Seconds after the start of the schedule.
        side: Which direction.
        settings: What changes, as `parse_path` reads it; the rest stays.
    """

    at: float
    side: Side
    settings: str

    def apply(self, path: Path) -> Path:
        """Return what ``path`` becomes."""
        return parse_path(self.settings, path)


def parse_schedule(text: str) -> list[Step]:
    """Return the steps of a text such as ``at 5s up rate=128kbit; at 35s both clear``, earliest first.

    ``#`` begins a comment. Steps of one time keep their order.

    Raises:
        SettingError: Names what cannot be read and what was expected.
    """
    steps: list[Step] = []
    for line in text.splitlines():
        for part in line.partition("#")[0].split(";"):
            if part.strip():
                steps += _steps(part.strip())
    return sorted(steps, key=lambda step: step.at)


def _steps(text: str) -> list[Step]:
    match = _STEP.fullmatch(text)
    if match is None:
        raise SettingError("schedule", text, _FORM)
    at, side, settings = match.groups()
    parse_path(settings)
    seconds = read_time("at", at)
    sides: tuple[Side, ...] = ("up", "down") if side == "both" else ("up",) if side == "up" else ("down",)
    return [Step(at=seconds, side=each, settings=settings) for each in sides]
