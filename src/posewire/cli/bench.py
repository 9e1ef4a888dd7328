"""`posewire bench`: how fast is it here?"""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
from typing import Any

import click
import msgspec

from posewire import clock
from posewire.cli.options import json_option
from posewire.cli.running import run
from posewire.config import Config, ConnectionConfig
from posewire.monitor import percentiles
from posewire.server import serve
from posewire.session import Session, connect
from posewire.sources import Playback, SyntheticMotion
from posewire.version import __version__

ROOM = "bench"


@click.command(epilog="Example:  posewire bench --subscribers 8 --fps 60")
@click.option("--seconds", default=5.0, show_default=True, type=click.FloatRange(0.5, 3600))
@click.option("--subscribers", default=1, show_default=True, type=click.IntRange(1, 200))
@click.option("--fps", default=30.0, show_default=True, type=click.FloatRange(1, 1000))
@json_option
def bench(seconds: float, subscribers: int, fps: float, as_json: bool) -> None:
    """Send a synthetic person over loopback to some subscribers and print how old the poses arrive.

    Server, sender and subscribers share this one process and its core, so the figures are an upper bound. The
    comparisons with other systems are in the repository: python -m benchmarks latency.
    """
    run(_bench(seconds, subscribers, fps, as_json))


async def _bench(seconds: float, subscribers: int, fps: float, as_json: bool) -> None:
    config = Config(socket=ConnectionConfig(max_connections=subscribers + 1))
    ages: list[float] = []
    async with serve(config=config) as server, contextlib.AsyncExitStack() as stack:
        for index in range(subscribers):
            token = server.issue_token(f"subscriber-{index}", room_id=ROOM)
            session = await stack.enter_async_context(connect(server.url, token=token, room=ROOM, config=config))
            stack.push_async_callback(_stop, asyncio.create_task(_collect(session, ages), name="posewire.bench"))
        token = server.issue_token("sender", room_id=ROOM)
        sender = await stack.enter_async_context(connect(server.url, token=token, room=ROOM, config=config))
        started = clock.monotonic()
        offered = 0
        async for frame in Playback(SyntheticMotion(fps), fps=fps, seconds=seconds):
            await sender.send_pose(frame.pose, timestamp=clock.now())
            offered += 1
        await sender.sender.flush()
        elapsed = clock.monotonic() - started
        status = sender.sender.status()
        await asyncio.sleep(0.1)  # the last frames are on their way
    _report(
        as_json,
        offered=offered,
        delivered=len(ages),
        expected=offered * subscribers,
        fps=round(offered / elapsed, 1),
        subscribers=subscribers,
        bytes_per_frame=round(status.bytes_sent / max(1, status.sent), 1),
        age_ms=dict(zip(("p50", "p95", "p99"), (round(age * 1e3, 3) for age in percentiles(ages)), strict=True)),
    )


async def _collect(session: Session, ages: list[float]) -> None:
    async for frame in session.frames():
        ages.append(frame.age)  # noqa: PERF401  # an endless loop; a comprehension would show nothing until its end


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


def _report(as_json: bool, **figures: Any) -> None:
    machine = {
        "posewire": __version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
    }
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode({**figures, "machine": machine})).decode())
        return
    age = figures["age_ms"]
    click.echo(f"{figures['delivered']} of {figures['expected']} frames delivered to {figures['subscribers']}")
    click.echo(f"age  p50 {age['p50']:.2f} ms   p95 {age['p95']:.2f} ms   p99 {age['p99']:.2f} ms")
    click.echo(f"{figures['fps']} frames/s offered, {figures['bytes_per_frame']} bytes a frame on the wire")
