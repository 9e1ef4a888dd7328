"""What a link's owner and its forwarder process tell each other: one line of JSON each, answered in order."""

from __future__ import annotations

import msgspec

from benchmarks.netlab.line import LineStats
from benchmarks.netlab.path import Path
from benchmarks.netlab.schedule import Side, Step


class Open(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """First request: build the link."""

    up: Path
    down: Path
    seed: int


class Change(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Request: be different from now on."""

    side: Side
    path: Path | None
    """All of it; None: only what `settings` names."""
    settings: str = ""


class Play(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Request: follow a schedule; what is left of one before it is forgotten."""

    steps: list[Step]
    start: float
    """Its time 0, seconds of ``time.monotonic``."""


class Ask(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Request: say the totals."""


class LinkStats(msgspec.Struct, frozen=True, kw_only=True):
    """Totals of both directions."""

    up: LineStats
    down: LineStats


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Of the forwarder, one to each request."""

    error: str | None = None
    namespace: str = ""
    host: str = ""
    """Address of the near side, seen from the far side."""
    stats: LinkStats | None = None


Request = Open | Change | Play | Ask
