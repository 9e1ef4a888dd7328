"""The specification's own targets: latency, a thousand sends, a bandwidth limit, CPU of a send call."""

from __future__ import annotations

import argparse
import asyncio
import gc
import secrets
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import psutil

import posewire
from benchmarks.channel import loop_factory
from benchmarks.machine import provenance, save, to_json
from benchmarks.messages import Setup
from benchmarks.options import common_options, installed
from benchmarks.process import Process, WorkerError
from benchmarks.recordings import load_clips
from benchmarks.rig import close_all, open_rig
from benchmarks.systems.posewire import Posewire, PosewireV2
from benchmarks.table import align
from benchmarks.usage import sleep_until
from posewire.protocol import PoseData

_LIBRARIES: Final = ("python-socketio", "python-engineio", "aiohttp", "msgspec", "numpy", "uvloop")
_SYSTEM: Final = "posewire"
_SENDS: Final = 1000
_LIMIT: Final = 1_000_000.0
_SECONDS: Final = 5.0
_FPS: Final = 400
"""Of the whole body, 5 to 9 kB a frame: well over the limit."""
_SAMPLES: Final = Path(posewire.__file__).parent / "samples"


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """One target and what was measured."""

    name: str
    value: float
    unit: str
    least: float = 0.0
    most: float

    @property
    def held(self) -> bool:
        """Whether it is met."""
        return self.least <= self.value <= self.most


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark; returns the exit code: 1 when a target is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks targets", description=__doc__)
    common_options(parser)
    options = parser.parse_args(arguments)
    if not installed([_SYSTEM]):
        return 1
    try:
        with asyncio.Runner(loop_factory=loop_factory(Posewire.loop)) as runner:
            targets = runner.run(_measure(options.seed))
    except WorkerError as exc:
        print(f"targets: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    result: dict[str, Any] = {"benchmark": "targets", **provenance(_LIBRARIES), "settings": {"seed": options.seed}}
    result["targets"] = [msgspec.to_builtins(target) | {"held": target.held} for target in targets]
    print(to_json(result).decode() if options.json else _render(result, targets))
    if options.save:
        print(f"saved to {save('targets', result)}", file=sys.stderr)
    return 0 if all(target.held for target in targets) else 1


async def _measure(seed: int) -> list[Target]:
    targets = await _latency(seed)
    pose33, holistic = (list(_clip(name)) for name in ("jump", "signing"))
    async with _server(seed) as setup:
        async with Posewire(setup).session(setup.url, "sends") as session:
            targets += await _sends(session, pose33)
        async with PosewireV2(setup).session(setup.url, "limit") as session:
            targets.append(await _bandwidth(session, holistic))
        for name, poses in (("33 landmarks", pose33), ("holistic", holistic)):
            async with Posewire(setup).session(setup.url, f"cpu-{len(name)}") as session:
                targets += await _call_cpu(session, poses, name)
    return targets


def _clip(name: str) -> tuple[PoseData, ...]:
    return load_clips(_SAMPLES, names=[name])[0].poses


@asynccontextmanager
async def _server(seed: int) -> AsyncIterator[Setup]:
    setup = Setup(system=_SYSTEM, role="server", secret=secrets.token_urlsafe(48), seed=seed, members=4)
    process = await Process.start(setup)
    try:
        yield msgspec.structs.replace(setup, url=await process.ready())
    finally:
        await close_all([process])


async def _latency(seed: int) -> list[Target]:
    """End to end: from before the send call to the decoded pose, one subscriber."""
    async with open_rig(_SYSTEM, subscribers=1, processes=1, secret=secrets.token_urlsafe(48), seed=seed) as rig:
        outcome = await rig.run(fps=30, seconds=_SECONDS)
    latencies = outcome.latencies * 1e3
    p99 = float(np.percentile(latencies, 99)) if latencies.size else float("inf")
    worst = float(latencies.max()) if latencies.size else float("inf")
    return [
        Target(name="latency at 30 fps, p99", value=p99, unit="ms", most=50),
        Target(name="latency at 30 fps, worst", value=worst, unit="ms", most=50),
    ]


async def _sends(session: posewire.Session, poses: Sequence[PoseData]) -> list[Target]:
    """A thousand sends at 120 fps: CPU time a second of the whole process, and memory."""
    process = psutil.Process()
    gc.collect()
    memory, cpu, start = process.memory_info().rss, time.process_time(), time.monotonic_ns()
    for number in range(_SENDS):
        await sleep_until(start + int(number * 1e9 / 120))
        await session.send_pose(poses[number % len(poses)], timestamp=time.time())
    share = (time.process_time() - cpu) / ((time.monotonic_ns() - start) / 1e9)
    gc.collect()
    grown = max(0, process.memory_info().rss - memory) / 1e6
    return [
        Target(name=f"CPU of {_SENDS} sends at 120 fps", value=100 * share, unit="% of a core", most=30),
        Target(name=f"memory growth of {_SENDS} sends", value=grown, unit="MB", most=100),
    ]


async def _bandwidth(session: posewire.Session, poses: Sequence[PoseData]) -> Target:
    """Offer more than the limit lets through: exact float32 of the whole body, and some frames must find one waiting.

    Raises:
        WorkerError: This machine cannot offer so much, so the limit was not tried.
    """
    session.sender.set_bandwidth_limit(_LIMIT)
    start = time.monotonic_ns()
    before, number, replaced = session.sender.status().bytes_sent, 0, 0
    while time.monotonic_ns() - start < _SECONDS * 1e9:
        outcome = await session.send_pose(poses[number % len(poses)], timestamp=time.time())
        replaced += outcome is posewire.SendOutcome.REPLACED
        number += 1
        await sleep_until(start + int(number * 1e9 / _FPS))
    rate = (session.sender.status().bytes_sent - before) / ((time.monotonic_ns() - start) / 1e9)
    if replaced < number / 10:
        raise WorkerError(f"{number} frames offered and {replaced} had to wait: the limit of 1 MB/s was not reached")
    name = f"rate under a limit of 1 MB/s, over {_SECONDS:g} s"
    return Target(name=name, value=rate / 1e6, unit="MB/s", least=0.95, most=1.05)


async def _call_cpu(session: posewire.Session, poses: Sequence[PoseData], what: str) -> list[Target]:
    """CPU of ``await session.send_pose(…)``, and of all that gets its turn meanwhile: encoding, sealing, writing."""
    costs = []
    start = time.monotonic_ns()
    for number in range(round(_SECONDS * 120)):
        await sleep_until(start + int(number * 1e9 / 120))
        before = time.thread_time_ns()
        await session.send_pose(poses[number % len(poses)], timestamp=time.time())
        costs.append((time.thread_time_ns() - before) / 1e6)
    figures = {"p50": np.percentile(costs, 50), "p99": np.percentile(costs, 99), "worst": max(costs)}
    return [
        Target(name=f"CPU of a send call, {what}, {name}", value=float(value), unit="ms", most=1)
        for name, value in figures.items()
    ]


def _render(result: dict[str, Any], targets: Sequence[Target]) -> str:
    machine = result["machine"]
    table = [["target", "measured", "at least", "at most", "", ""]]
    for one in targets:
        least = f"{one.least:g}" if one.least else ""
        table.append([one.name, f"{one.value:.3f}", least, f"{one.most:g}", one.unit, "" if one.held else "MISSED"])
    return "\n".join(
        [
            f"targets · {result['date']} · commit {result['commit']}{' + changes' if result['dirty'] else ''}",
            f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}, Python {result['python']}",
            "",
            *align(table, names=0),
        ]
    )
