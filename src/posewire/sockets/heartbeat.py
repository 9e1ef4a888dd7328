"""Is the server still there, how far away, and what time is it there?"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

from posewire import clock
from posewire.config import ConnectionConfig
from posewire.errors import DataValidationError, PosewireError
from posewire.flow import Exchange
from posewire.sockets.clock_sync import ClockSync

logger = logging.getLogger(__name__)

_LATEST_US: Final = 1 << 53
"""In the year 2255: what is later cannot be told in the header of a packet for much longer."""


class Heartbeat:
    """Exchanges times with the server: measures the round trip, keeps its clock, notices silence.

    Args:
        ask: Asks the server for its time, microseconds since 1970.
        config: How often, and how often only for the clock: those that fail then are not heartbeats that were missed.
        missed: Awaited when two in a row are not answered: one outage of some seconds is not the end, for TCP brings
            back what was under way, while a new connection would lose it.
        tell: Told when a clock jumped; see `ClockSync`.
    """

    def __init__(
        self,
        *,
        ask: Callable[[], Awaitable[int]],
        config: ConnectionConfig,
        missed: Callable[[], Awaitable[None]],
        tell: Callable[[dict[str, Any]], None] = lambda data: None,
    ) -> None:
        self.last = 0.0
        """When the server last answered, on the scale of ``time.time()``; 0 never."""
        self.round_trip = 0.0
        """Seconds the last exchange took."""
        self.time = ClockSync(self._exchange, interval=config.clock_interval / 1000, tell=tell)
        self._ask = ask
        self._interval = config.heartbeat_interval / 1000
        self._missed = missed

    @property
    def clock(self) -> clock.ServerClock:
        """The server's clock."""
        return self.time.clock

    async def run(self) -> None:
        """Send heartbeats for ever."""
        missed = False
        while True:
            if not missed:
                await asyncio.sleep(self._interval)
            try:
                await self.time.measure()
                missed = False
            except PosewireError as exc:
                logger.warning("heartbeat missed: %s", exc)
                if missed:
                    await self._missed()
                missed = not missed

    async def _exchange(self) -> Exchange:
        asked = clock.now()
        server_us = await self._ask()
        heard = clock.now()
        if not 0 <= server_us <= _LATEST_US:
            raise DataValidationError("answer to 'heartbeat'", server_us, "expected microseconds since 1970")
        self.last, self.round_trip = heard, heard - asked
        return asked, server_us / 1e6, heard
