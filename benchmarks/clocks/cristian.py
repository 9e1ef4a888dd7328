"""Cristian's algorithm: of some exchanges the one with the least round trip, and no drift."""

from __future__ import annotations

from collections import deque
from typing import Final

from posewire.flow import Exchange

EXCHANGES: Final = 8


class Cristian:
    """The server's clock by the quickest of eight exchanges.

    Args:
        once: Of the first eight, for ever: what Posewire did up to now. Else of the newest eight.
    """

    def __init__(self, *, once: bool) -> None:
        self._once = once
        self._exchanges: deque[Exchange] = deque(maxlen=EXCHANGES)
        self._offset = 0.0

    def take(self, exchange: Exchange) -> None:
        """Take an exchange in."""
        if self._once and len(self._exchanges) == EXCHANGES:
            return
        self._exchanges.append(exchange)
        asked, server, heard = min(self._exchanges, key=lambda each: each[2] - each[0])
        self._offset = server - (asked + heard) / 2

    def to_server(self, local: float) -> float:
        """Convert a local time to the server's clock."""
        return local + self._offset
