"""The process that is a link: moves IP packets between two TUN devices. Started by `TunLink`, not by hand.

It ends, and takes namespace and devices with it, when its stdin does: so it never outlives its parent.
"""

from __future__ import annotations

import contextlib
import gc
import io
import os
import select
import signal
import sys
import time
from typing import Final

import msgspec

from benchmarks.netlab.control import Answer, Ask, Change, LinkStats, Open, Play, Request
from benchmarks.netlab.errors import NetlabError
from benchmarks.netlab.line import Line
from benchmarks.netlab.path import parse_path
from benchmarks.netlab.schedule import Side
from benchmarks.netlab.timetable import Timetable
from benchmarks.netlab.tun import TunPair

_STDIN: Final = 0
_MOST_AT_ONCE: Final = 64
"""Packets read from one device before the other has its turn."""
_MTU: Final = 65_535
_IPV4: Final = 4


class Forwarder:
    """Reads packets, asks the two lines what happens to them and when, and writes them out then."""

    def __init__(self, pair: TunPair, setup: Open) -> None:
        self._pair = pair
        self._lines: dict[Side, Line[bytes]] = {
            # Chance of its own each: what one direction carries does not change the other's.
            "up": Line(setup.up, seed=f"{setup.seed}/up"),
            "down": Line(setup.down, seed=f"{setup.seed}/down"),
        }
        self._routes = ((pair.far, self._lines["up"], pair.near), (pair.near, self._lines["down"], pair.far))
        self._timetable = Timetable()
        self._input = b""

    def run(self) -> None:
        """Forward until stdin ends."""
        descriptors = [_STDIN, self._pair.near, self._pair.far]
        while True:
            now = time.monotonic()
            for step in self._timetable.due(now):
                line = self._lines[step.side]
                line.change(now, step.apply(line.path))
            for _, line, target in self._routes:
                for packet in line.take(now):
                    # The device is going down, or the packet is malformed: then it is lost, as on any link.
                    with contextlib.suppress(OSError):
                        os.write(target, packet)
            # select and not epoll: Python's epoll rounds its timeout up to milliseconds.
            ready = select.select(descriptors, (), (), self._patience())[0]
            for source, line, _ in self._routes:
                if source in ready:
                    _read(source, line)
            if _STDIN in ready and not self._listen():
                return

    def _patience(self) -> float | None:
        lines = self._lines.values()
        times = [self._timetable.next_time(), *(line.next_time() for line in lines)]
        known = [moment for moment in times if moment is not None]
        return max(0.0, min(known) - time.monotonic()) if known else None

    def _listen(self) -> bool:
        """Answer requests; returns whether more may come."""
        data = os.read(_STDIN, 1 << 16)
        *requests, self._input = (self._input + data).split(b"\n")
        for request in requests:
            answer(self._obey(msgspec.json.decode(request, type=Request)))
        return bool(data)

    def _obey(self, request: Request) -> Answer:
        match request:
            case Change():
                line = self._lines[request.side]
                line.change(time.monotonic(), request.path or parse_path(request.settings, line.path))
            case Play():
                self._timetable.load(request.steps, request.start)
            case Ask():
                return Answer(stats=LinkStats(up=self._lines["up"].stats, down=self._lines["down"].stats))
            case Open():
                return Answer(error="the link is open already")
        return Answer()


def _read(source: int, line: Line[bytes]) -> None:
    for _ in range(_MOST_AT_ONCE):
        try:
            packet = os.read(source, _MTU)
        except BlockingIOError:
            return
        # The kernel's own chatter (IPv6 neighbours) would shift the chance of the packets under test.
        if packet[0] >> 4 == _IPV4:
            line.offer(time.monotonic(), len(packet), packet)


def answer(message: Answer) -> None:
    """Write one answer."""
    sys.stdout.buffer.write(msgspec.json.encode(message) + b"\n")
    sys.stdout.buffer.flush()


def _be_punctual() -> None:
    """Run before what the link carries, where we may: it must not slow down the link it is measured on."""
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    # Nothing here makes cycles, and a collection in between would be a delay of the link's.
    gc.disable()


def main() -> None:
    """Build the link of the first request, then be it."""
    # The default would end us without taking the namespace down.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    setup = msgspec.json.decode(io.FileIO(_STDIN, closefd=False).readline(), type=Open)
    try:
        pair = TunPair()
    except NetlabError as exc:
        answer(Answer(error=str(exc)))
        return
    try:
        _be_punctual()
        forwarder = Forwarder(pair, setup)
        answer(Answer(namespace=pair.namespace, host=pair.host))
        forwarder.run()
    finally:
        pair.close()


if __name__ == "__main__":
    main()
