"""What the parent tells the processes of `clock`, and what they answer: a line of JSON each."""

from __future__ import annotations

from typing import Literal

import msgspec

from benchmarks.clocks.skew import Skew


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What a process is."""

    role: Literal["server", "session"]
    secret: str
    skew: Skew
    """Of the server's clock."""
    host: str = ""
    """Where the server listens."""
    url: str = ""
    """Of the server, for a session."""
    seconds: float = 0.0


class Listening(msgspec.Struct, frozen=True, kw_only=True):
    """The server's answer, once it listens."""

    port: int


class Errors(msgspec.Struct, frozen=True, kw_only=True):
    """A session's answer at the end: how wrong each estimate was over time.

    Attributes:
        times: Seconds since it was connected.
        errors: Of each estimator, seconds at each of the times: estimate less truth.
        drift: What it thinks of the drift at the end, ppm.
        uncertainty: How wrong it thinks it may be, seconds.
        steps: How often a clock was told to have jumped.
        round_trip: The last exchange's, seconds.
    """

    times: list[float]
    errors: dict[str, list[float]]
    drift: float = 0.0
    uncertainty: float = 0.0
    steps: int = 0
    round_trip: float = 0.0
