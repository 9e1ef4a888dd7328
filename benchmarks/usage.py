"""What a run costs the process it is measured in: CPU time, that of its children too, and bytes through TCP."""

from __future__ import annotations

import asyncio
import ctypes
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
    """Wait until the run is over; returns the CPU time over the seconds that count, nanoseconds.

    It is the process's and that of its children, a broker for one. Reads some counters and nothing else: whatever
    takes long here would be latency of the frame that comes meanwhile.
    """
    clocks = _child_clocks()
    begin_ns = run.start_ns + int(run.warmup * 1e9)
    await sleep_until(begin_ns)
    before = _cpu_ns(clocks)
    await sleep_until(begin_ns + int(run.seconds * 1e9))
    return _cpu_ns(clocks) - before


def _cpu_ns(child_clocks: list[int]) -> int:
    return time.process_time_ns() + sum(map(time.clock_gettime_ns, child_clocks))


def _child_clocks() -> list[int]:
    """Return the CPU-time clock of each child: to the nanosecond, where ``/proc`` counts in hundredths of a second.

    Raises:
        OSError: This system does not know the CPU time of another process.
    """
    clocks = []
    for child in psutil.Process().children(recursive=True):
        clock = ctypes.c_int()
        if error := ctypes.CDLL(None).clock_getcpuclockid(child.pid, ctypes.byref(clock)):
            raise OSError(error, os.strerror(error))
        clocks.append(clock.value)
    return clocks


async def measure_machine(run: Run) -> float:
    """Wait until the run is over; returns the CPU seconds the whole machine was busy in the seconds that count."""
    begin_ns = run.start_ns + int(run.warmup * 1e9)
    await sleep_until(begin_ns)
    before = busy_seconds()
    await sleep_until(begin_ns + int(run.seconds * 1e9))
    return busy_seconds() - before


def busy_seconds() -> float:
    """Return the CPU seconds the whole machine was busy since it started."""
    times = psutil.cpu_times()
    idle = {"idle", "iowait", "guest", "guest_nice"}  # guest time is in user time already
    return float(sum(getattr(times, name) for name in times._fields if name not in idle))


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
    if before is None or after is None or after == before:  # it was not TCP that carried the frames
        return Usage(cpu_ns=cpu_ns, tcp_sent=None, tcp_received=None)
    return Usage(cpu_ns=cpu_ns, tcp_sent=after[0] - before[0], tcp_received=after[1] - before[1])
