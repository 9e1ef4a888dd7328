"""What watching costs: one `update` of the monitor, and the CPU of sending with monitoring on against off."""

from __future__ import annotations

import argparse
import asyncio
import random
import secrets
import statistics
import sys
import time
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np

import posewire
from benchmarks.channel import loop_factory
from benchmarks.machine import provenance, save, to_json
from benchmarks.messages import Setup
from benchmarks.motion import load_motion
from benchmarks.options import at_least_one, common_options, positive
from benchmarks.process import Process, WorkerError
from benchmarks.rig import close_all
from benchmarks.systems.posewire import Posewire
from benchmarks.systems.system import Loop
from benchmarks.table import align
from benchmarks.usage import sleep_until

_LIBRARIES: Final = ("ddsketch", "psutil", "msgspec", "numpy", "uvloop")
_BAR_US: Final = 2.0
_BAR_SHARE: Final = 0.03
_LOOPS: Final[tuple[Loop, ...]] = ("asyncio", "uvloop")
_BATCH: Final = 1000


class Update(msgspec.Struct, frozen=True, kw_only=True):
    """Microseconds of a call of `PerformanceMonitor.update`."""

    mean: float
    """CPU, of batches, with the folding into the histogram that every 512th call does when no sampler runs."""
    p50: float
    p95: float
    p99: float

    @property
    def held(self) -> bool:
        """Whether both the mean and p99 are within the bar."""
        return self.mean <= _BAR_US and self.p99 <= _BAR_US


class Sending(msgspec.Struct, frozen=True, kw_only=True):
    """CPU of a process that sends, with monitoring on and off by turns on the same connection."""

    loop: Loop
    off_us: float
    """Microseconds a frame: the median."""
    on_us: float
    shares: list[float]
    """What was more with monitoring on, of what it is without, for each pair of turns."""

    @property
    def share(self) -> float:
        """Their median."""
        return statistics.median(self.shares)

    @property
    def held(self) -> bool:
        """Whether it is within the bar."""
        return self.share <= _BAR_SHARE


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark; returns the exit code: 1 when a bar is missed."""
    options = _parse(arguments)
    update = _update(options.calls, options.seed)
    sending = []
    try:
        for loop in options.loops:
            with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
                sending.append(runner.run(_sending(loop, options)))
    except WorkerError as exc:
        print(f"monitor: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    settings = {name: getattr(options, name) for name in ("calls", "pairs", "seconds", "fps", "seed")}
    result: dict[str, Any] = {"benchmark": "monitor", **provenance(_LIBRARIES), "settings": settings}
    result["update"] = msgspec.to_builtins(update) | {"bar_us": _BAR_US, "held": update.held}
    result["sending"] = [
        msgspec.to_builtins(each) | {"share": each.share, "bar": _BAR_SHARE, "held": each.held} for each in sending
    ]
    print(to_json(result).decode() if options.json else _render(result, update, sending))
    if options.save:
        print(f"saved to {save('monitor', result)}", file=sys.stderr)
    return 0 if update.held and all(each.held for each in sending) else 1


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks monitor", description=__doc__)
    parser.add_argument("--calls", type=at_least_one, default=200_000, help="of update (default: %(default)s)")
    parser.add_argument("--pairs", type=at_least_one, default=16, help="of turns, on and off (default: %(default)s)")
    parser.add_argument("--seconds", type=positive, default=4.0, help="of a turn (default: %(default)g)")
    parser.add_argument("--fps", type=positive, default=30.0, help="default: %(default)g")
    parser.add_argument("--loops", default=",".join(_LOOPS), help="default: %(default)s")
    common_options(parser)
    options = parser.parse_args(arguments)
    options.loops = options.loops.split(",")
    if strange := set(options.loops) - set(_LOOPS):
        parser.error(f"--loops {strange.pop()}: expected some of {', '.join(_LOOPS)}")
    return options


def _update(calls: int, seed: int) -> Update:
    """Time calls one by one, less what timing costs, and in batches, which no timer disturbs, by CPU time."""
    chance = random.Random(seed)
    latencies = [chance.lognormvariate(-6.0, 1.0) for _ in range(_BATCH)]
    clock = time.perf_counter_ns
    monitor = posewire.PerformanceMonitor()
    nothing, single = [], []
    for index in range(calls):
        latency = latencies[index % _BATCH]
        began = clock()
        ended = clock()
        nothing.append(ended - began)
        began = clock()
        monitor.update(True, latency)
        ended = clock()
        single.append(ended - began)
    monitor = posewire.PerformanceMonitor()
    batches = []
    for _ in range(max(1, calls // _BATCH)):
        began = time.thread_time_ns()
        for latency in latencies:
            monitor.update(True, latency)
        batches.append((time.thread_time_ns() - began) / _BATCH)
    p50, p95, p99 = (np.percentile(single, (50, 95, 99)) - statistics.median(nothing)) / 1e3
    return Update(mean=statistics.fmean(batches) / 1e3, p50=float(p50), p95=float(p95), p99=float(p99))


async def _sending(loop: Loop, options: argparse.Namespace) -> Sending:
    setup = Setup(system="posewire", role="server", secret=secrets.token_urlsafe(48), seed=options.seed, members=2)
    server = await Process.start(setup)
    try:
        setup = msgspec.structs.replace(setup, url=await server.ready())
        async with Posewire(setup).session(setup.url, "publisher") as session:
            return await _turns(session, loop, options)
    finally:
        await close_all([server])


async def _turns(session: posewire.Session, loop: Loop, options: argparse.Namespace) -> Sending:
    motion, chance = load_motion(options.seed), random.Random(options.seed)
    settle = session.config.monitor.sample_interval / 1000
    """The sampler sees at its next look that monitoring was turned on or off."""

    async def pace(seconds: float) -> int:
        """Send for so long; returns how many frames."""
        frames: int = max(1, round(seconds * options.fps))
        start = time.monotonic_ns()
        for number in range(frames):
            await sleep_until(start + int(number * 1e9 / options.fps))
            await session.send_pose(motion.frame(0, number))
        await sleep_until(start + int(frames * 1e9 / options.fps))
        return frames

    async def turn(on: bool) -> float:
        """Return the microseconds of CPU a frame took."""
        (session.monitor.start if on else session.monitor.stop)()
        await pace(settle)
        before = time.process_time_ns()
        frames = await pace(options.seconds)
        return (time.process_time_ns() - before) / frames / 1e3

    await turn(True)  # everything is loaded and warm
    costs: dict[bool, list[float]] = {True: [], False: []}
    for pair in range(options.pairs):
        order = [True, False]
        chance.shuffle(order)
        for on in order:
            costs[on].append(await turn(on))
        print(f"{loop} {pair + 1} of {options.pairs}", file=sys.stderr)
    shares = [on / off - 1 for on, off in zip(costs[True], costs[False], strict=True)]
    return Sending(
        loop=loop, off_us=statistics.median(costs[False]), on_us=statistics.median(costs[True]), shares=shares
    )


def _render(result: dict[str, Any], update: Update, sending: Sequence[Sending]) -> str:
    settings, machine = result["settings"], result["machine"]
    figures = f"mean {update.mean:.2f}  p50 {update.p50:.2f}  p95 {update.p95:.2f}  p99 {update.p99:.2f}"
    turns = f"{settings['pairs']} pairs of turns of {settings['seconds']:g} s"
    lines = [
        f"monitor · {result['date']} · commit {result['commit']}{' + changes' if result['dirty'] else ''}",
        f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}, Python {result['python']}",
        "",
        f"update, µs, {settings['calls']} calls: {figures}  bar {_BAR_US:g}{'' if update.held else '  MISSED'}",
        "",
        f"CPU of sending {settings['fps']:g} frames/s, monitoring off and on, {turns}",
    ]
    table = [["loop", "off µs/frame", "on µs/frame", "more", "quartiles", "bar", ""]]
    for each in sending:
        low, _, high = statistics.quantiles(each.shares, n=4) if len(each.shares) > 1 else each.shares * 3
        quartiles = f"{low:+.1%} to {high:+.1%}"
        verdict = "" if each.held else "MISSED"
        bar = f"{_BAR_SHARE:.0%}"
        table.append(
            [each.loop, f"{each.off_us:.1f}", f"{each.on_us:.1f}", f"{each.share:+.1%}", quartiles, bar, verdict]
        )
    return "\n".join([*lines, *align(table, names=0)])
