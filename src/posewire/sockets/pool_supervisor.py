"""Keeps a session connected: opens its lane, and opens another when it is lost."""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

from posewire.config import ConnectionConfig
from posewire.errors import AuthError, ConnectionError, PosewireError
from posewire.flow import backoff
from posewire.recovery import ErrorRecoveryChain
from posewire.sockets.lane import Lane
from posewire.sockets.token_source import TokenSource

logger = logging.getLogger(__name__)


class PoolSupervisor:
    """The lanes of one session; for now a pool of one.

    Args:
        url: The server.
        config: Timeouts and attempts.
        on_frame: Given to each lane.
        on_event: Given to each lane.
        greet: Awaited on each new lane before it counts as ready.
        notify: Told ``disconnect`` and ``reconnect``.
        rng: Chance for the waits between attempts.
    """

    def __init__(
        self,
        url: str,
        config: ConnectionConfig,
        *,
        on_frame: Callable[[bytes], None],
        on_event: Callable[[str, Any], None],
        greet: Callable[[], Awaitable[None]],
        notify: Callable[[str, Any], None],
        rng: random.Random,
    ) -> None:
        self.url = url
        self.lane: Lane | None = None
        self.source: TokenSource | None = None
        self.ready = asyncio.Event()
        """Set while a lane is open and greeted."""
        self.loss: PosewireError | None = None
        """Why the lane is going, when somebody knows better than the lane."""
        self.reconnects = 0
        self.errors = 0
        self.recovery = ErrorRecoveryChain(max_retries=1)
        """Asked about every loss; what it has no strategy for ends the session."""
        self.recovery.add_strategy(ConnectionError, self._reconnect)
        self._config = config
        self._on_frame = on_frame
        self._on_event = on_event
        self._greet = greet
        self._notify = notify
        self._rng = rng
        self._session_id = secrets.token_hex(8)

    @property
    def connected(self) -> bool:
        """Whether a lane is open and greeted."""
        return self.ready.is_set() and self.lane is not None and not self.lane.closed.is_set()

    def usable(self) -> Lane:
        """Return the open lane.

        Raises:
            ConnectionError: There is none.
        """
        if self.lane is None or self.lane.closed.is_set():
            reason = self.lane.close_reason if self.lane is not None else ""
            raise ConnectionError(f"not connected to {self.url}{f': {reason}' if reason else ''}")
        return self.lane

    async def open(self) -> None:
        """Open a lane and greet the server. After a failure or cancellation nothing is left open.

        Raises:
            AuthError: No token, or not accepted.
            ConnectionError: The server cannot be reached.
        """
        if self.source is None:
            raise AuthError("?", "not authenticated; pass a token, or call authenticate first")
        self.loss = None
        lane = await self._open_with_token(self.source)
        greeted = False
        try:
            self.lane = lane
            await self._greet()
            self.ready.set()
            greeted = True
        finally:
            if not greeted:
                await lane.close()

    async def close(self) -> None:
        """Close the lane, in bounded time. Idempotent."""
        self.ready.clear()
        if self.lane is not None:
            await self.lane.close()

    async def run(self) -> None:
        """Bring the connection back whenever it goes; raises what made that impossible."""
        while True:
            lane = self.lane
            assert lane is not None, "run() follows open()"
            await lane.closed.wait()
            self.ready.clear()
            await lane.close()  # frees what it held
            self.errors += 1
            loss = self.loss or ConnectionError(f"the connection to {self.url} was lost: {lane.close_reason}")
            logger.info("connection lost: %s", loss)
            self._notify("disconnect", {"reason": str(loss)})
            if not await self.recovery.handle_error(loss):
                raise self.loss or loss
            self.reconnects += 1
            self._notify("reconnect", {"count": self.reconnects})

    async def _reconnect(self, error: ConnectionError) -> bool:
        """Try to come back; when that fails, `loss` says why."""
        attempts = self._config.reconnect_attempts
        delays = backoff(
            first=self._config.reconnect_delay / 1000,
            ceiling=self._config.reconnect_delay_max / 1000,
            rng=self._rng,
        )
        failure: PosewireError = error
        for attempt in range(1, attempts + 1):
            await asyncio.sleep(next(delays))
            try:
                await self.open()
            except ConnectionError as exc:
                self.errors += 1
                logger.info("attempt %d of %d failed: %s", attempt, attempts, exc)
                failure = ConnectionError(f"gave up after {attempt} attempts to come back: {exc}")
            except PosewireError as exc:
                self.loss = exc
                return False
            else:
                return True
        self.loss = failure
        return False

    async def _open_with_token(self, source: TokenSource) -> Lane:
        lane = self._new_lane()
        try:
            await lane.open(await self._token(source), self._session_id)
        except AuthError:
            if not source.renewable:
                raise
            # It may have expired since it was made; one fresh one is worth a try.
            lane = self._new_lane()
            await lane.open(await self._token(source, fresh=True), self._session_id)
        return lane

    async def _token(self, source: TokenSource, *, fresh: bool = False) -> str:
        seconds = self._config.connect_timeout / 1000
        try:
            async with asyncio.timeout(seconds):
                return await source.get(fresh=fresh)
        except TimeoutError:
            raise ConnectionError(f"the token provider gave no token within {seconds:g} s") from None

    def _new_lane(self) -> Lane:
        return Lane(self.url, self._config, on_frame=self._on_frame, on_event=self._on_event)
