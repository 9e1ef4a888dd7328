"""Notices when a server that was out of reach can be reached again."""

from __future__ import annotations

import asyncio
import random
import urllib.parse
from collections.abc import Sequence
from typing import Final

from posewire.lifetime import cancel_and_wait

_SECONDS: Final = 0.2
"""Between two looks, at most; half of it at least, so that a crowd does not come at one moment."""
_SECONDS_REACHABLE: Final = 1.0
"""The same while the server answers, and yet lets nobody in."""
_ANSWER_SECONDS: Final = 1.0
"""The least that an answer is waited for. Looks overlap: the next one asks again before TCP does."""
_LAST_SECONDS: Final = 0.25


class NetworkProbe:
    """Opens and closes a TCP connection now and then.

    Args:
        url: ``http(s)://host[:port]``.
        rng: Chance for the waits.
    """

    def __init__(self, url: str, rng: random.Random) -> None:
        self.urls: Sequence[str] = (url,)
        """Where it looks; there may be several servers, of which one is enough."""
        self._rng = rng
        self._reachable = False

    def lost(self) -> None:
        """The connection was lost: the server is taken for out of reach until it answers."""
        self._reachable = False

    async def wait(self, seconds: float, *, round_trip: float) -> bool:
        """Wait that long, or until a server that was out of reach answers. Cancelling is safe.

        A server that answers all the time and lets nobody in is not worth an attempt at every look.

        Args:
            seconds: At most.
            round_trip: Seconds; an answer is waited for several times as long.

        Returns:
            Whether it answered last.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        looks: set[asyncio.Task[bool]] = set()
        try:
            while (left := deadline - loop.time()) > 0:
                look = self._any_answers(max(_ANSWER_SECONDS, 3 * round_trip))
                looks.add(loop.create_task(look, name="posewire.probe"))
                pause = _SECONDS_REACHABLE if self._reachable else self._rng.uniform(_SECONDS / 2, _SECONDS)
                if await self._watch(looks, min(left, pause)):
                    return True
            # The last look of a short wait has hardly begun.
            return self._reachable or (bool(looks) and await self._watch(looks, _LAST_SECONDS))
        finally:
            for each in looks:
                await cancel_and_wait(each)

    async def _watch(self, looks: set[asyncio.Task[bool]], seconds: float) -> bool:
        """Wait that long for looks, or until the server answers that did not."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while (left := until - loop.time()) > 0:
            if not looks:
                await asyncio.sleep(left)
                return False
            done, _ = await asyncio.wait(looks, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            looks -= done
            answers = {look.result() for look in done}
            was = self._reachable
            self._reachable = True in answers or (was and False not in answers)
            if self._reachable and not was:
                return True
        return False

    async def _any_answers(self, seconds: float) -> bool:
        if len(self.urls) == 1:
            return await _answers(self.urls[0], seconds)
        loop = asyncio.get_running_loop()
        looks = [loop.create_task(_answers(url, seconds), name="posewire.probe.look") for url in self.urls]
        try:
            for look in asyncio.as_completed(looks):
                if await look:
                    return True
            return False
        finally:
            for each in looks:
                await cancel_and_wait(each)


async def _answers(url: str, seconds: float) -> bool:
    parts = urllib.parse.urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        async with asyncio.timeout(seconds):
            _, writer = await asyncio.open_connection(parts.hostname, port)
    except (OSError, TimeoutError):
        return False
    writer.transport.abort()
    return True
