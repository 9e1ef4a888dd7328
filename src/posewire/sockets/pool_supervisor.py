"""Keeps a session connected: opens its lane, and opens another when it is lost."""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
from collections.abc import Awaitable, Callable
from typing import Any, Final

from posewire import clock
from posewire.config import ConnectionConfig
from posewire.errors import AuthError, ConnectionError, PosewireError, ResourceLimitError
from posewire.flow import backoff
from posewire.recovery import ErrorRecoveryChain
from posewire.sockets.endpoints import Endpoint, Endpoints
from posewire.sockets.lane import Lane
from posewire.sockets.network_probe import NetworkProbe
from posewire.sockets.token_source import TokenSource

logger = logging.getLogger(__name__)

_MOST_RECOVERIES: Final = 3
"""Failures in a row that `recovery` is asked about: what helps against each must not make the next, for ever."""
_ROUND_TRIPS: Final = 8
"""That an attempt may take at least, whatever `endpoint_timeout` is: it takes five."""


class PoolSupervisor:
    """Keeps the primary lane of a session open, at one of its endpoints.

    Args:
        url: The server; `endpoints` may get more.
        config: Timeouts and attempts.
        on_frame: Given to each lane.
        on_event: Given to each lane.
        on_credit: Given to each lane.
        greet: Awaited on each new lane before it counts as ready; it sets `gap`.
        notify: Told ``disconnect``, ``reconnect`` and ``endpoint``.
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
        self.endpoints = Endpoints(url)
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
        self.config = config
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
    def url(self) -> str:
        """The server the session is at, or was last."""
        return self.endpoints.current.url

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

    async def open(self, attempt: int | None = None) -> None:
        """Open a lane at the first endpoint that lets us in, and greet the server.

        After a failure or cancellation nothing is left open.

        Args:
            attempt: Which one it is since the connection was lost; None for the first connection of all. While there
                is another endpoint to try, one that does not answer is not waited for as long as ``connect_timeout``.

        Raises:
            AuthError: No token, or not accepted.
            ConnectionError: No server can be reached.
        """
        source = self.source
        if source is None:
            raise AuthError("?", "not authenticated; pass a token, or call authenticate first")
        self.loss = None
        failure: PosewireError | None = None
        for tried, endpoint in enumerate(self.endpoints.candidates(clock.monotonic()), 1):
            last = attempt is None and tried == len(self.endpoints)
            try:
                await self._open_at(endpoint, source, self._seconds(1 if attempt is None else attempt, last=last))
                return
            except (ConnectionError, ResourceLimitError) as exc:
                failure = exc
                endpoint.failed(clock.monotonic())
                logger.info("%s: %s", endpoint.url, exc)
                if isinstance(self.loss, AuthError):
                    break  # that server said goodbye for good meanwhile
            finally:
                endpoint.breaker.abandoned()
        assert failure is not None, "there is always a candidate"
        raise failure

    async def _open_at(self, endpoint: Endpoint, source: TokenSource, seconds: float) -> None:
        source.url = endpoint.url
        lane = await self._open_with_token(endpoint.url, source, seconds)
        greeted = False
        try:
            self.lane = lane
            await self._greet()
            before = self.url
            self.endpoints.arrived(endpoint)
            self.ready.set()
            self._on_credit()
            greeted = True
        finally:
            if not greeted:
                await lane.close(goodbye=False)
        if before != endpoint.url:
            logger.info("went from %s to %s", before, endpoint.url)
            self._notify("endpoint", {"url": endpoint.url, "before": before})

    def _seconds(self, attempt: int, *, last: bool) -> float:
        """Return how long an attempt at one endpoint may take: longer in each round, a slow link is no dead one."""
        most = self.config.connect_timeout / 1000
        if last or len(self.endpoints) == 1:
            return most
        least = max(self.config.endpoint_timeout / 1000, _ROUND_TRIPS * self._round_trip())
        return min(most, least * 2.0 ** min(attempt - 1, 16))

    async def open_side_lane(self, ticket: str, on_frame: Callable[[bytes], None]) -> Lane:
        """Open a further lane of the session beside the one that is open, and return it; the caller is to close it.

        Raises:
            PosewireError: It is not let in, or the server cannot be reached.
        """
        source, primary = self.source, self.usable()
        assert source is not None, "the primary lane has needed it"
        lane = Lane(
            primary.url, self.config, on_frame=on_frame, on_event=lambda name, data: None, on_credit=self._on_credit
        )
        await lane.open(await self._token(source), self._session_id, ticket=ticket)
        return lane

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
        attempts = self.config.reconnect_attempts
        delays = backoff(
            first=self.config.reconnect_delay / 1000,
            ceiling=self.config.reconnect_delay_max / 1000,
            rng=self._rng,
        )
        failure: PosewireError = error
        self._probe.lost()
        for attempt in range(1, attempts + 1):
            self._probe.urls = self.endpoints.urls
            # With several there is another one to go to at once.
            reachable = (attempt == 1 and len(self.endpoints) > 1) or await self._probe.wait(
                next(delays), round_trip=self._round_trip()
            )
            try:
                if not reachable and attempt < attempts:
                    # To dial now is to wait for TCP, which asks again after a second, two, four.
                    raise ConnectionError(f"{', '.join(self.endpoints.urls)}: no answer")
                await self.open(attempt)
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

    async def _open_with_token(self, url: str, source: TokenSource, seconds: float) -> Lane:
        lane, token = self._new_lane(url), await self._token(source)
        try:
            await lane.open(token, self._session_id, seconds=seconds)
        except AuthError:
            if not source.renewable:
                raise
            # It may have expired since it was made; one fresh one is worth a try.
            lane = self._new_lane(url)
            await lane.open(await self._token(source, fresh=True), self._session_id, seconds=seconds)
        return lane

    async def _token(self, source: TokenSource, *, fresh: bool = False) -> str:
        seconds = self.config.connect_timeout / 1000
        try:
            async with asyncio.timeout(seconds):
                return await source.get(fresh=fresh)
        except TimeoutError:
            raise ConnectionError(f"the token provider gave no token within {seconds:g} s") from None

    def _new_lane(self, url: str) -> Lane:
        return Lane(url, self.config, on_frame=self._on_frame, on_event=self._on_event, on_credit=self._on_credit)
