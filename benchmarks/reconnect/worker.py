"""A process of `resume`: the server, the link, or some of the sessions. Started by `benchmarks.process`."""

from __future__ import annotations

import time
from asyncio import Runner
from contextlib import AsyncExitStack
from typing import Final

import msgspec

from benchmarks.channel import Channel, loop_factory
from benchmarks.chaos.fault_link import FaultLink
from benchmarks.messages import Ready, Setup
from benchmarks.reconnect.messages import Backs, Note, Turn, Turned
from benchmarks.reconnect.ours import Ours
from benchmarks.reconnect.stock import Stock

SYSTEMS: Final[dict[str, type[Ours] | type[Stock]]] = {"posewire": Ours, "stock": Stock}


class Nothing(msgspec.Struct, frozen=True):
    """No request: a server is only ended."""


async def _link(channel: Channel, setup: Setup) -> None:
    async with FaultLink(int(setup.url.rpartition(":")[2])) as link:
        channel.answer(Ready(url=link.url))
        while (turn := await channel.next(Turn)) is not None:
            match turn.action:
                case "refused":
                    link.shut()
                case "blackhole":
                    link.blackhole()
                case "gateway":
                    link.refusing = True
                case "restore":
                    link.refusing = False
                    link.restore()
            if turn.action != "restore":
                link.reset()
            channel.answer(Turned(at_ns=time.monotonic_ns()))


async def _members(channel: Channel, setup: Setup) -> None:
    system = SYSTEMS[setup.system](setup)
    async with AsyncExitStack() as stack:
        seen = [
            await stack.enter_async_context(system.session(setup.first_subscriber + index))
            for index in range(setup.subscribers)
        ]
        channel.answer(Ready())
        while (note := await channel.next(Note)) is not None:
            if note.action == "arm":
                for one in seen:
                    one.arm()
            channel.answer(Backs(sessions=[one.back() for one in seen]))


async def _server(channel: Channel, setup: Setup) -> None:
    async with SYSTEMS[setup.system](setup).serve() as url:
        channel.answer(Ready(url=url))
        while await channel.next(Nothing) is not None:
            pass


async def _run(channel: Channel, setup: Setup) -> None:
    match setup.role:
        case "link":
            await _link(channel, setup)
        case "server":
            await _server(channel, setup)
        case "members":
            await _members(channel, setup)
        case _:
            raise ValueError(f"resume has no {setup.role}")


def main() -> None:
    """Be what the parent says."""
    channel = Channel()
    setup = channel.read_setup()
    with Runner(loop_factory=loop_factory(SYSTEMS[setup.system].loop)) as runner:
        runner.run(_run(channel, setup))


if __name__ == "__main__":
    main()
