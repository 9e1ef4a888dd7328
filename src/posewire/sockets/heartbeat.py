"""Is the server still there, how far away, and what time is it there?"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from posewire import clock
from posewire.errors import PosewireError

logger = logging.getLogger(__name__)


class Heartbeat:
    """Exchanges times with the server: measures the round trip, sets the clock, notices silence.

    Args:
        ask: Asks the server for its time, microseconds since 1970.
        interval: Seconds between heartbeats.
        missed: Awaited when two in a row are not answered: one outage of some seconds is not the end, for TCP brings
            back what was under way, while a new connection would lose it.
    """

    def __init__(
        self, *, ask: Callable[[], Awaitable[int]], interval: float, missed: Callable[[], Awaitable[None]]
    ) -> None:
        self.clock = clock.ServerClock()
        self.last = 0.0
        """When the server last answered, on the scale of ``time.time()``; 0 never."""
        self.round_trip = 0.0
        """Seconds the last exchange took."""
        self._ask = ask
        self._interval = interval
        self._missed = missed

    async def sync_clock(self, exchanges: int) -> None:
        """Measure the server's clock in that many round trips; the quickest counts. Cancelling is safe.

        Raises:
            ConnectionError: The server does not answer.
        """
        self.clock.update([await self._exchange() for _ in range(exchanges)])

    async def run(self) -> None:
        """Send heartbeats for ever."""
        missed = False
        while True:
            if not missed:
                await asyncio.sleep(self._interval)
            try:
                await self._exchange()
                missed = False
            except PosewireError as exc:
                logger.warning("heartbeat missed: %s", exc)
                if missed:
                    await self._missed()
                missed = not missed

    async def _exchange(self) -> tuple[float, float, float]:
        asked = clock.now()
        server_us = await self._ask()
        heard = clock.now()
        self.last, self.round_trip = heard, heard - asked
        return asked, server_us / 1e6, heard
