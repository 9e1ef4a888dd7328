"""Keeps a session connected: opens its lane, and opens another when it is lost."""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
from collections.abc import Awaitable, Callable
from typing import Any, Final

from posewire.config import ConnectionConfig
from posewire.errors import AuthError, ConnectionError, PosewireError, ResourceLimitError
from posewire.flow import backoff
from posewire.recovery import ErrorRecoveryChain
from posewire.sockets.lane import Lane
from posewire.sockets.network_probe import NetworkProbe
from posewire.sockets.token_source import TokenSource

logger = logging.getLogger(__name__)

_MOST_RECOVERIES: Final = 3
"""Failures in a row that `recovery` is asked about: what helps against each must not make the next, for ever."""


class PoolSupervisor:
    """The lanes of one session; for now a pool of one.

    Args:
        url: The server.
        config: Timeouts and attempts.
        on_frame: Given to each lane.
        on_event: Given to each lane.
        on_credit: Given to each lane.
        greet: Awaited on each new lane before it counts as ready; it sets `gap`.
        notify: Told ``disconnect`` and ``reconnect``.
        round_trip: Returns what a round trip took last, seconds.
        rng: Chance for the waits between attempts.
    """

    def __init__(
        self,
        url: str,
        config: ConnectionConfig,
        *,
        on_frame: Callable[[bytes], None],
        on_event: Callable[[str, Any], None],
        on_credit: Callable[[], None],
        greet: Callable[[], Awaitable[None]],
        notify: Callable[[str, Any], None],
        round_trip: Callable[[], float],
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
        """Asked about every failure; what it has no strategy for ends the session. See docs/topics/recovery.md."""
        self.recovery.add_strategy(ConnectionError, self._reconnect)
        self._config = config
        self._on_frame = on_frame
        self._on_event = on_event
        self._on_credit = on_credit
        self._greet = greet
        self._notify = notify
        self._round_trip = round_trip
        self._rng = rng
        self._session_id = secrets.token_hex(8)
        self._probe = NetworkProbe(url, rng)
        self.gap = ""
        """Why what was missed since the loss does not come any more; empty while it does."""

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
            self._on_credit()
            greeted = True
        finally:
            if not greeted:
                await lane.close(goodbye=False)

    async def drop(self) -> None:
        """Cut the lane, which is of no use: `run` opens another."""
        self.errors += 1
        if self.lane is not None:
            await self.lane.close(goodbye=False)

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
            self.gap = ""
            self.ready.clear()
            await lane.close(goodbye=False)  # frees what it held
            self.errors += 1
            loss = self.loss or ConnectionError(f"the connection to {self.url} was lost: {lane.close_reason}")
            logger.info("connection lost: %s", loss)
            self._notify("disconnect", {"reason": str(loss)})
            await self._recover(loss)
            self.reconnects += 1
            self._notify("reconnect", {"count": self.reconnects, "resumed": not self.gap, "reason": self.gap})

    async def _recover(self, error: PosewireError) -> None:
        """Do what `recovery` knows against a loss, and against what that meets; raises what nothing helped against."""
        for _ in range(_MOST_RECOVERIES):
            self.loss = None
            helped = await self.recovery.handle_error(error)
            # A lane that was opened may be lost again by now: that is the next loss.
            if self.ready.is_set() or (helped and await self._reconnect(error)):
                return
            met = self.loss
            if met is None or (met is error and not helped):
                break
            if not helped and isinstance(met, ConnectionError):
                raise met  # the attempts are used up
            error = met
        raise self.loss or error

    async def _reconnect(self, error: PosewireError) -> bool:
        """Try to come back; when that fails, `loss` says why."""
        attempts = self._config.reconnect_attempts
        delays = backoff(
            first=self._config.reconnect_delay / 1000,
            ceiling=self._config.reconnect_delay_max / 1000,
            rng=self._rng,
        )
        failure: PosewireError = error
        self._probe.lost()
        for attempt in range(1, attempts + 1):
            reachable = await self._probe.wait(next(delays), round_trip=self._round_trip())
            try:
                if not reachable and attempt < attempts:
                    # To dial now is to wait for TCP, which asks again after a second, two, four.
                    raise ConnectionError(f"{self.url} does not answer")
                await self.open()
            except (ConnectionError, ResourceLimitError) as exc:
                self.errors += 1
                if isinstance(self.loss, AuthError):
                    return False  # the server said goodbye for good meanwhile
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
        lane, token = self._new_lane(), await self._token(source)
        try:
            await lane.open(token, self._session_id)
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
        return Lane(self.url, self._config, on_frame=self._on_frame, on_event=self._on_event, on_credit=self._on_credit)
