"""The publisher of `capacity`: writes finished packets through the real client at a rate. Started, not by hand."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from benchmarks.channel import Channel, loop_factory
from benchmarks.markers import mark
from benchmarks.messages import Flooded, Ready, Run, Setup
from benchmarks.systems import load_relay
from benchmarks.systems.system import Pack, Relay, Write
from benchmarks.usage import sleep_until

_SAMPLES_PER_SECOND: Final = 200
_TURN_NS: Final = 1_000_000
"""Least time between two batches: the grain of the event loop's timer."""


async def _flood(channel: Channel, setup: Setup, system: Relay) -> None:
    async with system.flood(setup.url) as (pack, write):
        channel.answer(Ready())
        while (planned := await channel.next(Run)) is not None:
            packets = _packets(planned, pack)
            channel.answer(Ready())
            run = await channel.next(Run)
            if run is None:
                return
            channel.answer(await _write(run, packets, write))


def _packets(run: Run, pack: Pack) -> list[bytes]:
    every = max(1, round(run.fps / _SAMPLES_PER_SECOND))
    now = time.time()
    return [
        pack(
            mark(run.id, number, counts=number >= run.warmup_frames, sampled=not number % every),
            now + number / run.fps,
        )
        for number in range(run.frames)
    ]


async def _write(run: Run, packets: list[bytes], write: Write) -> Flooded:
    """Write each packet as soon as its time has come; gives up when the run is over."""
    await sleep_until(run.start_ns)
    before = time.process_time_ns()
    over_ns = run.start_ns + int((run.warmup + run.seconds + run.grace) * 1e9)
    sent = 0
    while sent < len(packets) and (now := time.monotonic_ns()) < over_ns:
        due = min(len(packets), int((now - run.start_ns) * run.fps / 1e9) + 1)
        for packet in packets[sent:due]:
            await write(packet)
        sent = due
        # Always a wait: neither the emptying of queues nor the socket gets a turn inside `write`.
        await sleep_until(max(now + _TURN_NS, run.start_ns + int(sent * 1e9 / run.fps)))
    return Flooded(sent=sent, cpu_ns=time.process_time_ns() - before)


def main() -> None:
    """Be the publisher the parent asks for."""
    channel = Channel()
    setup = channel.read_setup()
    system = load_relay(setup.system)
    with asyncio.Runner(loop_factory=loop_factory(system.loop)) as runner:
        runner.run(_flood(channel, setup, system(setup)))


if __name__ == "__main__":
    main()
