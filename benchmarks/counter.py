"""The subscribers of `capacity`: connected by the real client, then only counted. Started, not by hand.

A subscriber that decodes would be what is measured long before the server. So each connects as ever, handshake and
room and all; then the event loop stands still, for good, and this program reads the sockets itself and counts the
marks in the bytes. It is the same program for every system, and knows nothing of their framing.
"""

from __future__ import annotations

import array
import asyncio
import os
import socket
import stat
import time
from contextlib import AsyncExitStack
from typing import Final

from benchmarks.channel import Channel, loop_factory
from benchmarks.markers import MarkReader
from benchmarks.messages import Counted, Ready, Run, Setup
from benchmarks.systems import System, load
from benchmarks.systems.addresses import port

_SWEEP_SECONDS: Final = 0.002
"""Between two looks at all sockets: reading each packet by itself would cost more than the packets."""
_READ_BYTES: Final = 1 << 20


async def _connect(setup: Setup, system: System, stack: AsyncExitStack) -> None:
    for offset in range(setup.subscribers):
        await stack.enter_async_context(
            system.subscribe(setup.url, setup.first_subscriber + offset, lambda _pose: None)
        )


def _connections(port: int) -> list[socket.socket]:
    """Return copies of this process's TCP sockets that are connected to ``port``."""
    # By address: the number of the listing's own descriptor is free again, and may be that of our first copy.
    found: dict[object, socket.socket] = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            copy = os.dup(int(name))
        except OSError:
            continue
        if not stat.S_ISSOCK(os.fstat(copy).st_mode):
            os.close(copy)
            continue
        sock = socket.socket(fileno=copy)
        try:
            wanted = sock.family == socket.AF_INET and sock.getpeername()[1] == port
        except OSError:
            wanted = False
        if wanted and sock.getsockname() not in found:
            sock.setblocking(False)
            found[sock.getsockname()] = sock
        else:
            sock.close()
    return list(found.values())


def _count(sockets: list[socket.socket], run: Run) -> Counted:
    readers = [MarkReader(run.id) for _ in sockets]
    numbers, times = array.array("q"), array.array("q")
    before = time.process_time_ns()
    over_ns = run.start_ns + int((run.warmup + run.seconds + run.grace) * 1e9)
    while (now := time.monotonic_ns()) < over_ns:
        for sock, reader in zip(sockets, readers, strict=True):
            try:
                data = sock.recv(_READ_BYTES)
            except BlockingIOError:
                continue
            if not data:
                raise ConnectionResetError("the server closed the connection of a subscriber")
            came = time.monotonic_ns()
            for number in reader.feed(data):
                numbers.append(number)
                times.append(came)
        time.sleep(max(0.0, _SWEEP_SECONDS - (time.monotonic_ns() - now) / 1e9))
    return Counted(
        counts=[reader.count for reader in readers],
        numbers=numbers.tobytes(),
        times=times.tobytes(),
        cpu_ns=time.process_time_ns() - before,
    )


def main() -> None:
    """Be the subscribers the parent asks for."""
    channel = Channel()
    setup = channel.read_setup()
    system = load(setup.system)
    runner = asyncio.Runner(loop_factory=loop_factory(system.loop))
    stack = AsyncExitStack()
    runner.run(_connect(setup, system(setup), stack))
    sockets = _connections(port(setup.url))
    if len(sockets) != setup.subscribers:
        raise RuntimeError(f"{len(sockets)} TCP connections, expected one each of {setup.subscribers} subscribers")
    channel.answer(Ready())
    while (run := channel.read(Run)) is not None:
        channel.answer(_count(sockets, run))
    # No goodbye: bytes that were read here are missing in the clients' streams.
    os._exit(0)


if __name__ == "__main__":
    main()
