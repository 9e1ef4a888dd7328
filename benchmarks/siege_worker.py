"""The process of `siege` that attacks. Started, not by hand."""

from __future__ import annotations

import asyncio
import os
import urllib.parse

from benchmarks.channel import Channel, loop_factory
from benchmarks.messages import Ready, Setup
from benchmarks.siege_attacks import ATTACKS, Target, strike
from benchmarks.siege_messages import Strike, Struck
from posewire.server import TokenAuthority


async def _attack(channel: Channel, setup: Setup) -> None:
    port = urllib.parse.urlsplit(setup.url).port
    assert port is not None
    target = Target(port, TokenAuthority(setup.secret.encode(), lifetime=3600))
    channel.answer(Ready())
    while (order := await channel.next(Strike)) is not None:
        channel.answer(Struck(attempts=await strike(target, ATTACKS[order.attack], order.seconds)))


def main() -> None:
    """Be the attackers: what time nobody else wants is theirs, since they would have machines of their own."""
    channel = Channel()
    setup = channel.read_setup()
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    with asyncio.Runner(loop_factory=loop_factory("uvloop")) as runner:
        runner.run(_attack(channel, setup))


if __name__ == "__main__":
    main()
