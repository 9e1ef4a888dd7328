"""Keeps the server's clock: asks for its time again and again, and tells when it is another one all of a sudden."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from posewire import clock
from posewire.errors import PosewireError
from posewire.flow import ClockFilter, Exchange

logger = logging.getLogger(__name__)

_NEW_EXCHANGES: Final = 8
"""At the quick rate, whenever there is something new to learn: requests cost more than frames do."""
_QUICK: Final = 4
"""Times the usual rate: for those, and while delays scatter."""
_NOISE_SECONDS: Final = 0.002
_ASK_AGAIN: Final = 4
"""Exchanges in a row, when one is at odds with those before it."""


class ClockSync:
    """Feeds exchanges of times to a `ClockFilter`, and what that finds to a `ServerClock`.

    Args:
        exchange: Asks the server for its time.
        interval: Seconds between exchanges; a quarter of it for the first 8, and after the server did not answer; a
            quarter of it on a link whose delays scatter by more than 2 ms.
        tell: Told when a clock jumped: ``{"old", "new", "uncertainty", "drift", "steps"}``, the offset before and after
            and how wrong that is at most in seconds, the drift in ppm, and how often that has happened.
    """

    def __init__(
        self,
        exchange: Callable[[], Awaitable[Exchange]],
        *,
        interval: float,
        tell: Callable[[dict[str, Any]], None] = lambda data: None,
    ) -> None:
        self.clock = clock.ServerClock()
        self._exchange = exchange
        self._interval = interval
        self._tell = tell
        self._filter = ClockFilter()
        self._quick = _NEW_EXCHANGES
        self._noisy = False

    async def begin(self, exchanges: int) -> None:
        """Learn the clock of a server that may be another one, from so many exchanges in a row. Cancelling is safe.

        Raises:
            PosewireError: The server does not answer.
        """
        self._filter.restart()
        self.take([await self._exchange() for _ in range(exchanges)])
        self._quick = _NEW_EXCHANGES

    async def measure(self) -> None:
        """Make one exchange, and some more when it is at odds with those before it. Cancelling is safe.

        Raises:
            PosewireError: The server does not answer.
        """
        if not self.take([await self._exchange()]):
            self.take([await self._exchange() for _ in range(_ASK_AGAIN)])

    async def run(self) -> None:
        """Measure for ever."""
        while True:
            await asyncio.sleep(self.pause)
            try:
                await self.measure()
            except PosewireError as exc:
                # Whether the server is there at all is for the heartbeat to say.
                logger.debug("no time from the server: %s", exc)
                self._quick = _NEW_EXCHANGES

    @property
    def pause(self) -> float:
        """Seconds until the next exchange is worth its bytes."""
        return self._interval / (_QUICK if self._quick or self._noisy else 1)

    def take(self, exchanges: Sequence[Exchange]) -> bool:
        """Take exchanges in; False when a single one is at odds with those before it, and more are wanted at once."""
        fit = self._filter.observe(exchanges)
        if fit is None:
            return False
        self._noisy, self._quick = fit.noise > _NOISE_SECONDS, max(0, self._quick - 1)
        old = self.clock.to_server(fit.at) - fit.at
        if self.clock.correct(fit.at, fit.offset, fit.drift, fit.uncertainty, step=fit.jumped):
            self._quick = _NEW_EXCHANGES
            logger.warning("the server's clock is %+.3f s from where it was expected", fit.offset - old)
            steps = self.clock.steps
            data = {"old": old, "new": fit.offset, "uncertainty": fit.uncertainty, "drift": fit.drift, "steps": steps}
            self._tell(data)
        return True
