"""A process of `clock`: a server whose clock is off, or a session that does not know. ``python -m …worker``.

It is told a `Job`, answers once, and ends with stdin.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Final

import uvloop

import posewire
from benchmarks.channel import Channel
from benchmarks.clocks.cristian import EXCHANGES, Cristian
from benchmarks.clocks.messages import Errors, Job, Listening
from posewire import clock
from posewire.protocol import control
from posewire.server.token_authority import TokenAuthority

_LOOK_SECONDS: Final = 0.05
_USER: Final = "clock"


async def _serve(channel: Channel, job: Job, config: posewire.Config) -> None:
    async with posewire.serve(job.host, 0, config=config) as server:
        channel.answer(Listening(port=server.port))
        while await channel.next(Job) is not None:
            pass


async def _look(channel: Channel, job: Job, config: posewire.Config) -> None:
    token = TokenAuthority.from_config(config.security).issue(_USER)
    async with posewire.connect(job.url, token=token, config=config) as session, asyncio.TaskGroup() as group:
        once, newest = Cristian(once=True), Cristian(once=False)
        estimates: dict[str, clock.ServerClock | Cristian] = {
            "posewire": session.socket.clock,
            "cristian once": once,
            "cristian": newest,
        }
        asking = group.create_task(_ask(session, once, newest), name="clock.ask")
        started, times = clock.monotonic(), list[float]()
        errors: dict[str, list[float]] = {name: [] for name in estimates}
        while clock.monotonic() < started + job.seconds:
            await asyncio.sleep(_LOOK_SECONDS)
            now, local = clock.monotonic(), clock.now()
            times.append(now - started)
            for name, estimate in estimates.items():
                errors[name].append(estimate.to_server(local) - job.skew.at(now))
        asking.cancel()
        server = session.socket.clock
        channel.answer(
            Errors(
                times=times,
                errors=errors,
                drift=server.drift,
                uncertainty=server.uncertainty,
                steps=server.steps,
                round_trip=session.socket.status.round_trip,
            )
        )


async def _ask(session: posewire.Session, *estimates: Cristian) -> None:
    """Make exchanges as often as the session does while it begins."""
    count = 0
    while True:
        asked = clock.now()
        server_us = await session.socket.request(control.Heartbeat(), int)
        for estimate in estimates:
            estimate.take((asked, server_us / 1e6, clock.now()))
        count += 1
        if count >= EXCHANGES:
            await asyncio.sleep(0.5)


async def _run(channel: Channel, job: Job) -> None:
    # The link may be one that leaves the machine, as far as a session can see.
    security = posewire.SecurityConfig(secret_key=job.secret, encryption_enabled=False)
    await (_serve if job.role == "server" else _look)(channel, job, posewire.Config(security=security))


def main() -> None:
    """Be what the parent says."""
    channel = Channel()
    job = channel.read(Job)
    if job is None:
        sys.exit()  # the parent gave up
    if job.role == "server":
        # The seam: whoever wants the time calls `clock.now()`. This process has another clock, from the beginning on.
        clock.now = lambda: job.skew.at(clock.monotonic())
    uvloop.run(_run(channel, job))


if __name__ == "__main__":
    main()
