"""Frames on a link with jitter and loss, by seed and without a clock."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from benchmarks.netlab.line import Line
from benchmarks.netlab.path import Path
from posewire.monitor import StreamStats
from posewire.protocol import AudioChunk, PoseData
from posewire.receiver.frame import FrameKind
from posewire.receiver.received import Received

NETWORK: Final = Path(delay=0.02, jitter=0.04)
"""20 ms, and 40 ms of jitter, evenly distributed."""
LOSSY: Final = Path(delay=0.02, jitter=0.04, loss=0.01)
_BYTES: Final = 200


class Arrival(NamedTuple):
    """A frame and when it comes, seconds."""

    time: float
    received: Received


class Capture(NamedTuple):
    """What is sent when: the time it is stamped with, and that at which it is handed over, seconds."""

    stamp: float
    sent: float
    kind: FrameKind
    pose: PoseData | None = None
    audio: AudioChunk | None = None


def arrivals(
    times: Sequence[float], kind: FrameKind, path: Path, seed: int, *, poses: Sequence[PoseData] | None = None
) -> list[Arrival]:
    """Return the arrivals of a stream captured at ``times`` and sent at once."""
    return carry(
        [Capture(time, time, kind, None if poses is None else poses[index]) for index, time in enumerate(times)],
        path,
        seed,
    )


def carry(captures: Sequence[Capture], path: Path, seed: int) -> list[Arrival]:
    """Return the arrivals over one TCP connection: in order, and a loss holds up all behind it."""
    line: Line[Capture] = Line(path, seed=seed, stream=True)
    stats = {kind: StreamStats("alice", kind) for kind in ("pose", "audio")}
    seqs = dict.fromkeys(stats, 0)
    found: list[Arrival] = []

    def take(until: float) -> None:
        while (moment := line.next_time()) is not None and moment <= until:
            for capture in line.take(moment):
                seqs[capture.kind] += 1
                found.append(
                    Arrival(
                        moment,
                        Received(
                            "alice",
                            capture.kind,
                            capture.kind,
                            seqs[capture.kind],
                            capture.stamp,
                            _BYTES,
                            moment,
                            stats[capture.kind],
                            capture.pose,
                            capture.audio,
                        ),
                    )
                )

    for capture in sorted(captures, key=lambda each: each.sent):
        take(capture.sent)
        line.offer(capture.sent, _BYTES, capture)
    take(math.inf)
    return found


def blank_pose() -> PoseData:
    """Return a pose for runs that look at times only."""
    return PoseData(np.zeros((33, 4), np.float32))
