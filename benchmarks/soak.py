"""A million frames, then minutes at 120 fps with members coming and going: does anything grow?"""

from __future__ import annotations

import argparse
import asyncio
import random
import secrets
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec

from benchmarks.machine import provenance, save, to_json
from benchmarks.messages import Ready, Role, Setup
from benchmarks.options import at_least_one, common_options, not_negative, positive
from benchmarks.process import Process, WorkerError
from benchmarks.rig import close_all
from benchmarks.soak_judgement import MAX_GROWTH, SETTLE_SECONDS, Growth, Sample, judge
from benchmarks.soak_messages import Order, Vitals
from benchmarks.table import align

_LIBRARIES: Final = ("python-socketio", "python-engineio", "aiohttp", "msgspec", "numpy", "uvloop")
_LOOK_SECONDS: Final = 10.0
_QUICK_LOOK_SECONDS: Final = 1.0
"""In a flood that is over before there are samples enough."""
_STALL_SECONDS: Final = 60.0
_SUBSCRIBERS: Final = 2
_GUESTS: Final = 5
"""Members that come and go, on average: all of them may leave before the next comes."""
_ROLES: Final[tuple[Role, ...]] = ("server", "publisher", "subscribers", "members")


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark; returns the exit code: 1 when something grew."""
    options = _parse(arguments)
    try:
        samples = asyncio.run(_soak(options))
    except WorkerError as exc:
        print(f"soak: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    growths = judge(samples)
    settings = {"frames": options.frames, "minutes": options.minutes, "fps": options.fps, "seed": options.seed}
    result: dict[str, Any] = {"benchmark": "soak", **provenance(_LIBRARIES), "settings": settings}
    result["growths"] = [msgspec.to_builtins(one) | {"rss": one.rss, "held": one.held} for one in growths]
    result["samples"] = msgspec.to_builtins(samples)
    print(to_json(result).decode() if options.json else _render(result, growths, samples))
    if options.save:
        print(f"saved to {save('soak', result)}", file=sys.stderr)
    return 0 if all(growth.held for growth in growths) else 1


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks soak", description=__doc__)
    parser.add_argument("--frames", type=at_least_one, default=1_000_000, help="of the flood (default: %(default)s)")
    parser.add_argument("--minutes", type=not_negative, default=20.0, help="after it (default: %(default)s)")
    parser.add_argument("--fps", type=positive, default=120.0, help="of those minutes (default: %(default)s)")
    common_options(parser)
    return parser.parse_args(arguments)


class _Soak:
    """The processes, and what was seen of them."""

    def __init__(self, processes: dict[Role, Process]) -> None:
        self.samples: list[Sample] = []
        self._processes = processes

    async def order(self, role: Role, order: Order) -> None:
        """Have a process do something and wait until it is done."""
        await self._processes[role].ask(order, Ready)

    async def look(self, phase: str, at: float) -> Vitals:
        """Look at all processes; returns the publisher's figures."""
        look = Order(action="look")
        seen = {role: await process.ask(look, Vitals) for role, process in self._processes.items()}
        for role, vitals in seen.items():
            fields = {name: getattr(vitals, name) for name in ("rss", "tasks", "descriptors", "frames", "lost")}
            self.samples.append(Sample(phase=phase, role=role, at=at, **fields))
        texts = [
            f"{role} {vitals.rss / 2**20:.1f} MB {vitals.tasks}/{vitals.descriptors} {vitals.frames}-{vitals.lost}"
            for role, vitals in seen.items()
        ]
        print(f"{phase} {at:5.0f} s: {', '.join(texts)}", file=sys.stderr)
        return seen["publisher"]

    async def flood(self, frames: int) -> None:
        """Send ``frames``, as fast as they are taken, with nobody coming or going."""
        start = progress = time.monotonic()
        await self.order("publisher", Order(action="flood", frames=frames))
        sent = 0
        while True:
            elapsed = time.monotonic() - start
            await asyncio.sleep(_QUICK_LOOK_SECONDS if elapsed < _LOOK_SECONDS else _LOOK_SECONDS)
            vitals = await self.look("flood", time.monotonic() - start)
            if not vitals.busy:
                return
            now = time.monotonic()
            if vitals.frames > sent:
                sent, progress = vitals.frames, now
            elif now - progress > _STALL_SECONDS:
                raise WorkerError(f"the flood stands still at {sent} frames")

    async def visits(self, minutes: float, fps: float, chance: random.Random) -> None:
        """Send at a rate while a member comes or goes every second; as many are there at each look."""
        for _ in range(_GUESTS):
            await self.order("members", Order(action="join"))
        await self.order("publisher", Order(action="pace", fps=fps))
        start = time.monotonic()
        actions: list[Order] = []
        pairs = round(_LOOK_SECONDS / 2)
        for second in range(1, round(minutes * 60) + 1):
            await asyncio.sleep(max(0.0, start + second - time.monotonic()))
            if not actions:
                actions = [Order(action="join")] * pairs + [Order(action="leave")] * pairs
                chance.shuffle(actions)
            await self.order("members", actions.pop())
            if not actions:
                await self.look("visits", time.monotonic() - start)
        await self.order("publisher", Order(action="stop"))


async def _soak(options: argparse.Namespace) -> list[Sample]:
    async with _open(options.seed) as soak:
        await soak.flood(options.frames)
        await soak.visits(options.minutes, options.fps, random.Random(options.seed))
        return soak.samples


@asynccontextmanager
async def _open(seed: int) -> AsyncIterator[_Soak]:
    secret = secrets.token_urlsafe(48)
    processes: dict[Role, Process] = {}
    url = ""
    try:
        for role in _ROLES:
            setup = Setup(
                system="posewire",
                role=role,
                secret=secret,
                seed=seed,
                members=_SUBSCRIBERS,
                url=url,
                subscribers=_SUBSCRIBERS,
            )
            processes[role] = await Process.start(setup, "benchmarks.soak_worker")
            url = await processes[role].ready() or url
        yield _Soak(processes)
    except BaseException:
        for process in processes.values():
            process.kill()
        raise
    finally:
        await close_all(list(processes.values()))


def _render(result: dict[str, Any], growths: Sequence[Growth], samples: Sequence[Sample]) -> str:
    settings, machine = result["settings"], result["machine"]
    lines = [
        f"soak · {result['date']} · commit {result['commit']}{' + changes' if result['dirty'] else ''}",
        f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}, Python {result['python']}",
        f"flood: {settings['frames']} frames; visits: {settings['minutes']:g} min at {settings['fps']:g} fps,",
        f"a member comes or goes every second; {_SUBSCRIBERS} subscribers stay",
        f"growth from {SETTLE_SECONDS:g} s after a phase began to its end; may be: {MAX_GROWTH / 2**20:g} MB, no task,",
        "no descriptor",
        "",
    ]
    table = [["phase", "role", "seconds", "MB", "to MB", "grew", "tasks", "descriptors", ""]]
    for one in growths:
        sizes = [f"{size / 2**20:.2f}" for size in (one.rss_first, one.rss_last, one.rss)]
        counts = [f"{one.tasks_first} to {one.tasks_last}", f"{one.descriptors_first} to {one.descriptors_last}"]
        verdict = ("" if one.held else "GREW") + ("" if one.settled else " (too short to judge)")
        table.append([one.phase, one.role, f"{one.seconds:.0f}", *sizes, *counts, verdict])
    lines += [*align(table, names=1), ""]
    last = {(sample.phase, sample.role): sample for sample in samples}
    for (phase, role), sample in last.items():
        if role != "members":
            lines.append(f"by the end of {phase}: {role}: {sample.frames} frames, {sample.lost} lost")
    return "\n".join(lines)
