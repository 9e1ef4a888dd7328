"""Handlers run in order, and a flood of events is bounded."""

from __future__ import annotations

import asyncio

from posewire.lifetime import cancel_and_wait
from posewire.sockets import Event, EventDispatcher


async def test_a_flood_is_bounded_and_counted() -> None:
    dispatcher = EventDispatcher()
    seen: list[int] = []
    dispatcher.on("n", lambda event: seen.append(event.data))
    for number in range(1005):
        dispatcher.dispatch(Event(name="n", data=number))
        dispatcher.dispatch(Event(name="nobody listens"))
    assert dispatcher.dropped == 5
    running = asyncio.create_task(dispatcher.run())
    while len(seen) < 1000:
        await asyncio.sleep(0)
    assert seen == list(range(5, 1005))
    await cancel_and_wait(running)


async def test_cancelling_ends_the_handler_that_runs() -> None:
    dispatcher = EventDispatcher()
    started, ended = asyncio.Event(), asyncio.Event()

    async def forever(event: Event) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    dispatcher.on("n", forever)
    dispatcher.dispatch(Event(name="n"))
    running = asyncio.create_task(dispatcher.run())
    await started.wait()
    await cancel_and_wait(running)
    assert ended.is_set()
