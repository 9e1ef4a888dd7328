"""The way to a client that asks for what there is."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from posewire import clock
from posewire.server.default_outlet import DefaultOutlet
from posewire.server.fast_path import Outgoing
from posewire.server.poll_session import PollSession
from posewire.sockets.kernel_queue import tune

_ROUND_TRIP: Final = 1.0
"""Seconds that may pass until the client asks again before its link counts as slow: there is no kernel that knows."""


class PollOutlet(DefaultOutlet):
    """Writes when the client asks, or has asked and got nothing yet; keeps mail for it meanwhile.

    Args:
        session: Stands for its transport.
        default: Whether it speaks the default parser.
        options: See `Outlet`.
    """

    def __init__(self, session: PollSession, *, default: bool, **options: Any) -> None:
        super().__init__(session.socket, session, **options)  # type: ignore[arg-type]  # which has a transport
        self._default = default
        session.on_poll = lambda: self.flush(clock.monotonic())
        session.on_upgrade = self._upgrade

    def wire_of(self, outgoing: Outgoing) -> bytes:
        """Return a message as this client is sent it."""
        return outgoing.default_wire if self._default else outgoing.wire

    def _upgrade(self, transport: asyncio.Transport) -> None:
        """Write to a WebSocket from now on."""
        self._transport = transport
        self._sock = transport.get_extra_info("socket")
        self._descriptor = self._sock.fileno() if self._sock is not None else -1
        tune(self._sock)

    def _least_round_trip(self) -> float:
        return _ROUND_TRIP if self._sock is None else super()._least_round_trip()
