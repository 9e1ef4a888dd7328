"""What a run costs the process it is measured in: CPU time, and bytes through TCP."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import struct
import sys
import time
from typing import Final

import psutil

from benchmarks.messages import Run, Usage

# struct tcp_info of linux/tcp.h: tcpi_bytes_acked and tcpi_bytes_received, u64 each.
_TCP_INFO_BYTES: Final = 136
_COUNTERS: Final = struct.Struct("=120xQQ")


async def sleep_until(at_ns: int) -> None:
    """Sleep until a time of ``time.monotonic_ns``; at once when it is past."""
    await asyncio.sleep(max(0, at_ns - time.monotonic_ns()) / 1e9)


async def measure(run: Run) -> int:
    """Wait until the run is over; returns the process's CPU time over the seconds that count, nanoseconds.

    Reads two counters and nothing else: whatever takes long here would be latency of the frame that comes meanwhile.
    """
    begin_ns = run.start_ns + int(run.warmup * 1e9)
    await sleep_until(begin_ns)
    before = time.process_time_ns()
    await sleep_until(begin_ns + int(run.seconds * 1e9))
    return time.process_time_ns() - before


async def measure_machine(run: Run) -> float:
    """Wait until the run is over; returns the CPU seconds the whole machine was busy in the seconds that count."""
    begin_ns = run.start_ns + int(run.warmup * 1e9)
    await sleep_until(begin_ns)
    before = psutil.cpu_times()
    await sleep_until(begin_ns + int(run.seconds * 1e9))
    after = psutil.cpu_times()
    idle = {"idle", "iowait", "guest", "guest_nice"}  # guest time is in user time already
    return float(sum(getattr(after, name) - getattr(before, name) for name in after._fields if name not in idle))


def tcp_bytes() -> tuple[int, int] | None:
    """Return bytes sent (and acknowledged) and received through this process's TCP sockets; None where unknown."""
    if not sys.platform.startswith("linux"):
        return None
    sent = received = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            copy = os.dup(int(name))
        except OSError:
            continue  # the descriptor of the listing itself
        if not stat.S_ISSOCK(os.fstat(copy).st_mode):
            os.close(copy)
            continue
        with socket.socket(fileno=copy) as sock:
            if sock.family not in (socket.AF_INET, socket.AF_INET6) or sock.type != socket.SOCK_STREAM:
                continue
            info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
            if len(info) < _TCP_INFO_BYTES:
                return None
            acknowledged, got = _COUNTERS.unpack_from(info)
            sent += acknowledged
            received += got
    return sent, received


def usage(cpu_ns: int, before: tuple[int, int] | None) -> Usage:
    """Return what a run cost: its CPU time and the bytes since ``before``."""
    after = tcp_bytes()
    if before is None or after is None:
        return Usage(cpu_ns=cpu_ns, tcp_sent=None, tcp_received=None)
    return Usage(cpu_ns=cpu_ns, tcp_sent=after[0] - before[0], tcp_received=after[1] - before[1])
