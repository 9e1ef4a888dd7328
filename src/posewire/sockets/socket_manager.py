"""One logical connection to the server, which comes back by itself."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import weakref
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, ClassVar, Self, TypeVar, overload

import msgspec

from posewire import clock
from posewire.config import Config, load_config
from posewire.errors import AuthError, ConnectionError, PosewireError, RoomError
from posewire.lifetime import cancel_and_wait, failure_of, own
from posewire.protocol import EVENT_STREAM, Delivery, Kind, PacketWriter, PoseProtocol, Precision, SealKey, control
from posewire.sockets.body_compression import BodyCompression
from posewire.sockets.event_dispatcher import Event, EventDispatcher, Handler
from posewire.sockets.event_outbox import EventOutbox
from posewire.sockets.heartbeat import Heartbeat
from posewire.sockets.inbound import Inbound, PacketHandler, reason_of
from posewire.sockets.lane import Reply
from posewire.sockets.pool_access import PoolAccess
from posewire.sockets.pool_supervisor import PoolSupervisor
from posewire.sockets.resumption import Resumption
from posewire.sockets.side_lanes import SideLanes
from posewire.sockets.token_refresher import TokenRefresher
from posewire.sockets.token_source import TokenProvider, TokenSource

logger = logging.getLogger(__name__)

_T = TypeVar("_T")
_H = TypeVar("_H", bound=Handler)


class SocketManager(PoolAccess, BodyCompression):
    """The connection of a session: connects, authenticates, requests, emits, and comes back after a loss.

    Used by a session, or alone: ``async with SocketManager(config, token=…) as socket``. Constructing it costs
    nothing; `connect` starts its tasks and `disconnect` ends them.

    Args:
        config: Settings; None reads them as `load_config` does.
        token: A JWT, or an async function that returns a fresh one, asked at every connection.
        credentials: Username and password, traded for a token at the server's login route.
        rng: Chance for the waits between attempts.
    """

    instances: ClassVar[weakref.WeakSet[SocketManager]] = weakref.WeakSet()
    """The connected ones of this process; there may be ``socket.max_connections``."""

    def __init__(
        self,
        config: Config | None = None,
        *,
        token: str | TokenProvider | None = None,
        credentials: Mapping[str, str] | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self.config = load_config() if config is None else config
        rng = random.Random() if rng is None else rng  # noqa: S311  # jitter, not a secret
        self.writer = PacketWriter()
        self.protocol = _new_protocol(self.config)
        self.welcome: control.Welcome | None = None
        self.room_id: str | None = None
        self.epoch = 0
        """Grows with each room entered: what the server knew of our streams is void."""
        self.restorers: list[Callable[[control.Welcome], Awaitable[None]]] = []
        """Awaited in order on every connection after the first, with the server's welcome, before anything is sent."""
        self.on_credit: Callable[[], None] = lambda: None
        """Called, from the reading task, when more can be sent on the connection."""
        self.drops: Counter[str] = Counter()
        """Packets that came and were not taken, and events that no handler saw, by reason."""
        self._dispatcher = EventDispatcher(self.drops)
        self._resumption = Resumption(self._tell)
        self._inbound = Inbound(self._resumption, self.dispatch, self.drops)
        self.on_server_event(control.BYE, self._bye)
        self._pool = PoolSupervisor(
            self.config.socket.url,
            self.config.socket,
            on_frame=self._inbound.frame,
            on_event=self._inbound.event,
            on_credit=lambda: self.on_credit(),
            greet=self._greet,
            notify=self._notify,
            round_trip=lambda: self._heartbeat.round_trip,
            rng=rng,
        )
        self.side = self._new_side_lanes(rng)
        if token is not None or credentials is not None:
            self._pool.source = TokenSource.configured(self.config.socket, token=token, credentials=credentials)
        self._heartbeat = Heartbeat(
            ask=lambda: self.request(control.Heartbeat(), int),
            config=self.config.socket,
            missed=self._pool.drop,
            tell=lambda data: self.dispatch(Event(name="clock", data=data)),
        )
        self.outbox = EventOutbox(self._pool.usable)
        self._refresher = TokenRefresher(
            lambda: self._pool.source, lambda token: self.request(control.RefreshToken(token=token), float)
        )
        self._connecting = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._total = self._failed = 0

    # Lifetime --------------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.disconnect()

    async def authenticate(self, credentials: Mapping[str, str]) -> bool:
        """Get a token for ``{"username", "password"}`` (or take ``{"token"}``) and keep it for every connection.

        Waits for the server's login route and, while connected, until the server has taken the token: the session goes
        on as it says. Cancelling is safe.

        Raises:
            AuthError: Something is missing, or the server says no; the token there was stays.
            ConnectionError: The server cannot be reached; the same.
        """
        source = TokenSource.configured(self.config.socket, credentials=credentials)
        token, good_for = await source.get(), 0.0
        if self.connected:
            good_for = await self.request(control.RefreshToken(token=token), float)
        self._pool.source = source
        if good_for:
            self._refresher.expires_in(good_for)
        return True

    async def connect(self) -> bool:
        """Connect, and keep the connection from now on. Idempotent; cancelling leaves nothing behind.

        Raises:
            AuthError: No token, or not accepted.
            ConnectionError: The server cannot be reached, or this process has its ``max_connections``.
        """
        await self.dial()
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run(), name="posewire.socket")
        return True

    async def disconnect(self) -> bool:
        """Say goodbye and close, in bounded time. Idempotent."""
        task, self._task = self._task, None
        try:
            if task is not None:
                await cancel_and_wait(task)
        finally:
            await self.hang_up()
        return True

    async def dial(self) -> None:
        """Connect once, without the tasks that keep the connection: for an owner that runs `loops` itself."""
        async with self._connecting:
            if self.connected:
                return
            others = [other for other in self.instances if other is not self]
            taken = sum(other.connected + len(other.side.lanes) for other in others)
            if taken >= self.config.socket.max_connections:
                raise ConnectionError(
                    f"{taken} connections are open in this process; socket.max_connections allows "
                    f"{self.config.socket.max_connections}"
                )
            await self._pool.open()
            self.instances.add(self)
            self._dispatcher.dispatch(Event(name="connect", data={"connection_id": self.status.connection_id}))

    async def hang_up(self) -> None:
        """Close the connection that `dial` made."""
        self.instances.discard(self)
        try:
            await self._pool.close()
        finally:
            self.outbox.fail(ConnectionError("the session ended before the server confirmed"))

    def loops(self) -> dict[str, Callable[[], Coroutine[Any, Any, None]]]:
        """Return what must run while connected, by name: exactly one owner runs each."""
        return {
            "supervisor": self._pool.run,
            "lanes": self.side.run,
            "heartbeat": self._heartbeat.run,
            "clock": self._heartbeat.time.run,
            "tokens": self._refresher.run,
            "handlers": self._dispatcher.run,
        }

    # State -----------------------------------------------------------------------------------------------------------

    @property
    def clock(self) -> clock.ServerClock:
        """The server's clock."""
        return self._heartbeat.clock

    @property
    def user_id(self) -> str:
        """Who the server says we are; empty before the first connection."""
        return self.welcome.user_id if self.welcome is not None else ""

    def enter(self, room_id: str | None, number: int = 0, key: SealKey | None = None) -> None:
        """Note the room packets go to, our number in it and what seals them; for `RoomManager`."""
        self.room_id = room_id
        self.epoch += 1
        self.side.forget_streams()
        self.writer.reset(number, key)
        self.protocol.reset()

    # Talking ---------------------------------------------------------------------------------------------------------

    @overload
    def on(self, event: str, handler: _H) -> _H: ...
    @overload
    def on(self, event: str, handler: None = None) -> Callable[[_H], _H]: ...
    def on(self, event: str, handler: Handler | None = None) -> Any:
        """Call ``handler(Event)``, sync or async, on each ``event``; without it, a decorator. `Event` has our names."""
        return self._dispatcher.on(event, handler)

    def dispatch(self, event: Event) -> None:
        """Hand ``event`` to its handlers. Never waits."""
        self._dispatcher.dispatch(event)

    def on_packet(self, kind: Kind, handler: PacketHandler) -> None:
        """Call ``handler(header, packet)`` for packets of ``kind``, in order, from the reading task."""
        self._inbound.packet_handlers[kind] = handler

    def on_server_event(self, name: str, handler: Callable[[Any], None]) -> None:
        """Call ``handler(data)`` on the server's own events, from the reading task, before those of `on`."""
        self._inbound.event_handlers[name] = handler

    async def request(self, message: msgspec.Struct, answer: type[_T]) -> _T:
        """Ask the server and wait for its answer, at most ``request_timeout``. Cancelling is safe.

        Raises:
            ConnectionError: Not connected, or no answer.
            PosewireError: The server's error.
        """
        name = control.REQUEST_NAMES[type(message)]
        result = await self._pool.usable().request(name, control.to_plain(message))
        return control.from_plain(result, answer, what=f"answer to {name!r}")

    async def emit(self, event: str, data: Any = None, room: str | None = None) -> bool:
        """Send an event to the other members of the room, and wait until the server has it, once and in order.

        A connection that is lost meanwhile is waited for. Cancelling gives up the waiting; the event may still arrive.

        Args:
            event: Its name.
            data: Anything msgpack can hold: numbers, text, bytes, lists, maps.
            room: The room we are in; None is the same.

        Raises:
            AuthError: Not authenticated.
            ConnectionError: No usable connection, or the session was not resumed after a loss.
            RoomError: Not in that room, or not allowed to publish.
            DataValidationError: The name or the data cannot travel.
        """
        if self._pool.source is None:
            raise AuthError("?", "not authenticated; call authenticate first")
        self._total += 1
        try:
            reply, _ = await self.submit_event(event, data, room)
            await reply
        except PosewireError:
            self._failed += 1
            raise
        return True

    broadcast = emit  # what the specification's RoomManager calls

    def captured_us(self, timestamp: float) -> int:
        """Return a local time as the header wants it: microseconds on the server's clock."""
        return max(0, round(self.clock.to_server(timestamp) * 1e6))

    async def submit_event(
        self, event: str, data: Any, room: str | None = None, *, own: bool = False
    ) -> tuple[Reply, int]:
        """Hand an event to the connection, and to the next ones until the server has it, which is not waited for.

        Returns:
            A future that gets the server's answer, and the bytes of the packet.

        Raises:
            PosewireError: As `emit`.
        """

        def write() -> bytes:
            self._check_room(room)
            if not self.connected:  # or greeted: the server does not know yet whose packets these are
                raise ConnectionError(f"not connected to {self.url}")
            return self.writer.write(
                Kind.EVENT, Delivery.RELIABLE, EVENT_STREAM, version=2, captured_us=captured_us, body=body
            )

        self._check_room(room)  # before whether we are connected
        body, captured_us = self.protocol.encode_event(event, data, own=own), self.captured_us(clock.now())
        return await self.outbox.submit(write, lambda: self.epoch)

    async def ensure_connection(self) -> None:
        """Wait until connected, connecting when nobody does. Cancelling is safe.

        Raises:
            PosewireError: What ended the connection for good.
        """
        if self._task is not None and self._task.done() and (error := failure_of(self._task)) is not None:
            raise error
        if self._task is None and not self.connected:
            await self.connect()
        await self._pool.ready.wait()

    # Inside ----------------------------------------------------------------------------------------------------------

    def _new_side_lanes(self, rng: random.Random) -> SideLanes:
        return SideLanes(
            self.config.socket,
            primary=self.primary,
            ask=lambda: self.request(control.OpenLane(), control.LaneTicket),
            dial=self._pool.open_side_lane,
            on_frame=self._inbound.side_frame,
            on_change=self._rerouted,
            rng=rng,
        )

    async def _greet(self) -> None:
        """What each new connection begins with: who we are, whether we are still there, what time it is."""
        before, lane = self.welcome, self._pool.usable()
        hello = self._resumption.hello(self.writer.member, server=lane.url)
        moved = self._resumption.elsewhere
        welcome = await self.request(hello, control.Welcome)
        if before is not None and before.user_id != welcome.user_id:
            raise AuthError(welcome.user_id, f"this session is that of {before.user_id!r}")
        lane.credited = welcome.acknowledges
        self._refresher.expires_in(welcome.expires_in)
        self._resumption.welcomed(welcome)
        if not welcome.resumed:
            reason = f"{lane.url} is another server" if moved else "it is a new one"
            self._pool.gap = self._pool.gap or welcome.reason or reason
            self.outbox.fail(ConnectionError(f"not known whether the event arrived; not resumed: {self._pool.gap}"))
            await self._heartbeat.time.begin(self.config.socket.clock_exchanges)
        elif self._pool.gap:  # this resumes what began in a greeting that failed; our seat was gone all the same
            welcome = msgspec.structs.replace(welcome, resumed=False, reason=self._pool.gap)
        self.welcome = welcome
        for restore in self.restorers if before is not None else ():
            await restore(welcome)
        if welcome.resumed:
            await self.outbox.resumed(welcome.received, self.epoch)
            self.protocol.restart()

    def _check_room(self, room: str | None) -> None:
        if self.room_id is None or room not in (None, self.room_id):
            raise RoomError(room or "?", f"not in this room; {self.user_id or 'we'} is in {self.room_id or 'none'}")

    def _tell(self, name: str, data: Any) -> None:
        with contextlib.suppress(ConnectionError):  # going: the next one will be told
            self._pool.usable().tell(name, data)

    def _notify(self, name: str, data: Any) -> None:
        if name == "disconnect":
            self.side.drop("the session's connection was lost")
        self.dispatch(Event(name=name, data=data))

    def _rerouted(self, lost: bool) -> None:
        if lost:
            self.protocol.restart()
        self.on_credit()

    def _bye(self, data: Any) -> None:
        self._pool.loss = reason_of(data, self.user_id)

    async def _run(self) -> None:
        """What the manager's own task does when no session runs its loops."""
        own()
        try:
            async with asyncio.TaskGroup() as group:
                for name, loop in self.loops().items():
                    group.create_task(loop(), name=f"posewire.{name}")
        except ExceptionGroup as failures:  # not `except*`: on 3.11.2 it puts what it raises into a group
            raise failures.exceptions[0] from None


def _new_protocol(config: Config) -> PoseProtocol:
    sender = config.sender
    return PoseProtocol(
        config.security.compression_level,
        compression_threshold=sender.compression_threshold if sender.compression_enabled else None,
        version=sender.protocol_version,
        precision=Precision(sender.precision_xy, sender.precision_z, sender.precision_visibility),
        anchor_interval=sender.anchor_interval,
        keyframe_interval=sender.keyframe_interval / 1000,
    )
