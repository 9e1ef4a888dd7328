"""A link that exists only on paper: a rate, a delay, a buffer; and a sender that goes by a credit window."""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable

import msgspec

from posewire.flow import CreditWindow

STEP = 0.001
"""Seconds from one look to the next."""
ACK_DELAY = 0.02


class Delivery(msgspec.Struct):
    """A packet that came: when it was due, when it left, when it came."""

    due: float
    left: float
    came: float
    size: int

    @property
    def age(self) -> float:
        return self.came - self.due


class VirtualLink:
    """A bottleneck with a long buffer, one way; acknowledgements come back after the delay, held up to 20 ms."""

    def __init__(self, rate: Callable[[float], float], delay: float, *, jitter: float = 0.0) -> None:
        self.rate = rate
        self.jitter = jitter
        """Seconds a packet may take longer, each way; none overtakes another."""
        self._chance = random.Random(5)
        self._last_arrival = self._last_ack = 0.0
        self.delay = delay
        self.now = 100.0
        self.start = self.now
        self.window = CreditWindow()
        self.deliveries: list[Delivery] = []
        self._free = self.now
        self._coming: list[tuple[float, int, float, float]] = []
        self._acks: deque[tuple[float, int, float]] = deque()
        self._came = 0
        self._ack_at: float | None = None
        self._last_came = 0.0

    def send(self, size: int, due: float) -> None:
        self.window.sent(size, self.now)
        self._free = max(self._free, self.now) + size / self.rate(self.now - self.start)
        self._last_arrival = max(self._last_arrival, self._free + self.delay + self._extra())
        heapq.heappush(self._coming, (self._last_arrival, size, due, self.now))

    def step(self) -> None:
        self.now += STEP
        while self._coming and self._coming[0][0] <= self.now:
            came, size, due, left = heapq.heappop(self._coming)
            self.deliveries.append(Delivery(due, left, came, size))
            self._came += size
            self._last_came = came
            if self._ack_at is None:
                self._ack_at = came + ACK_DELAY
        if self._ack_at is not None and self._ack_at <= self.now:
            self._last_ack = max(self._last_ack, self._ack_at + self.delay + self._extra())
            self._acks.append((self._last_ack, self._came, self._ack_at - self._last_came))
            self._ack_at = None
        while self._acks and self._acks[0][0] <= self.now:
            _, total, held = self._acks.popleft()
            assert self.window.acknowledged(total, self.now, held)

    def _extra(self) -> float:
        return self.jitter * self._chance.random() if self.jitter else 0.0

    def stream(self, seconds: float, size: int, interval: float) -> None:
        """Offer a packet every ``interval``; the newest one goes as soon as the window lets it."""
        newest: float | None = None
        due = self.now
        end = self.now + seconds
        while self.now < end:
            if self.now >= due:
                newest, due = due, due + interval
            if newest is not None and self.window.takes(size, self.now):
                self.send(size, newest)
                newest = None
            self.step()
