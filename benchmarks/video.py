"""Poses from a video or a camera: frames a second, time to find them, and how long the event loop was held up.

python -m benchmarks video ../shared/data/video/pose_jump_swing_90fps.mp4 --holistic --seconds 10
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import provenance, save, to_json
from benchmarks.options import positive
from posewire import clock
from posewire.sources import CameraSource, SourceFrame, VideoSource

_TICK = 0.001
_IDLE = 3.0
"""Seconds that an event loop with nothing to do is watched, to know what of the rest is the machine's."""


class HoldUps:
    """How much later than asked for a timer of a millisecond came."""

    def __init__(self) -> None:
        self.all: list[float] = []

    async def run(self) -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(_TICK)
            self.all.append(time.perf_counter() - began - _TICK)

    def figures(self) -> dict[str, float]:
        """Return milliseconds since the last call."""
        p99, worst = np.percentile(self.all, (99, 100)) * 1e3
        self.all.clear()
        return {"p99": round(float(p99), 2), "max": round(float(worst), 2)}


@asynccontextmanager
async def hold_ups() -> AsyncIterator[HoldUps]:
    """Watch the event loop."""
    watching = HoldUps()
    task = asyncio.create_task(watching.run())
    try:
        yield watching
    finally:
        task.cancel()
        await asyncio.wait([task])


async def measure(name: str, *, holistic: bool, seconds: float) -> dict[str, Any]:
    """Return the figures of one source."""
    source = (
        CameraSource(holistic=holistic, seconds=seconds)
        if name == "camera"
        else VideoSource(name, holistic=holistic, loop=True, seconds=seconds)
    )
    frames: list[tuple[float, SourceFrame]] = []
    async with hold_ups() as held:
        await asyncio.sleep(_IDLE)
        idle = held.figures()
        began = clock.monotonic()
        async with source:
            opening = clock.monotonic() - began
            while_opening = held.figures()
            async for frame in source:
                frames.append((clock.now(), frame))  # noqa: PERF401  # a comprehension would keep none when it fails
            while_playing = held.figures()
    assert source.opened is not None
    came = [moment for moment, _ in frames]
    tracking = np.array([frame.tracking for _, frame in frames[1:]]) * 1e3
    ages = np.array([moment - frame.timestamp for moment, frame in frames[1:]]) * 1e3
    return {
        **provenance(("mediapipe", "opencv-contrib-python", "numpy")),
        "source": Path(name).name,
        "holistic": holistic,
        "source_fps": round(source.opened.fps, 2),
        "size": [source.opened.width, source.opened.height],
        "frames": len(frames),
        "skipped": source.skipped,
        "fps": round((len(came) - 1) / (came[-1] - came[0]), 1),
        "tracking_ms": {f"p{p}": round(float(np.percentile(tracking, p)), 1) for p in (50, 95)},
        "age_ms": {f"p{p}": round(float(np.percentile(ages, p)), 1) for p in (50, 95)},
        "open_s": round(opening, 2),
        "held_up_ms": {"before": idle, "opening": while_opening, "playing": while_playing},
    }


def main(arguments: Sequence[str]) -> int:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks video", description=__doc__)
    parser.add_argument("source", help="a video file, or 'camera'")
    parser.add_argument("--holistic", action="store_true", help="find face and hands too")
    parser.add_argument("--seconds", type=positive, default=10.0, help="of the video (default: 10)")
    parser.add_argument("--save", action="store_true", help="also write it to benchmarks/results/")
    options = parser.parse_args(arguments)
    result = asyncio.run(measure(options.source, holistic=options.holistic, seconds=options.seconds))
    print(to_json(result).decode())
    if options.save:
        save("video", result)
    return 0
