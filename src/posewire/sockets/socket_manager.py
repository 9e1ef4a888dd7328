"""One logical connection to the server, which comes back by itself."""

from __future__ import annotations

import asyncio
import logging
import random
import weakref
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, ClassVar, Self, TypeVar, overload

import msgspec

from posewire import clock
from posewire.config import Config, load_config
from posewire.errors import AuthError, ConnectionError, PosewireError, ProtocolError, RoomError
from posewire.lifetime import cancel_and_wait, failure_of, own
from posewire.protocol import (
    EVENT_STREAM,
    Delivery,
    Header,
    Kind,
    PacketWriter,
    PoseProtocol,
    Precision,
    SealKey,
    control,
    unpack_header,
)
from posewire.sockets.event_dispatcher import Event, EventDispatcher, Handler
from posewire.sockets.heartbeat import Heartbeat
from posewire.sockets.lane import Reply
from posewire.sockets.pool_supervisor import PoolSupervisor
from posewire.sockets.token_source import TokenProvider, TokenSource

logger = logging.getLogger(__name__)

_T = TypeVar("_T")
_H = TypeVar("_H", bound=Handler)
PacketHandler = Callable[[Header, bytes], None]


class ConnectionStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A look at a connection."""

    connected: bool = False
    last_heartbeat: float = 0.0
    """When the server last answered a heartbeat, on the scale of ``time.time()``; 0 never."""
    reconnect_count: int = 0
    error_count: int = 0
    connection_id: str = ""
    round_trip: float = 0.0
    """Seconds the last heartbeat took."""


class SocketManager:
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
        self.url = self.config.socket.url
        self.writer = PacketWriter()
        sender = self.config.sender
        self.protocol = PoseProtocol(
            self.config.security.compression_level,
            compression_threshold=sender.compression_threshold if sender.compression_enabled else None,
            version=sender.protocol_version,
            precision=Precision(sender.precision_xy, sender.precision_z, sender.precision_visibility),
            anchor_interval=sender.anchor_interval,
            keyframe_interval=sender.keyframe_interval / 1000,
        )
        self.welcome: control.Welcome | None = None
        self.room_id: str | None = None
        self.epoch = 0
        """Grows with each room entered: what the server knew of our streams is void."""
        self.drops: Counter[str] = Counter()
        """Packets that came and were not taken, by reason."""
        self.restorers: list[Callable[[], Awaitable[None]]] = []
        """Awaited in order after every reconnect, before anything is sent again."""
        self._dispatcher = EventDispatcher()
        self._packet_handlers: dict[Kind, PacketHandler] = {}
        self._server_handlers: dict[str, Callable[[Any], None]] = {control.BYE: self._bye}
        self._pool = PoolSupervisor(
            self.url,
            self.config.socket,
            on_frame=self._frame,
            on_event=self._server_event,
            greet=self._greet,
            notify=lambda name, data: self.dispatch(Event(name=name, data=data)),
            rng=random.Random() if rng is None else rng,  # noqa: S311  # jitter, not a secret
        )
        self._pool.source = self._token_source(token, credentials)
        self._heartbeat = Heartbeat(
            ask=lambda: self.request(control.Heartbeat(), int),
            interval=self.config.socket.heartbeat_interval / 1000,
            missed=self._heartbeat_missed,
        )
        self._connecting = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._total = 0
        self._failed = 0

    # Lifetime --------------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.disconnect()

    async def authenticate(self, credentials: Mapping[str, str]) -> bool:
        """Get a token for ``{"username", "password"}`` (or take ``{"token"}``) and keep it for every connection.

        Waits for the server's login route. Cancelling is safe.

        Raises:
            AuthError: Something is missing, or the server says no.
            ConnectionError: The login route cannot be reached.
        """
        source = self._token_source(None, credentials)
        assert source is not None
        await source.get()
        self._pool.source = source
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
            taken = sum(other.connected for other in self.instances if other is not self)
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
        await self._pool.close()

    def loops(self) -> dict[str, Callable[[], Coroutine[Any, Any, None]]]:
        """Return what must run while connected, by name: exactly one owner runs each."""
        return {"supervisor": self._pool.run, "heartbeat": self._heartbeat.run, "handlers": self._dispatcher.run}

    # State -----------------------------------------------------------------------------------------------------------

    @property
    def connected(self) -> bool:
        """Whether requests and packets can go out now."""
        return self._pool.connected

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
        self.writer.reset(number, key)
        self.protocol.reset()

    # Talking ---------------------------------------------------------------------------------------------------------

    @overload
    def on(self, event: str, handler: _H) -> _H: ...
    @overload
    def on(self, event: str, handler: None = None) -> Callable[[_H], _H]: ...
    def on(self, event: str, handler: Handler | None = None) -> Any:
        """Call ``handler(Event)``, sync or async, on every ``event``; without a handler, a decorator.

        Names: the application's, and ours: ``connect``, ``disconnect``, ``reconnect``, ``bye``, ``room``.
        """
        return self._dispatcher.on(event, handler)

    def dispatch(self, event: Event) -> None:
        """Hand ``event`` to its handlers. Never waits."""
        self._dispatcher.dispatch(event)

    def on_packet(self, kind: Kind, handler: PacketHandler) -> None:
        """Call ``handler(header, packet)`` for packets of ``kind``, in order, from the reading task."""
        self._packet_handlers[kind] = handler

    def on_server_event(self, name: str, handler: Callable[[Any], None]) -> None:
        """Call ``handler(data)`` on the server's own events, from the reading task, before those of `on`."""
        self._server_handlers[name] = handler

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
        """Send an event to the other members of the room, and wait until the server has it. Cancelling is safe.

        Args:
            event: Its name.
            data: Anything msgpack can hold: numbers, text, bytes, lists, maps.
            room: The room we are in; None is the same.

        Raises:
            AuthError: Not authenticated.
            ConnectionError: No usable connection, or no answer.
            RoomError: Not in that room, or not allowed to publish.
            DataValidationError: The name or the data cannot travel.
        """
        if self._pool.source is None:
            raise AuthError("?", "not authenticated; call authenticate first")
        self._total += 1
        try:
            packet = self.event_packet(event, data, room)
            await self._pool.usable().request(control.FRAME, packet)
        except PosewireError:
            self._failed += 1
            raise
        return True

    def event_packet(self, event: str, data: Any, room: str | None = None) -> bytes:
        """Return the packet of an event.

        Raises:
            RoomError: Not in a room, or in another.
            DataValidationError: The name or the data cannot travel.
        """
        if self.room_id is None or room not in (None, self.room_id):
            raise RoomError(room or "?", f"not in this room; {self.user_id or 'we'} is in {self.room_id or 'none'}")
        body = self.protocol.encode_event(event, data)
        captured_us = self.captured_us(clock.now())
        return self.writer.write(
            Kind.EVENT, Delivery.RELIABLE, EVENT_STREAM, version=2, captured_us=captured_us, body=body
        )

    def captured_us(self, timestamp: float) -> int:
        """Return a local time as the header wants it: microseconds on the server's clock."""
        return max(0, round(self.clock.to_server(timestamp) * 1e6))

    async def send_packet(self, packet: bytes) -> None:
        """Hand a packet to the connection; the server does not acknowledge it.

        Raises:
            ConnectionError: Not connected.
        """
        await self._pool.usable().send(packet)

    async def submit_packet(self, packet: bytes) -> Reply:
        """Hand a packet to the connection; the future gets the server's acknowledgement or error.

        Raises:
            ConnectionError: Not connected.
        """
        return await self._pool.usable().submit(control.FRAME, packet)

    async def writable(self) -> None:
        """Wait until there is a connection. Cancelling is safe."""
        while not self.connected:
            await self._pool.ready.wait()
            # A lane that is lost stays "ready" until the supervisor has had its turn.
            await asyncio.sleep(0)

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

    def _token_source(
        self, token: str | TokenProvider | None, credentials: Mapping[str, str] | None
    ) -> TokenSource | None:
        if token is None and credentials is None:
            return None
        timeout = self.config.socket.request_timeout / 1000
        return TokenSource(self.url, token=token, credentials=credentials, timeout=timeout)

    async def _greet(self) -> None:
        """What each new connection begins with: who we are, what time it is, what there was before."""
        self.welcome = await self.request(control.Hello(), control.Welcome)
        await self._heartbeat.sync_clock(self.config.socket.clock_exchanges)
        for restore in self.restorers:
            await restore()

    async def _heartbeat_missed(self) -> None:
        self._failed += 1
        if self._pool.lane is not None:
            await self._pool.lane.close()  # the supervisor opens another

    async def _run(self) -> None:
        """What the manager's own task does when no session runs its loops."""
        own()
        try:
            async with asyncio.TaskGroup() as group:
                for name, loop in self.loops().items():
                    group.create_task(loop(), name=f"posewire.{name}")
        except* PosewireError as failures:
            raise failures.exceptions[0] from None

    def _frame(self, packet: bytes) -> None:
        try:
            header = unpack_header(packet)
        except ProtocolError as exc:
            self.drops[exc.reason] += 1
            logger.debug("dropped a packet: %s", exc)
            return
        if (handler := self._packet_handlers.get(header.kind)) is not None:
            handler(header, packet)

    def _server_event(self, name: str, data: Any) -> None:
        if (handler := self._server_handlers.get(name)) is not None:
            handler(data)
        self.dispatch(Event(name=name, data=data))

    def _bye(self, data: Any) -> None:
        try:
            bye = control.from_plain(data, control.Bye, what="bye")
        except PosewireError:
            bye = control.Bye(reason="no reason given")
        if bye.retry:
            self._pool.loss = ConnectionError(f"the server said goodbye: {bye.reason}")
        else:
            self._pool.loss = AuthError(self.user_id, bye.reason)
