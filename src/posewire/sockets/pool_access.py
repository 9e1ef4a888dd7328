"""What an application sees of the connections behind its socket: where they go, and how they are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from posewire import clock
from posewire.recovery import ErrorRecoveryChain
from posewire.sockets.connection_status import ConnectionStatus
from posewire.sockets.endpoints import EndpointUsage
from posewire.sockets.heartbeat import Heartbeat
from posewire.sockets.lane import Lane
from posewire.sockets.pool_status import LaneStatus, PoolStatus
from posewire.sockets.pool_supervisor import PoolSupervisor
from posewire.sockets.side_lanes import SideLanes


class PoolAccess:
    """The part of `SocketManager` that is about its pool."""

    _pool: PoolSupervisor
    _heartbeat: Heartbeat
    _failed: int
    side: SideLanes
    """The connections beside the primary one."""

    @property
    def url(self) -> str:
        """The server the session is at, or was last."""
        return self._pool.url

    @property
    def connected(self) -> bool:
        """Whether requests and packets can go out now."""
        return self._pool.connected

    @property
    def lane(self) -> Lane | None:
        """The primary connection: all goes out on it but what goes on others; None while there is none."""
        return self._pool.lane if self._pool.connected else None

    @property
    def recovery(self) -> ErrorRecoveryChain:
        """What is done against a lost connection; strategies may be added."""
        return self._pool.recovery

    @property
    def status(self) -> ConnectionStatus:
        """The connection as it is now."""
        return ConnectionStatus(
            connected=self.connected,
            last_heartbeat=self._heartbeat.last,
            reconnect_count=self._pool.reconnects,
            error_count=self._pool.errors + self._failed,
            connection_id=self._pool.lane.id if self._pool.lane is not None else "",
            round_trip=self._heartbeat.round_trip,
        )

    @property
    def pose_lane(self) -> Lane | None:
        """Of the connections that poses go on the one where they wait longest; None while there is no primary one."""
        lane = self.lane
        if lane is None or not self.side.lanes:
            return lane
        return max(self.side.lanes, key=lambda lane: lane.credit.queueing)

    @property
    def delivered_rate(self) -> float:
        """Bytes a second of frames that came lately, at best, over all connections."""
        lane = self.lane
        return sum(lane.credit.rate for lane in ([] if lane is None else [lane, *self.side.lanes]))

    def confirm_now(self) -> None:
        """Let the server's kernel know at once what has come: it holds back more until then. Never waits."""
        lane = self.lane
        for each in [] if lane is None else [lane, *self.side.lanes]:
            each.confirm_now()

    # Endpoints -------------------------------------------------------------------------------------------------------

    def set_endpoints(self, endpoints: Sequence[str]) -> None:
        """Name the servers that the session may go to, in this order; they must take the same tokens.

        A session that is connected stays where it is. When that connection is lost it tries the same server again,
        which has its seat, and then the others, at once; at another server it joins its room anew. Those that fail
        three times in a row are left out for a while. See docs/topics/recovery.md.

        Args:
            endpoints: ``http(s)://host:port`` of each.

        Raises:
            ConfigurationError: Not a list of different URLs, or an empty one; the old list stays in force.
            SecurityError: One is plain text and leaves this machine, and there is no room key; likewise.
        """
        self._pool.endpoints.set(endpoints)

    def next_endpoint(self) -> str:
        """Return the server that is tried when the one we are at is gone."""
        return self._pool.endpoints.next(clock.monotonic())

    def get_endpoint_usage(self) -> dict[str, EndpointUsage]:
        """Return how often each endpoint was used, how often it failed, and whether it is tried now, by URL."""
        return self._pool.endpoints.usage(clock.monotonic())

    def check_endpoints(self, allowed: Callable[[str], None]) -> None:
        """Let ``allowed`` refuse endpoints, by raising; for the session, which knows what may go over which link."""
        self._pool.endpoints.allowed = allowed

    # The pool --------------------------------------------------------------------------------------------------------

    def pool_status(self) -> PoolStatus:
        """Return the session's connections as they are now."""
        pool = self._pool
        lanes = [self._primary(pool.lane)] if pool.connected and pool.lane is not None else []
        lanes += self.side.status()
        return PoolStatus(
            active=len(lanes),
            available=sum(lane.healthy for lane in lanes),
            failed=pool.errors + self.side.failed,
            utilization=len(lanes) / pool.config.largest_pool,
            last_cleanup=self.side.last_cleanup,
            lanes=lanes,
        )

    async def primary(self) -> Lane:
        """Wait until there is a connection, and return it. Cancelling is safe."""
        while (lane := self.lane) is None:
            await self.writable()
        return lane

    async def writable(self) -> None:
        """Wait until there is a connection. Cancelling is safe."""
        while not self.connected:
            await self._pool.ready.wait()
            # A lane that is lost stays "ready" until the supervisor has had its turn.
            await asyncio.sleep(0)

    def _primary(self, lane: Lane) -> LaneStatus:
        beat = self._heartbeat
        return LaneStatus(
            connection_id=lane.id,
            url=lane.url,
            primary=True,
            healthy=not lane.closed.is_set() and clock.now() - beat.last <= self._pool.config.connection_timeout / 1000,
            round_trip=beat.round_trip,
            in_flight=lane.credit.in_flight,
            bytes_sent=lane.credit.sent_bytes,
        )
