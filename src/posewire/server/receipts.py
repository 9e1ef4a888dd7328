"""Tells a client how much of what it sent has come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from posewire.protocol import control, wrap_ack
from posewire.server.fast_path import Outgoing

_SECONDS: Final = 0.02


class Receipts:
    """Acknowledges packets cumulatively, 20 ms after the first that was not acknowledged yet: 50 times a second.

    Not at once, for that is when the packet's recipients are busy with it. The acknowledgement says for how long it was
    held back, so that the sender still learns how long the way takes.

    Args:
        send: Sends a message at once, or says that it cannot.
    """

    def __init__(self, send: Callable[[Outgoing], bool]) -> None:
        self._send = send
        self._total = 0
        self._came_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def count(self, size: int) -> None:
        """Take note of a packet of ``size`` bytes."""
        loop = asyncio.get_running_loop()
        self._total += size
        self._came_at = loop.time()
        if self._timer is None:
            self._timer = loop.call_later(_SECONDS, self._acknowledge, loop)

    def close(self) -> None:
        """Acknowledge nothing any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _acknowledge(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        held = loop.time() - self._came_at
        ack = control.Ack(self._total, round(held * 1e6))
        if not self._send(Outgoing(wrap_ack(ack))):
            self._timer = loop.call_later(_SECONDS, self._acknowledge, loop)
