"""Where connections come in: counted before anything is made for them, and cut when they do not say who they are."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import itertools
import logging
import socket
import ssl
from collections import Counter, deque
from typing import Any, Final

from aiohttp import web

from posewire import clock
from posewire.lifetime import cancel_and_wait
from posewire.server.admission import Admission, address_key
from posewire.server.visitor import Visitor, visitor_of

logger = logging.getLogger(__name__)

_BACKLOG: Final = 1024
_AT_ONCE: Final = 8
"""Connections that are refused in one turn of the loop; of those that are taken there is one."""
_NO_MORE_FILES_SECONDS: Final = 0.2
_NOT_HERE: Final = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
_REFUSAL: Final = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Door:
    """Listens. A connection over its address's limits is closed before there is a task or a buffer for it.

    A flood of connections that say nothing costs what `AdmissionConfig.strangers` of them cost, and an honest one
    among them has time until as many came after it from its own address. What strangers send is handled one of them in
    a turn of the loop, and so are their coming and their going: members wait for one handshake at most, never for a
    crowd of them. A member that sends much takes turns with them.

    Args:
        admission: Counts connections by address.
        strangers: Connections that may be not let in yet.
        seconds: Until a connection must be let in, the TLS handshake included, or have got its answer.
        drops: Counts whom it turns away, by reason.
        secure: TLS; None listens without.
    """

    def __init__(
        self,
        admission: Admission,
        *,
        strangers: int,
        seconds: float,
        drops: Counter[str],
        secure: ssl.SSLContext | None = None,
    ) -> None:
        self._admission = admission
        self._most_strangers = strangers
        self._seconds = seconds
        self._drops = drops
        self._secure = secure
        self._strangers: dict[str, dict[Visitor, None]] = {}
        self._strangers_count = 0
        self._listeners: list[tuple[socket.socket, asyncio.Task[None]]] = []
        self._handshakes: set[asyncio.Task[None]] = set()
        self._line: deque[Visitor] = deque()
        self._turn: asyncio.Handle | None = None

    @property
    def strangers(self) -> int:
        """Connections that are not let in yet."""
        return self._strangers_count

    async def open(self, server: web.Server, host: str, port: int) -> int:
        """Listen on every address of ``host``; returns the port. Cancelling is safe.

        Raises:
            OSError: The port is in use, or the address is not ours.
        """
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        with contextlib.ExitStack() as undo:
            sockets = []
            for family, _, _, _, address in dict.fromkeys(found):
                # Port 0: the first takes a free one, and the others the same.
                try:
                    listener = _listen(family, (address[0], port, *address[2:]))
                except OSError as exc:
                    if exc.errno in _NOT_HERE and len(found) > 1:
                        continue  # "localhost" is ::1 too, which a machine without IPv6 does not have
                    raise
                undo.callback(listener.close)
                port = listener.getsockname()[1]
                sockets.append(listener)
            if not sockets:
                raise OSError(errno.EADDRNOTAVAIL, "no address of this machine")
            undo.pop_all()
        for listener in sockets:
            task = loop.create_task(self._accept(listener, server), name="posewire.server.accept")
            self._listeners.append((listener, task))
        return port

    async def close(self) -> None:
        """Take no more connections. Those that are open stay; handshakes of TLS are ended. Idempotent."""
        listeners, self._listeners = self._listeners, []
        for listener, task in listeners:
            await cancel_and_wait(task)
            listener.close()
        for task in list(self._handshakes):
            await cancel_and_wait(task)

    def key_of(self, request: web.BaseRequest) -> str:
        """Return what the address of a connection counts as."""
        return visitor_of(request).key

    def let_in(self, request: web.BaseRequest) -> None:
        """Take a connection for one of a member from now on."""
        visitor = visitor_of(request)
        self._forget_stranger(visitor)
        visitor.enter()

    def wait_in_line(self, visitor: Visitor) -> None:
        """Let a stranger go on when it is its turn."""
        self._line.append(visitor)
        if self._turn is None:
            self._turn = asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        self._line.popleft().go_on()
        self._turn = asyncio.get_running_loop().call_soon(self._next) if self._line else None

    def turn_away(self, visitor: Visitor, reason: str) -> None:
        """Cut a connection that was not let in."""
        self._drops[reason] += 1
        visitor.cut()

    def left(self, visitor: Visitor) -> None:
        """Forget a connection that is closed. Idempotent."""
        if not visitor.gone:
            visitor.gone = True
            self._forget_stranger(visitor)
            visitor.enter()
            self._admission.leave(visitor.key, clock.monotonic())

    async def _accept(self, listener: socket.socket, server: web.Server) -> None:
        loop = asyncio.get_running_loop()
        for turn in itertools.count(1):
            if not turn % _AT_ONCE:
                # sock_accept returns at once while there are more: the members must have their turn.
                await asyncio.sleep(0)
            try:
                connection, address = await loop.sock_accept(listener)
            except ConnectionError:
                continue  # it was gone before we had it
            except OSError as exc:
                # No descriptor or no memory: everyone who is connected goes on.
                logger.error("cannot take a connection: %s", exc)
                await asyncio.sleep(_NO_MORE_FILES_SECONDS)
                continue
            key = address_key(address[0])
            refusal = self._admission.knock(key, clock.monotonic())
            if refusal is not None:
                self._drops["over_limit_address"] += 1
                logger.info("connection refused: %s", refusal, extra={"address": key})
                self._refuse(connection)
                continue
            self._receive(Visitor(self, server, key, loop), connection)
            await asyncio.sleep(0)

    def _refuse(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            connection.setblocking(False)
            if self._secure is None:
                connection.send(_REFUSAL)
        connection.close()

    def _receive(self, visitor: Visitor, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        if self._strangers_count >= self._most_strangers:
            most = max(self._strangers.values(), key=len)
            self._forget_stranger(oldest := next(iter(most)))
            self.turn_away(oldest, "too_many_strangers")
        self._strangers.setdefault(visitor.key, {})[visitor] = None
        self._strangers_count += 1
        visitor.timer = loop.call_later(self._seconds, self.turn_away, visitor, "handshake_timeout")
        visitor.task = task = loop.create_task(self._connect(visitor, connection), name="posewire.server.handshake")
        self._handshakes.add(task)
        task.add_done_callback(self._handshakes.discard)

    async def _connect(self, visitor: Visitor, connection: socket.socket) -> None:
        connected = False
        options: dict[str, Any] = {} if self._secure is None else {"ssl_handshake_timeout": self._seconds}
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: visitor, connection, ssl=self._secure, **options
            )
            connected = True
        except OSError as exc:  # of TLS too
            self._drops["handshake_failed"] += 1
            logger.info("no connection: %s", exc, extra={"address": visitor.key})
        finally:
            if not connected:
                # A transport that did not come about need not tell the visitor.
                connection.close()
                self.left(visitor)

    def _forget_stranger(self, visitor: Visitor) -> None:
        others = self._strangers.get(visitor.key)
        if others is not None and visitor in others:
            del others[visitor]
            self._strangers_count -= 1
            if not others:
                del self._strangers[visitor.key]


def _listen(family: int, address: Any) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setblocking(False)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener
