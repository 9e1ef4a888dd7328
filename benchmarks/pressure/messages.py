"""What the parent of a pressure run and its workers tell each other: one line of JSON each."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Role = Literal["server", "publisher", "subscribers"]
AUDIO = "audio"
EVENTS = "events"


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """First request: what a worker is. Answered with `Ready`."""

    system: str
    role: Role
    secret: str
    seed: int
    url: str = ""
    streams: list[str] = []
    """Of poses: ``pose33``, ``holistic``."""
    fps: float = 30.0
    audio: bool = False
    audio_apart: bool = False
    """Audio on a connection of its own, under another user."""
    events: bool = False
    users: list[str] = []
    """Subscribers of this process."""
    check_quality: bool = False
    """Whether subscribers compare each pose with what was sent."""


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to `Setup`."""

    port: int = 0


class Go(msgspec.Struct, frozen=True, kw_only=True):
    """Request: take part in the run. Answered with `Report` after ``seconds`` and ``grace``."""

    start_ns: int
    """Of ``time.monotonic_ns``, one clock for all processes of a Linux machine."""
    seconds: float
    """How long is published."""
    grace: float
    """How long what is under way may still come."""


class Got(msgspec.Struct, frozen=True, kw_only=True):
    """What came to one subscriber of one stream, in order of arrival."""

    numbers: bytes = b""
    """int64."""
    times: bytes = b""
    """int64, nanoseconds: when the subscriber's code held the decoded frame."""
    error_xy: bytes = b""
    """float32, default steps; empty when quality was not checked. See `motions.errors`."""
    error_z: bytes = b""
    unreadable: int = 0
    """Frames that came without a readable number."""


class Happened(msgspec.Struct, frozen=True, kw_only=True):
    """Something worth telling.

    Attributes:
        at: Seconds after the start.
        who: User, or role.
        what: Event and its data, or an error.
    """

    at: float
    who: str
    what: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to `Go`."""

    cpu_s: float
    memory: list[tuple[float, int]]
    """Seconds after the start, and bytes resident."""
    status: list[tuple[float, dict[str, Any]]] = []
    """Publisher: what the sender says of itself, each second."""
    happened: list[Happened] = []
    sent: dict[str, bytes] = {}
    """Publisher: int64 nanoseconds just before each call, by number; 0 for a number that was not sent."""
    call_ns: bytes = b""
    """Publisher: int64, CPU time of its thread from each call of ``send_pose`` to its return, other tasks' included."""
    own_ns: bytes = b""
    """The part of it that the call itself took."""
    wall_ns: bytes = b""
    """The same by the clock: what the capture loop waited."""
    outcomes: dict[str, int] = {}
    """Publisher: what the calls returned, or raised."""
    got: dict[str, dict[str, Got]] = {}
    """Subscribers: by user, by stream."""
