"""Handlers run in order, and a flood of events is bounded."""

from __future__ import annotations

import asyncio
from collections import Counter

from posewire.lifetime import cancel_and_wait
from posewire.sockets import Event, EventDispatcher


async def test_a_flood_is_bounded_and_counted() -> None:
    drops: Counter[str] = Counter()
    dispatcher = EventDispatcher(drops)
    seen: list[int] = []
    dispatcher.on("n", lambda event: seen.append(event.data))
    for number in range(1005):
        dispatcher.dispatch(Event(name="n", data=number))
        dispatcher.dispatch(Event(name="nobody listens"))
    assert drops == {"unhandled_own": 5}
    running = asyncio.create_task(dispatcher.run())
    while len(seen) < 1000:
        await asyncio.sleep(0)
    assert seen == list(range(5, 1005))
    await cancel_and_wait(running)


async def test_what_others_sent_is_not_pushed_out_by_our_own() -> None:
    drops: Counter[str] = Counter()
    dispatcher = EventDispatcher(drops)
    seen: list[tuple[str, int]] = []
    for name in ("wave", "drop"):
        dispatcher.on(name, lambda event: seen.append((event.name, event.data)))
    for number in range(16_386):
        dispatcher.dispatch(Event(name="wave", data=number, user_id="bob"))
        dispatcher.dispatch(Event(name="drop", data=number))
    assert drops == {"unhandled": 2, "unhandled_own": 15_386}
    running = asyncio.create_task(dispatcher.run())
    while len(seen) < 17_384:
        await asyncio.sleep(0)
    await cancel_and_wait(running)
    assert [number for name, number in seen if name == "wave"] == list(range(2, 16_386))
    assert [number for _, number in seen] == sorted(number for _, number in seen), "in the order they came"


async def test_cancelling_ends_the_handler_that_runs() -> None:
    dispatcher = EventDispatcher(Counter())
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
