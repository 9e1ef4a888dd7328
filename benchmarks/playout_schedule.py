"""How even the schedule of playout ``smooth`` is under jitter: by the times alone, and on a real event loop."""

from __future__ import annotations

import asyncio
import itertools
import statistics
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from benchmarks.playout_link import NETWORK, Arrival, arrivals, blank_pose
from benchmarks.playout_motion import play
from posewire import clock
from posewire.monitor.percentiles import percentiles
from posewire.receiver.playout_buffer import Timeline
from posewire.receiver.playout_delay import PlayoutDelay
from posewire.receiver.playout_subscription import Playout, PlayoutSubscription
from posewire.receiver.pose_resampler import PoseResampler
from posewire.receiver.received import Counts

FPS: Final = 30
_SETTLING: Final = 2.0
"""Seconds from the first release that do not count."""


def virtual(seconds: float, seed: int, delay: float | None) -> dict[str, Any]:
    """Run the buffer by the times alone."""
    coming = _arrivals(seconds, seed, start=1000.0)
    playout, counts = PlayoutDelay(delay=delay), Counts()
    released = play(PoseResampler(Timeline(playout), counts, size=128), coming)
    return _row("virtual", delay, playout.delay, [time for _, time in released], released[0][1], counts, coming)


async def real(seconds: float, seed: int, delay: float | None) -> dict[str, Any]:
    """Run a subscription on this event loop; what comes is put in by a task, at its time or a little later."""
    start = clock.now() + 0.1
    coming = _arrivals(seconds, seed, start=start)
    frames = PlayoutSubscription("pose", None, None, size=128, playout=Playout(mode="smooth", delay=delay))
    feeding = asyncio.create_task(_feed(frames, coming), name="benchmark.feed")
    ticking = asyncio.create_task(_tick(), name="benchmark.tick")
    times, added = [], 0.0
    async for _ in frames:
        times.append(clock.now())
        added = frames.delay or added
    await feeding
    ticking.cancel()
    await asyncio.wait([ticking])
    counts = Counts(dropped=frames.dropped, late=frames.late, missing=frames.missing)
    return _row("real", delay, added, times, times[0], counts, coming) | {"timer_std_ms": _even(_ticks)}


_ticks: list[float] = []
"""When a plain timer came that was set for every thirtieth of a second: what this machine can do at the moment."""


async def _tick() -> None:
    _ticks.clear()
    start = clock.now()
    while True:
        await asyncio.sleep(start + (len(_ticks) + 1) / FPS - clock.now())
        _ticks.append(clock.now())


def _even(times: Sequence[float]) -> float:
    return round(1000 * statistics.pstdev(b - a for a, b in itertools.pairwise(times)), 3)


async def _feed(frames: PlayoutSubscription, coming: Sequence[Arrival]) -> None:
    for arrival in coming:
        await asyncio.sleep(max(0.0, arrival.time - clock.now()))
        frames.put(msgspec.structs.replace(arrival.received, arrived=clock.now()))
    frames.end()


def _arrivals(seconds: float, seed: int, *, start: float) -> list[Arrival]:
    times = [start + index / FPS for index in range(round(seconds * FPS))]
    return arrivals(times, "pose", NETWORK, seed, poses=[blank_pose()] * len(times))


def _row(
    clock_name: str,
    delay: float | None,
    added: float,
    times: Sequence[float],
    first: float,
    counts: Counts,
    coming: Sequence[Arrival],
) -> dict[str, Any]:
    """Return the figures; what came after the last arrival is the end, and no part of the schedule."""
    end = coming[-1].time
    counted = [time for time in times if first + _SETTLING <= time <= end]
    gaps = [1000 * (b - a) for a, b in itertools.pairwise(counted)]
    came = [each.time for each in coming if first + _SETTLING <= each.time]
    _, _, p99 = percentiles(gaps)
    return {
        "clock": clock_name,
        "delay": "adaptive" if delay is None else f"{delay * 1000:g} ms",
        "delay_ms": round(added * 1000, 1),
        "interval_std_ms": _even(counted),
        "interval_p99_ms": round(p99, 2),
        "interval_max_ms": round(max(gaps), 2),
        "arrival_std_ms": _even(came),
        "released": len(times),
        "late": counts.late,
        "missing": counts.missing,
        "dropped": counts.dropped,
        "timer_std_ms": 0.0,
    }
