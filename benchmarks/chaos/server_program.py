"""The program that servers are forked from: Posewire is imported once, and a restart takes milliseconds.

    python -m benchmarks.chaos.server_program FD

FD is a Unix socket. Each message on it is a `Spec` and, as a passed descriptor, the socket that the new server is told
what to do on and answers on, a line of JSON each. Ends, with the servers it has, when FD ends.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import sys

import msgspec

import posewire
from benchmarks.chaos.census import census
from benchmarks.chaos.server_messages import MAX_MESSAGE, Ask, Look, Spec, Started, snapshot_of
from benchmarks.chaos.stall_watch import StallWatch


def main() -> None:
    """Fork servers until the socket ends."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # killed servers are reaped by the kernel
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's; we end with it
    gc.collect()
    gc.freeze()
    with socket.socket(fileno=int(sys.argv[1])) as orders:
        while True:
            message, descriptors, _, _ = socket.recv_fds(orders, MAX_MESSAGE, 1)
            if not message:
                return
            (descriptor,) = descriptors
            if os.fork() == 0:
                orders.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                asyncio.run(_serve(msgspec.json.decode(message, type=Spec), socket.socket(fileno=descriptor)))
                return
            os.close(descriptor)


async def _serve(spec: Spec, sock: socket.socket) -> None:
    reader, writer = await asyncio.open_connection(sock=sock)
    config = msgspec.convert(spec.config, posewire.Config)
    async with StallWatch() as watch, posewire.serve(port=spec.port, config=config) as server:
        writer.write(msgspec.json.encode(Started(pid=os.getpid(), port=server.port)) + b"\n")
        while line := await reader.readline():
            msgspec.json.decode(line, type=Ask)
            writer.write(msgspec.json.encode(_look(server, watch)) + b"\n")
    writer.close()


def _look(server: posewire.Server, watch: StallWatch) -> Look:
    gc.collect()
    return Look(
        census=census(server),
        tasks=sorted(task.get_name() for task in asyncio.all_tasks()),
        descriptors=len(os.listdir("/proc/self/fd")),
        stall=watch.longest,
        connections=server.stats().connections,
        rooms={name: snapshot_of(room.state) for name, room in server._reception.rooms.rooms.items()},
    )


if __name__ == "__main__":
    main()
