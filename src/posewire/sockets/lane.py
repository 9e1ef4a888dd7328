"""One connection to the server."""

from __future__ import annotations

import asyncio
import logging
import urllib.parse
from collections.abc import Callable
from typing import Any

import aiohttp
from socketio import exceptions as sio_exceptions
from socketio import packet as sio_packet

from posewire import clock
from posewire.config import ConnectionConfig
from posewire.errors import ConfigurationError, ConnectionError, DataValidationError, PosewireError, error_from_wire
from posewire.flow import CreditWindow
from posewire.lifetime import cancel_and_wait, cancellation_kept
from posewire.limits import MAX_PACKET_BYTES
from posewire.protocol import SocketIOPacket, control, wrap_frame
from posewire.sockets.kernel_queue import confirm_now, tune, unsent
from posewire.sockets.masked_frame import MaskedFrames
from posewire.sockets.socketio_client import SocketIOClient
from posewire.sockets.trust import client_context, distrust, no_redirects

logger = logging.getLogger(__name__)

_FRAMING_BYTES = 1024
"""What Socket.IO may put around a packet."""
_CLOSE_SECONDS = 1.0
_UNSENT = 4096
"""Bytes in the kernel that are as good as none: a packet of TCP, or what is just leaving."""

Reply = asyncio.Future[Any]


class Lane:
    """One Socket.IO connection over WebSocket, opened once and closed once.

    Args:
        url: ``http(s)://host:port``.
        config: Timeouts.
        on_frame: Called with each packet, in order, in the transport's callback or in the reading task. When it raises,
            the connection ends.
        on_event: Called with name and argument of every other event, in order, in the reading task. Must not raise.
        on_credit: Called when more can be sent, likewise.
    """

    def __init__(
        self,
        url: str,
        config: ConnectionConfig,
        *,
        on_frame: Callable[[bytes], None],
        on_event: Callable[[str, Any], None],
        on_credit: Callable[[], None] = lambda: None,
    ) -> None:
        self.url = check_url(url)
        self.closed = asyncio.Event()
        """Set when the connection is gone, whoever ended it."""
        self.close_reason = ""
        self.credit = CreditWindow()
        """What is under way."""
        self.credited: bool | None = None
        """Whether the server acknowledges packets; None before it has said so."""
        self._config = config
        self._on_frame = on_frame
        self._on_event = on_event
        self._on_credit = on_credit
        self._http: aiohttp.ClientSession | None = None
        self._sio: SocketIOClient | None = None
        self._websocket: aiohttp.ClientWebSocketResponse | None = None
        self._response: aiohttp.ClientResponse | None = None
        self._transport: asyncio.Transport | None = None
        self._sock: Any = None
        self._descriptor = -1
        self._masked = MaskedFrames()
        self._refusal: Any = None
        self._replies: set[Reply] = set()

    @property
    def id(self) -> str:
        """The connection's id on the server; empty when it is not open."""
        return (self._sio.get_sid() or "") if self._sio is not None and not self.closed.is_set() else ""

    async def open(self, token: str, session_id: str, *, seconds: float | None = None, ticket: str = "") -> None:
        """Connect and be let in; waits at most ``connect_timeout``. After a failure or cancellation nothing is left.

        Args:
            token: Says who we are.
            session_id: Says which session the connection is of.
            seconds: To wait at most, instead.
            ticket: Of a further connection of the session: what the server gave for it.

        Raises:
            ConnectionError: The server is not there, or does not answer.
            AuthError: It does not accept the token.
            PosewireError: It refuses for another reason, and says which.
        """
        timeout = self._config.connect_timeout / 1000 if seconds is None else seconds
        self._http = aiohttp.ClientSession(
            ws_response_class=self._new_websocket,  # type: ignore[arg-type]
            trace_configs=[no_redirects()],
        )
        self._sio = SocketIOClient(
            serializer=SocketIOPacket,
            http_session=self._http,
            request_timeout=_CLOSE_SECONDS,
            websocket_extra_options={
                "max_msg_size": MAX_PACKET_BYTES + _FRAMING_BYTES,
                "compress": 0,
                "ssl": client_context(self._config.ca_file),
            },
        )
        self._sio.on(control.FRAME, self._frame)
        self._sio.eio.on_frame = self._on_frame
        self._sio.eio.on_ack = self._acknowledged
        self._sio.on("*", self._event)
        self._sio.on("disconnect", self._lost)
        self._sio.on("connect_error", self._refused)
        opened = False
        try:
            async with asyncio.timeout(timeout):
                with cancellation_kept():
                    await self._sio.connect(
                        self.url,
                        auth={"token": token, "session": session_id, **({"lane": ticket} if ticket else {})},
                        transports=["websocket"],
                        wait_timeout=timeout,
                    )
            opened = True
        except TimeoutError:
            raise ConnectionError(f"no answer from {self.url} within {timeout:g} s") from None
        except (sio_exceptions.ConnectionError, aiohttp.ClientError, OSError, ValueError) as exc:
            raise self._failure(exc) from exc
        finally:
            if not opened:
                await self._release()

    async def submit(self, event: str, data: Any) -> Reply:
        """Send a request; the future it returns gets the result, or the server's error.

        Does not wait for the answer. Cancelling is safe: the request was queued whole or not at all.

        Raises:
            ConnectionError: The lane is not open.
        """
        reply: Reply = asyncio.get_running_loop().create_future()
        # An answer nobody waits for any more must not be reported as an unhandled error.
        reply.add_done_callback(lambda done: done.cancelled() or done.exception())

        def acknowledged(*args: Any) -> None:
            self._replies.discard(reply)
            _settle(reply, args[0] if args else None)

        self._replies.add(reply)
        if event == control.FRAME:
            self._count(len(data))
        await self._emit(event, data, acknowledged)
        return reply

    async def request(self, event: str, data: Any) -> Any:
        """Send a request and wait for its result, at most ``request_timeout``. Cancelling is safe.

        Raises:
            ConnectionError: No answer, or the connection went away.
            PosewireError: The server's error.
        """
        timeout = self._config.request_timeout / 1000
        reply = await self.submit(event, data)
        try:
            async with asyncio.timeout(timeout):
                return await reply
        except TimeoutError:
            raise ConnectionError(f"no answer to {event!r} from {self.url} within {timeout:g} s") from None
        finally:
            self._replies.discard(reply)

    def takes(self, size: int, now: float, *, urgent: bool = False) -> bool:
        """Return whether a packet of ``size`` bytes would be on its way at once at ``now``, monotonic seconds.

        If not, `on_credit` is called when that may have changed; but not with a server that does not acknowledge.
        """
        if self.credited is not False:
            if not self.credit.in_flight:
                return True
            if not self.credit.takes(size, now, urgent=urgent):
                return False
        # What lies here or in the kernel has not begun its way.
        transport = self._transport
        return transport is None or (not transport.get_write_buffer_size() and unsent(self._descriptor) <= _UNSENT)

    def write(self, packet: bytes) -> None:
        """Write a packet, whole, past the queues of the libraries. Never waits; ask `takes` first.

        Raises:
            ConnectionError: The lane is not open.
        """
        transport = self._transport
        if transport is None or self.closed.is_set() or transport.is_closing():
            raise self._not_connected()
        self._count(len(packet))
        transport.write(self._masked.frame(wrap_frame(packet)))

    def confirm_now(self) -> None:
        """Let the server's kernel know at once what has come: it holds back more until then. Never waits."""
        confirm_now(self._sock)

    def tell(self, event: str, data: Any) -> None:
        """Write an event that nobody answers. Never waits.

        Raises:
            ConnectionError: The lane is not open.
        """
        transport = self._transport
        if transport is None or self.closed.is_set() or transport.is_closing():
            raise self._not_connected()
        packet = SocketIOPacket(sio_packet.EVENT, namespace="/", data=[event, data])
        transport.write(self._masked.frame(packet.encode()))

    def cut(self, reason: str) -> None:
        """Send and take nothing any more, at once; whoever opened it is to `close` it. Never waits."""
        self._lost(reason)
        if self._transport is not None:
            self._transport.abort()

    async def close(self, *, goodbye: bool = True) -> None:
        """Close, in bounded time. Idempotent; when cancelled the connection is cut at once.

        Args:
            goodbye: Tell the server that the session ends with it. Without it the connection is cut at once.
        """
        try:
            if goodbye and self._sio is not None and self._sio.connected and not self.closed.is_set():
                self._say_goodbye()
                async with asyncio.timeout(2 * _CLOSE_SECONDS):
                    await self._sio.disconnect()
        except TimeoutError:
            logger.info("%s did not close in time; cut", self.url)
        finally:
            await self._release()

    def _say_goodbye(self) -> None:
        # Socket.IO queues it and closes the WebSocket before its queue is written.
        if self._transport is not None and not self._transport.is_closing():
            packet = SocketIOPacket(sio_packet.DISCONNECT, namespace="/")
            self._transport.write(self._masked.frame(packet.encode()))

    def _count(self, size: int) -> None:
        # What is never acknowledged would be remembered for ever.
        if self.credited is not False:
            self.credit.sent(size, clock.monotonic())

    async def _emit(self, event: str, data: Any, callback: Callable[..., None] | None) -> None:
        if self._sio is None or self.closed.is_set():
            raise self._not_connected()
        try:
            await self._sio.emit(event, data, callback=callback)
        except sio_exceptions.BadNamespaceError:
            raise ConnectionError(f"not connected to {self.url}") from None

    def _not_connected(self) -> ConnectionError:
        return ConnectionError(f"not connected to {self.url}{f': {self.close_reason}' if self.close_reason else ''}")

    async def _release(self) -> None:
        self._lost("closed")
        if self._sio is not None:
            # On Python 3.11 `wait_for` swallows a cancellation that comes with a result; the loop looks at this next.
            self._sio.eio.state = "disconnected"
            self._sio.eio.forget()
        # Cut first: closing would otherwise wait for the other end, which may be gone.
        if self._websocket is not None and not self._websocket.closed and self._transport is not None:
            self._transport.abort()
        try:
            for task in list(self._sio.eio.tasks) if self._sio is not None else ():
                await cancel_and_wait(task)
            if self._websocket is not None and not self._websocket.closed:
                await self._websocket.close()
        finally:
            # In one step, in case that this is cancelled too.
            if self._response is not None:
                self._response.close()  # aiohttp does not when the transport was cut under its reading
            if self._http is not None and (connector := self._http.connector) is not None:
                self._http.detach()
                await connector.close()

    def _new_websocket(
        self, reader: Any, writer: Any, protocol: Any, response: aiohttp.ClientResponse, *args: Any, **kwargs: Any
    ) -> aiohttp.ClientWebSocketResponse:
        # Kept: when connecting is cancelled, engine.io forgets the WebSocket it has just made.
        self._websocket = aiohttp.ClientWebSocketResponse(reader, writer, protocol, response, *args, **kwargs)
        self._response = response
        self._transport = response.connection.transport if response.connection is not None else None
        sock = self._transport.get_extra_info("socket") if self._transport is not None else None
        tune(sock)
        self._sock = sock
        self._descriptor = sock.fileno() if sock is not None else -1
        return self._websocket

    def _failure(self, exc: Exception) -> PosewireError:
        if isinstance(self._refusal, dict):
            if isinstance(self._refusal.get("data"), dict):
                return error_from_wire(self._refusal["data"])
            return ConnectionError(f"{self.url} refused: {self._refusal.get('message')}")
        why = distrust(exc, self._config.ca_file) or _root_cause(exc)
        return ConnectionError(f"cannot connect to {self.url}: {why}")

    # Called by python-socketio from the reading task -----------------------------------------------------------------

    def _frame(self, packet: Any = None, *_: Any) -> None:
        if isinstance(packet, bytes):
            self._on_frame(packet)

    def _event(self, event: str, *args: Any) -> None:
        data = args[0] if args else None
        if event != control.ACK:
            self._on_event(event, data)
            return
        try:
            self._acknowledged(control.from_plain(data, control.Ack, what="ack"))
        except DataValidationError as exc:
            logger.warning("acknowledgement not understood: %s", exc)

    def _acknowledged(self, ack: control.Ack) -> None:
        if not self.credit.acknowledged(ack.total, clock.monotonic(), ack.held_us / 1e6):
            logger.warning("the server acknowledged %d bytes, of %d sent", ack.total, self.credit.sent_bytes)
        self._on_credit()

    def _refused(self, reason: Any = None, *_: Any) -> None:
        self._refusal = reason

    def _lost(self, reason: Any = "") -> None:
        if self.closed.is_set():
            return
        self.close_reason = str(reason)
        self.closed.set()
        for reply in self._replies:
            if not reply.done():
                reply.set_exception(ConnectionError(f"the connection to {self.url} went away: {reason}"))
        self._replies.clear()


def _settle(reply: Reply, answer: Any) -> None:
    if reply.done():
        return
    match answer:
        case [True, result]:
            reply.set_result(result)
        case [False, error]:
            reply.set_exception(error_from_wire(error))
        case _:
            reply.set_exception(ConnectionError(f"the server's answer makes no sense: {str(answer)[:80]}"))


def _root_cause(exc: BaseException) -> str:
    """Say what the network said; engine.io wraps it in "Connection error"."""
    while (inner := exc.__cause__ or exc.__context__) is not None:
        exc = inner
    return str(exc) or type(exc).__name__


def check_url(url: str) -> str:
    """Return ``url`` without a slash at its end.

    Raises:
        ConfigurationError: It is not ``http(s)://host[:port]``.
    """
    try:
        parts = urllib.parse.urlsplit(url)
        fine = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except (ValueError, AttributeError, TypeError):
        fine = False
    if not fine:
        raise ConfigurationError("url", url, "expected http://host:port or https://host:port")
    return url.rstrip("/")
