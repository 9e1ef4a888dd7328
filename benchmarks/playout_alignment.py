"""How far apart sound and poses of one recording are when playout ``timecode`` releases them, over a bad link."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import statistics
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

import posewire
from benchmarks.motion import load_motion
from benchmarks.netlab.link import open_link
from benchmarks.playout_link import LOSSY, Capture, blank_pose, carry
from posewire import clock
from posewire.protocol import AudioChunk
from posewire.receiver.playout_buffer import PlayoutBuffer
from posewire.receiver.playout_subscription import Playout, new_timeline
from posewire.receiver.received import Counts

POSE_FPS: Final = 30
CHUNK: Final = 0.02
"""Seconds of sound in a chunk; it is stamped with its first sample and sent with its last."""
_RATE: Final = 16_000
_START: Final = 1000.0
_SETTLING: Final = 5.0
"""Seconds that do not count: until the delay has met the first lost packets."""


class Shown(NamedTuple):
    """A release: when, and how long after the true capture."""

    time: float
    lag: float


class _Figures(NamedTuple):
    late: int
    missing: int
    told: int
    delay: float


def virtual(seconds: float, seed: int, *, skew_ppm: float = 0.0) -> dict[str, Any]:
    """Run the two buffers by the times alone; ``skew_ppm``: how much slower the sound card's clock runs."""
    captures = [
        Capture(_START + time, _START + time, "pose", blank_pose())
        for time in np.arange(0, seconds, 1 / POSE_FPS).tolist()
    ]
    samples = np.zeros(8, np.int16)
    for true in np.arange(0, seconds, CHUNK).tolist():
        # The sender stamps it by its sound card; the true time travels in the chunk.
        stamp, chunk = _START + true * (1 - skew_ppm / 1e6), AudioChunk(samples, _RATE, _START + true)
        captures.append(Capture(stamp, _START + true + CHUNK, "audio", audio=chunk))
    timeline = new_timeline(Playout(mode="timecode"))
    told: list[bool] = []
    counts = {kind: Counts() for kind in ("pose", "audio")}
    buffers = {
        kind: PlayoutBuffer(timeline, counts[kind], size=128, aligned=lambda _, alignment: told.append(alignment.held))
        for kind in counts
    }
    shown: dict[str, list[Shown]] = {"pose": [], "audio": []}
    for time, kind, release in _run(buffers, carry(captures, LOSSY, seed)):
        audio = release.received.audio
        true = release.received.timestamp if audio is None else audio.timestamp
        shown[kind].append(Shown(time, time - true))
    figures = _Figures(
        sum(each.late for each in counts.values()),
        sum(each.missing for each in counts.values()),
        told.count(False),
        timeline.delay.delay,
    )
    name = "virtual" if not skew_ppm else f"virtual, {skew_ppm:g} ppm"
    return _row(name, seconds, shown, figures, of=len(captures))


def _run(buffers: dict[Any, PlayoutBuffer], coming: Sequence[Any]) -> Iterator[tuple[float, str, Any]]:
    events = [(arrival.time, index, arrival.received) for index, arrival in enumerate(coming)]
    heapq.heapify(events)
    while True:
        due, kind = min(
            ((due, kind) for kind, buffer in buffers.items() if (due := buffer.next_time()) is not None),
            default=(None, None),
        )
        if events and (due is None or events[0][0] <= due):
            time, _, received = heapq.heappop(events)
            buffers[received.kind].put(received, time)
        elif due is None:
            return
        else:
            now = max(due, coming[0].time)
            if (release := buffers[kind].take(now)) is not None:
                yield now, str(kind), release


async def real(seconds: float, seed: int, playout: str) -> dict[str, Any]:
    """Run two members of a real server, the watcher behind a TCP proxy with jitter and loss."""
    told: list[posewire.Event] = []
    shown: dict[str, list[Shown]] = {"pose": [], "audio": []}
    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(posewire.serve())
        link = await stack.enter_async_context(open_link(kind="proxy", down=LOSSY, seed=seed))
        tokens = [server.issue_token(name, room_id="studio") for name in ("alice", "bob")]
        bob = await stack.enter_async_context(
            posewire.connect(await link.url(server.port), token=tokens[1], room="studio")
        )
        alice = await stack.enter_async_context(posewire.connect(server.url, token=tokens[0], room="studio"))
        bob.on("synchronization", told.append)
        loops = {kind: bob.frames(kind, playout=playout) for kind in ("pose", "audio")}
        watching = [
            asyncio.create_task(_watch(frames, shown[kind]), name=f"benchmark.{kind}") for kind, frames in loops.items()
        ]
        sent = await _send(alice, seconds, seed)
        await asyncio.sleep(1.0)
        delay = max(frames.delay for frames in loops.values())
        late, missing = (sum(getattr(frames, name) for frames in loops.values()) for name in ("late", "missing"))
        for task in watching:
            task.cancel()
        await asyncio.wait(watching)
    broken = sum(not event.data["held"] for event in told)
    return _row(f"real, {playout}", seconds, shown, _Figures(late, missing, broken, delay), of=sent)


async def _send(session: posewire.Session, seconds: float, seed: int) -> int:
    motion = load_motion(seed)
    samples = np.zeros(round(_RATE * CHUNK), np.int16)
    start = clock.now()
    turns = heapq.merge(
        ((index / POSE_FPS, "pose", index) for index in range(round(seconds * POSE_FPS))),
        ((index * CHUNK + CHUNK, "audio", index) for index in range(round(seconds / CHUNK))),
    )
    count = 0
    for when, kind, index in turns:
        await asyncio.sleep(max(0.0, start + when - clock.now()))
        if kind == "pose":
            count += bool(await session.send_pose(motion.frame(0, index), timestamp=start + when))
        else:
            chunk = AudioChunk(samples, _RATE, start + when - CHUNK)
            count += bool(await session.send_audio(chunk, timestamp=start + when - CHUNK))
    return count


async def _watch(frames: posewire.Subscription, shown: list[Shown]) -> None:
    async for frame in frames:
        now = clock.now()
        # The time it was stamped with, which no correction has touched.
        stamp = frame.pose.timestamp if frame.pose is not None else frame.timestamp
        if frame.audio is not None:
            stamp = frame.audio.timestamp
        shown.append(Shown(now, now - stamp))


def _row(name: str, seconds: float, shown: dict[str, list[Shown]], figures: _Figures, *, of: int) -> dict[str, Any]:
    first = min(each.time for kind in shown.values() for each in kind) + _SETTLING
    sound = [each for each in shown["audio"] if each.time >= first]
    apart = [
        1000 * abs(pose.lag - _nearest(sound, pose.time).lag) for pose in shown["pose"] if pose.time >= first and sound
    ]
    lags = [1000 * each.lag for each in itertools.chain(*shown.values()) if each.time >= first]
    return {
        "run": name,
        "seconds": seconds,
        "apart_p50_ms": round(statistics.median(apart), 2),
        "apart_p99_ms": round(float(np.percentile(apart, 99)), 2),
        "apart_max_ms": round(max(apart), 2),
        "lag_p50_ms": round(statistics.median(lags), 1),
        "lag_p99_ms": round(float(np.percentile(lags, 99)), 1),
        "delay_ms": round(1000 * figures.delay, 1),
        "released": sum(map(len, shown.values())),
        "sent": of,
        "late": figures.late,
        "missing": figures.missing,
        "told": figures.told,
    }


def _nearest(shown: Sequence[Shown], time: float) -> Shown:
    place = bisect_left(shown, (time,))
    return min(shown[max(0, place - 1) : place + 1], key=lambda each: abs(each.time - time))
