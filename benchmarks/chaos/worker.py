"""A process of `chaos`: plays one schedule after the other. Started by `benchmarks.process`."""

from __future__ import annotations

import asyncio
import time

from benchmarks.channel import Channel
from benchmarks.chaos.clock_steps import steppable_clocks
from benchmarks.chaos.messages import Play
from benchmarks.chaos.plan import make_plan
from benchmarks.chaos.server_process import ServerNursery
from benchmarks.chaos.tally import Verdict, verdict_of
from benchmarks.chaos.world import play
from benchmarks.messages import Ready


def main() -> None:
    """Play what the parent says."""
    channel = Channel()
    channel.read_setup()
    channel.answer(Ready())
    with ServerNursery() as nursery, steppable_clocks():
        while (order := channel.read(Play)) is not None:
            channel.answer(_play(order, nursery))


def _play(order: Play, nursery: ServerNursery) -> Verdict:
    plan, start = make_plan(order.seed), time.monotonic()
    history, wrong = asyncio.run(play(plan, nursery))
    return verdict_of(plan, history, wrong, time.monotonic() - start)


if __name__ == "__main__":
    main()
