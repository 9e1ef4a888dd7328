"""One direction of a link: rate, buffer, delay, jitter, loss, outage. No I/O, no clock; chance comes from a seed."""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections import deque
from typing import Final, Generic, TypeVar

import msgspec

from benchmarks.netlab.path import Path

RETRANSMISSION_TIMEOUT: Final = 0.2
"""Seconds: what a lost packet costs a byte stream; the least that Linux takes."""

_MOST_UNDER_WAY: Final = 64 << 20
_MOST_OF_STREAMS: Final = 1 << 20
"""Bytes; a long delay without a rate would otherwise hold whatever is offered."""

T = TypeVar("T")


class LineStats(msgspec.Struct, frozen=True, kw_only=True):
    """Totals of one direction since the link was opened."""

    offered_packets: int = 0
    offered_bytes: int = 0
    packets: int = 0
    """That came out at the other end."""
    bytes: int = 0
    dropped_full: int = 0
    """Packets that found the buffer full."""
    dropped_loss: int = 0
    """Packets lost by chance; of a byte stream: stalls of one retransmission timeout."""
    dropped_outage: int = 0
    queued_bytes_max: int = 0
    """Most bytes that waited for the line, the packet on it included."""


class _Packet(Generic[T]):
    __slots__ = ("extra", "item", "lost", "size")

    def __init__(self, size: int, item: T, extra: float, lost: bool) -> None:
        self.size = size
        self.item = item
        self.extra = extra
        self.lost = lost


class Line(Generic[T]):
    """What happens to packets in one direction.

    Two random numbers are drawn for each offered packet, whatever becomes of it: the same seed and the same packets
    lead to the same decisions, and a change of one setting does not shift the chance of another.

    Times are seconds of any clock that does not go back; calls come in the order of time.

    Args:
        path: What it is like.
        seed: Of chance.
        stream: Carries pieces of byte streams, which cannot lose any: a loss delays the packet by
            `RETRANSMISSION_TIMEOUT` and with it those behind it, an outage stops the line.
    """

    def __init__(self, path: Path, *, seed: int | str, stream: bool = False) -> None:
        self.path = path
        self._stream = stream
        self._chance = random.Random(seed)
        self._waiting: deque[_Packet[T]] = deque()
        # Of the packet on the line: bits that had not left at `_head_since`.
        self._head_bits = 0.0
        self._head_since = 0.0
        self._queued = 0
        self._flight: list[tuple[float, int, _Packet[T]]] = []
        self._flight_bytes = 0
        self._numbers = itertools.count()
        self._last_arrival = -math.inf
        self._counts = dict.fromkeys(LineStats.__struct_fields__, 0)

    @property
    def stats(self) -> LineStats:
        """Totals so far."""
        return LineStats(**self._counts)

    def has_room(self, now: float, size: int) -> bool:
        """Return whether a packet of ``size`` bytes would find room. An idle line takes any."""
        self._advance(now)
        if self._flight_bytes + self._queued + size > (_MOST_OF_STREAMS if self._stream else _MOST_UNDER_WAY):
            return False
        if self.path.outage:
            return not self._waiting  # of streams, which wait in their own buffers meanwhile
        return not self._waiting or self._queued + size <= self.path.capacity

    def offer(self, now: float, size: int, item: T) -> bool:
        """Take a packet in; returns whether the line took it, which does not say that it arrives."""
        counts, chance, path = self._counts, self._chance, self.path
        counts["offered_packets"] += 1
        counts["offered_bytes"] += size
        lost, extra = chance.random() < path.loss, chance.random() * path.jitter
        if path.outage and not self._stream:
            counts["dropped_outage"] += 1
            return False
        if not self.has_room(now, size):
            counts["dropped_full"] += 1
            return False
        packet = _Packet(size, item, extra, lost)
        self._waiting.append(packet)
        self._queued += size
        if len(self._waiting) == 1:
            self._head_bits, self._head_since = 8.0 * size, now
        self._advance(now)
        counts["queued_bytes_max"] = max(counts["queued_bytes_max"], self._queued)
        return True

    def take(self, now: float) -> list[T]:
        """Return what has arrived by ``now``, in the order of arrival."""
        self._advance(now)
        items: list[T] = []
        if self.path.outage:
            return items
        while self._flight and self._flight[0][0] <= now:
            packet = heapq.heappop(self._flight)[2]
            self._flight_bytes -= packet.size
            self._counts["packets"] += 1
            self._counts["bytes"] += packet.size
            items.append(packet.item)
        return items

    def next_time(self) -> float | None:
        """Return when something will happen next; None while nothing will."""
        if self.path.outage:
            return None
        times = [self._flight[0][0]] if self._flight else []
        if self._waiting:
            times.append(self._head_done())
        return min(times, default=None)

    def change(self, now: float, path: Path) -> None:
        """Be like ``path`` from ``now`` on. Bits that have left have left; what waits goes at the new rate."""
        self._advance(now)
        if self._waiting:
            self._head_bits, self._head_since = self._bits_left(now), now
        self.path = path
        if path.outage and not self._stream:
            self._counts["dropped_outage"] += len(self._waiting) + len(self._flight)
            self._waiting.clear()
            self._flight.clear()
            self._queued = self._flight_bytes = 0
        self._advance(now)

    def _bits_left(self, now: float) -> float:
        if self.path.outage or self.path.rate is None:
            return self._head_bits
        return max(0.0, self._head_bits - (now - self._head_since) * self.path.rate)

    def _head_done(self) -> float:
        if self.path.outage:
            return math.inf
        return self._head_since + (0.0 if self.path.rate is None else self._head_bits / self.path.rate)

    def _advance(self, now: float) -> None:
        """Let leave what has left by ``now``, each at its own time, however late we are asked."""
        while self._waiting and (left := self._head_done()) <= now:
            packet = self._waiting.popleft()
            self._queued -= packet.size
            self._launch(packet, left)
            if self._waiting:
                # From the end of the one before, not from now: a serialiser that is looked at late does not drift.
                self._head_bits, self._head_since = 8.0 * self._waiting[0].size, left

    def _launch(self, packet: _Packet[T], left: float) -> None:
        arrival = left + self.path.delay + packet.extra
        if packet.lost:
            self._counts["dropped_loss"] += 1
            if not self._stream:
                return
            arrival += RETRANSMISSION_TIMEOUT
        if not self.path.reorder:
            arrival = max(arrival, self._last_arrival)
        self._last_arrival = max(arrival, self._last_arrival)
        heapq.heappush(self._flight, (arrival, next(self._numbers), packet))
        self._flight_bytes += packet.size
