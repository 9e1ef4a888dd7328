"""Gets a fresh token before the one in use ends, and the session with it."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from typing import Final

from posewire.errors import AuthError, PosewireError
from posewire.sockets.token_source import TokenSource

logger = logging.getLogger(__name__)

_SHARE: Final = 0.75
"""Of a token's time that is left when the next one is fetched, gone by."""
_LEAST_SECONDS: Final = 0.05
_LONGEST_SECONDS: Final = 86_400.0


class TokenRefresher:
    """Hands the server a newer token while the session goes on.

    Args:
        source: Returns where tokens come from.
        renew: Gives the server a token; returns the seconds it is good for.
    """

    def __init__(self, source: Callable[[], TokenSource | None], renew: Callable[[str], Awaitable[float]]) -> None:
        self._source = source
        self._renew = renew
        self._ends = math.inf
        self._changed = asyncio.Event()

    def expires_in(self, seconds: float) -> None:
        """Take note that the token in use is good for that long; 0 or less is not known."""
        self._ends = asyncio.get_running_loop().time() + seconds if seconds > 0 else math.inf
        self._changed.set()

    async def run(self) -> None:
        """Refresh in time, for ever; a refresh that fails is tried again until the token has ended.

        Raises:
            AuthError: The source gives no token, or the server does not take the new one.
        """
        while True:
            self._changed.clear()
            source = self._source()
            left = self._ends - asyncio.get_running_loop().time()
            if source is None or not source.renewable or left == math.inf or left <= 0:
                await self._changed.wait()  # the server ends the session, or another connection begins
                continue
            try:
                async with asyncio.timeout(min(max(left * _SHARE, _LEAST_SECONDS), _LONGEST_SECONDS)):
                    await self._changed.wait()
            except TimeoutError:
                if left <= _LONGEST_SECONDS / _SHARE:
                    # Half of what is left: one that hangs leaves time for another.
                    left = self._ends - asyncio.get_running_loop().time()
                    await self._refresh(source, max(left / 2, _LEAST_SECONDS))

    async def _refresh(self, source: TokenSource, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                self.expires_in(await self._renew(await source.get(fresh=True)))
        except TimeoutError:
            logger.warning("no fresh token within %.2f s", seconds)
        except AuthError:
            raise
        except PosewireError as exc:
            logger.warning("the token was not refreshed: %s", exc)
