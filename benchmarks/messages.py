"""What the parent and its workers tell each other: one line of JSON each, requests on stdin, answers on stdout."""

from __future__ import annotations

from typing import Literal

import msgspec

Role = Literal["server", "publisher", "subscribers", "members", "link"]


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """First request: what a worker is. Answered with `Ready` once it listens, or is connected and in the room."""

    system: str
    role: Role
    secret: str
    """Signs tokens, where the system has them; random, the same for all workers of a rig."""
    seed: int
    members: int
    """Publisher and subscribers of all processes together."""
    url: str = ""
    """Of the server; empty for the server itself."""
    first_subscriber: int = 0
    subscribers: int = 0
    """Subscribers this process hosts."""
    profile: str | None = None
    """File for cProfile's figures of everything after `Ready`."""


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to `Setup`."""

    url: str = ""


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """Request: publish and measure once. All workers of a rig get the same and start by the same clock.

    Times are those of ``time.monotonic_ns``: CLOCK_MONOTONIC is one clock for all processes of a Linux machine.
    """

    id: int
    """Told by each frame, so that a straggler of one run is not taken for a frame of the next."""
    start_ns: int
    fps: float
    warmup: float
    """Seconds at the beginning that do not count."""
    seconds: float
    """Seconds that count."""
    grace: float
    """Seconds to wait for the last frames."""

    @property
    def warmup_frames(self) -> int:
        """Frames that do not count."""
        return round(self.warmup * self.fps)

    @property
    def frames(self) -> int:
        """Frames of the whole run."""
        return self.warmup_frames + round(self.seconds * self.fps)


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """What a run cost one process."""

    cpu_ns: int
    """Process CPU time over the seconds that count."""
    tcp_sent: int | None
    """Bytes handed to TCP and acknowledged over the whole run, all sockets; None where the system cannot tell."""
    tcp_received: int | None
    """The same for what came in."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to `Run`. Tables of int64 nanoseconds, one entry a frame, 0 for "not"."""

    usage: Usage
    sent: bytes = b""
    """Publisher: just before each send call."""
    received: list[bytes] = []
    """Subscribers, one table each: when their code held the decoded pose."""


class Flooded(msgspec.Struct, frozen=True, kw_only=True):
    """The publisher's answer to `Run` in `capacity`."""

    sent: int
    """Frames written before the last one's time and the bound were over."""
    cpu_ns: int
    """Over the whole run."""


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of counting subscribers to `Run` in `capacity`."""

    counts: list[int]
    """Frames that count and came in time, by subscriber."""
    numbers: bytes
    """int64: numbers of the frames that are sampled, all subscribers."""
    times: bytes
    """int64 nanoseconds: when each of them came."""
    cpu_ns: int
    """Over the whole run."""
