"""How near a link comes to what it should be: ``python -m benchmarks.netlab.accuracy``, about half a minute.

Sends UDP packets of known size over links of known settings and compares. The far side is a process of its own; what
scheduling costs both is in the figures, as it is in every measurement over the link.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from typing import Final

import msgspec
import numpy as np

from benchmarks.netlab.line import LineStats
from benchmarks.netlab.link import open_link
from benchmarks.netlab.path import Path

_HEADERS: Final = 28
"""Bytes of IP and UDP."""

FAR: Final = """
import socket, sys, time
host, port, count, size, gap = sys.argv[1], *map(float, sys.argv[2:])
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.connect((host, int(port)))
start = time.monotonic()
for number in range(int(count)):
    time.sleep(max(0, start + number * gap - time.monotonic()))
    stamp = time.monotonic_ns().to_bytes(8, "big") + number.to_bytes(4, "big")
    sock.send(stamp.ljust(int(size) - 28, b"."))
"""
"""Sends numbered, stamped packets of an IP size, one every so many seconds."""


class Flow(msgspec.Struct, frozen=True, kw_only=True):
    """Packets that came: number, seconds under way, second of arrival, each in order of arrival."""

    numbers: list[int]
    ages: list[float]
    arrivals: list[float]


async def measure_flow(path: Path, *, count: int, size: int, gap: float, seed: int = 1) -> Flow:
    """Send ``count`` packets of ``size`` bytes (IP) up a link, one every ``gap`` seconds; waits for the last."""
    flow = Flow(numbers=[], ages=[], arrivals=[])
    async with open_link(up=path, seed=seed, kind="tun") as link:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
            sock.bind((link.host, 0))
            sock.setblocking(False)
            asyncio.get_running_loop().add_reader(sock, _note, sock, flow)
            argv = (link.host, sock.getsockname()[1], count, size, gap)
            process = await asyncio.create_subprocess_exec(*link.command, sys.executable, "-c", FAR, *map(str, argv))
            await process.wait()
            # What is still under way, or waits: asked of the link, not slept for.
            async with asyncio.timeout(10 + path.delay + path.jitter + path.buffer):
                while not _complete((await link.stats()).up, count, len(flow.numbers)):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            asyncio.get_running_loop().remove_reader(sock)
    return flow


def _complete(stats: LineStats, count: int, came: int) -> bool:
    dropped = stats.dropped_full + stats.dropped_loss + stats.dropped_outage
    return stats.offered_packets >= count and came >= stats.packets >= count - dropped


def _note(sock: socket.socket, flow: Flow) -> None:
    while True:
        try:
            data = sock.recv(65_536)
        except BlockingIOError:
            return
        now = time.monotonic_ns()
        flow.arrivals.append(now / 1e9)
        flow.ages.append((now - int.from_bytes(data[:8], "big")) / 1e9)
        flow.numbers.append(int.from_bytes(data[8:12], "big"))


async def _delays() -> None:
    for delay in (0.0, 0.005, 0.025, 0.2):
        flow = await measure_flow(Path(delay=delay), count=200, size=600, gap=0.01)
        p50, p99 = np.percentile(np.array(flow.ages) * 1e3, (50, 99))
        print(
            f"delay {delay * 1e3:g} ms: one way p50 {p50:.2f} ms, p99 {p99:.2f} ms, most {max(flow.ages) * 1e3:.2f} ms"
        )


async def _rates() -> None:
    for rate, size, seconds in ((32e3, 300, 4), (128e3, 600, 4), (1e6, 1200, 3), (20e6, 1400, 2), (100e6, 1400, 2)):
        gap = size * 8 / rate / 1.5  # half as much again as fits
        flow = await measure_flow(Path(rate=rate), count=int(seconds / gap), size=size, gap=gap)
        seen = (len(flow.arrivals) - 1) * size * 8 / (flow.arrivals[-1] - flow.arrivals[0])
        print(
            f"rate {rate / 1e3:g} kbit/s: {seen / 1e3:.2f} kbit/s seen ({100 * (seen / rate - 1):+.2f} %), "
            f"age of the last quarter {np.median(flow.ages[-len(flow.ages) // 4 :]) * 1e3:.0f} ms of a buffer of 400 ms"
        )


async def _losses() -> None:
    for loss in (0.02, 0.1):
        flow = await measure_flow(Path(loss=loss), count=5000, size=200, gap=0.0002)
        print(f"loss {loss:.1%}: {1 - len(flow.numbers) / 5000:.2%} seen of 5,000 packets")
    flow = await measure_flow(Path(delay=0.02, jitter=0.02), count=300, size=200, gap=0.01)
    low, middle, high = np.percentile(np.array(flow.ages) * 1e3, (1, 50, 99))
    print(f"delay 20 ms, jitter 20 ms, packets 10 ms apart: p1 {low:.2f}, p50 {middle:.2f}, p99 {high:.2f} ms")


async def _main() -> None:
    await _delays()
    await _rates()
    await _losses()


if __name__ == "__main__":
    asyncio.run(_main())
