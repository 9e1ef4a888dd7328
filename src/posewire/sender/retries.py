"""Poses that could not be sent are handed in again, while they are still worth it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from posewire import clock
from posewire.errors import ConnectionError, PosewireError
from posewire.flow import QueueItem
from posewire.protocol import Delivery, Kind
from posewire.sender.send_settings import QOS_LEVELS, SendSettings

logger = logging.getLogger(__name__)

_MOST_WAITING: Final = 1000
_MAX_STREAMS: Final = 256


class Retries:
    """Decides about each pose whose sending failed because the connection did, and hands it in again after a while.

    It is given up when it was handed in ``retry_count`` times, when it would be older than ``timeout``, and when a
    newer pose of its stream was handed in meanwhile, unless each pose is to go (QoS ``high``).

    Args:
        settings: Returns the settings of now.
        room: Returns the room of now; a pose that was meant for another is given up.
        resend: Puts a pose back into the queue.
        give_up: Told of a pose that is not sent after all, and why.
    """

    def __init__(
        self,
        settings: Callable[[], SendSettings],
        room: Callable[[], str | None],
        resend: Callable[[QueueItem], object],
        give_up: Callable[[QueueItem, str], None],
    ) -> None:
        self.retried = 0
        """Poses that were handed in again so far."""
        self._settings = settings
        self._room = room
        self._resend = resend
        self._give_up = give_up
        self._newest: dict[str, float] = {}
        self._waiting: dict[QueueItem, asyncio.TimerHandle] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def handed_in(self, stream: str) -> None:
        """Note that a pose of ``stream`` is about to be handed in: older ones are not worth another attempt."""
        if isinstance(stream, str):  # else it will be refused
            if len(self._newest) >= _MAX_STREAMS:
                self._newest.clear()
            self._newest[stream] = clock.monotonic()

    def failed(self, item: QueueItem, error: PosewireError) -> bool:
        """Take over a frame that could not be sent; False when it is not worth it."""
        settings = self._settings()
        if item.kind is not Kind.POSE or not isinstance(error, ConnectionError) or len(self._waiting) >= _MOST_WAITING:
            return False
        wait = settings.retry_wait(item.attempts)
        if (
            not QOS_LEVELS[settings.qos_level].retried
            or item.attempts >= settings.retry_count
            or clock.monotonic() + wait - item.queued > settings.timeout
            or self._overtaken(item)
        ):
            return False
        item.attempts += 1
        logger.debug("%r not sent (%s); attempt %d in %.3f s", item, error, item.attempts, wait)
        self._waiting[item] = asyncio.get_running_loop().call_later(wait, self._again, item, self._room())
        return True

    def clear(self) -> None:
        """Give up all that waits."""
        for item, handle in list(self._waiting.items()):
            handle.cancel()
            del self._waiting[item]
            self._give_up(item, "cleared")

    def _again(self, item: QueueItem, room: str | None) -> None:
        del self._waiting[item]
        if self._overtaken(item) or room != self._room():
            self._give_up(item, "replaced" if self._overtaken(item) else "disconnected")
            return
        self.retried += 1
        try:
            self._resend(item)
        except ConnectionError:  # the session has ended meanwhile
            self._give_up(item, "cleared")

    def _overtaken(self, item: QueueItem) -> bool:
        return item.delivery is Delivery.LATEST and self._newest.get(item.stream, 0.0) > item.queued
