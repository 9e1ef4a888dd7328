"""Clock sync by virtual time: the real filter, clock and pace; the delays are drawn."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

from benchmarks.clocks.cristian import EXCHANGES, Cristian
from benchmarks.clocks.messages import Errors
from benchmarks.clocks.skew import Skew
from posewire.clock import ServerClock
from posewire.flow import Exchange
from posewire.sockets.clock_sync import ClockSync

_LOOK_SECONDS: Final = 0.1
_START: Final = 1.7e9

Delay = Callable[[random.Random], float]

DELAYS: Final[dict[str, Delay]] = {
    "loopback": lambda chance: 50e-6 + chance.random() * 200e-6,
    # Up to 20 ms sooner or later than 60, each way, each message.
    "60 ± 20 ms": lambda chance: 0.040 + chance.random() * 0.040,
    # As on the Internet: seldom far more than the least.
    "30 ms + exp 5 ms": lambda chance: 0.030 + chance.expovariate(200.0),
}
"""Seconds that a message takes in one direction, by the name of the link."""


async def _never() -> Exchange:
    raise AssertionError("exchanges are handed in")


def simulate(delay: Delay, *, offset: float, drift: float, seconds: float, interval: float, seed: int) -> Errors:
    """Return how wrong a session would have been."""
    chance = random.Random(seed)
    skew = Skew(start=_START, epoch=_START, offset=offset, drift=drift)
    sync = ClockSync(_never, interval=interval)
    once, newest = Cristian(once=True), Cristian(once=False)
    estimates: dict[str, ServerClock | Cristian] = {"posewire": sync.clock, "cristian once": once, "cristian": newest}
    now = _START
    times: list[float] = []
    errors: dict[str, list[float]] = {name: [] for name in estimates}

    def exchange() -> Exchange:
        nonlocal now
        asked = now
        there = asked + delay(chance)
        now = there + delay(chance)
        made = asked, round(skew.at(there) * 1e6) / 1e6, now
        once.take(made)
        newest.take(made)
        return made

    sync.take([exchange() for _ in range(EXCHANGES)])
    look = now
    while now < _START + seconds:
        due = now + sync.pause
        while look < due:
            times.append(look - _START)
            for name, estimate in estimates.items():
                errors[name].append(estimate.to_server(look) - skew.at(look))
            look += _LOOK_SECONDS
        now = due
        if not sync.take([exchange()]):
            raise AssertionError("no clock jumped")
    clock = sync.clock
    return Errors(times=times, errors=errors, drift=clock.drift, uncertainty=clock.uncertainty, steps=clock.steps)
