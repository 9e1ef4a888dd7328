"""How long this process stood still: on a busy machine it may miss what has to happen in time."""

from __future__ import annotations

import asyncio
from typing import Final, Self

from posewire.lifetime import cancel_and_wait

_TICK: Final = 0.005


class StallWatch:
    """Looks at its event loop all the time. Used with ``async with``."""

    def __init__(self) -> None:
        self.longest = 0.0
        """Seconds for which nothing had its turn, the longest time."""
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.get_running_loop().create_task(self._watch(), name="chaos.stall")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        await cancel_and_wait(self._task)

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            then = loop.time()
            await asyncio.sleep(_TICK)
            self.longest = max(self.longest, loop.time() - then - _TICK)
