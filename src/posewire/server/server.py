"""The authority: lets members in, keeps the rooms, passes the frames on."""

from __future__ import annotations

import asyncio
import errno
import functools
import logging
import os
import secrets
from collections import Counter
from typing import Any, Final, Self

import msgspec
from aiohttp import web
from socketio import exceptions as sio_exceptions

from posewire import clock
from posewire.addresses import is_loopback
from posewire.config import Config, load_config
from posewire.errors import AuthError, ConfigurationError, ConnectionError, PosewireError, ResourceLimitError
from posewire.protocol import control
from posewire.protocol.control import Role
from posewire.server.connection import Connection
from posewire.server.control_desk import ControlDesk
from posewire.server.engine import Engine
from posewire.server.login_route import MAX_BODY_BYTES, LoginRoute
from posewire.server.relay import Relay
from posewire.server.room_registry import RoomRegistry
from posewire.server.token_authority import TokenAuthority
from posewire.server.user_store import UserStore
from posewire.version import __version__

logger = logging.getLogger(__name__)

_CLOSE_SECONDS: Final = 1.0
_HOW_TO_MAKE_ONE: Final = 'python -c "import secrets; print(secrets.token_urlsafe(48))"'


class ServerStats(msgspec.Struct, frozen=True, kw_only=True):
    """A look at a server."""

    connections: int
    rooms: int
    frames_in: int
    """Packets taken from members."""
    frames_out: int
    """Packets handed on, one for each recipient."""
    drops: dict[str, int]
    """What was not passed on, by reason."""


class Server:
    """A Posewire server in this process. Made by `posewire.serve`, used with ``async with``.

    Args:
        host: Address to listen on; anything but loopback needs ``security.secret_key``.
        port: TCP port; 0 takes a free one.
        config: Settings.

    Raises:
        ConfigurationError: No secret for an address that is not loopback.
    """

    def __init__(self, host: str, port: int, config: Config) -> None:
        secret = config.security.secret_key
        if secret is None and not is_loopback(host):
            why = f"needed to listen on {host}, which is not loopback; make one with: {_HOW_TO_MAKE_ONE}"
            raise ConfigurationError("security.secret_key", None, why)
        self.config = config
        self.host = host
        self.users = UserStore(config.server.users_file)
        self._port = port
        self._tokens = TokenAuthority(
            secret.encode() if secret is not None else secrets.token_bytes(48), lifetime=config.security.token_expiry
        )
        self._rooms = RoomRegistry(config.room, now=clock.now)
        self._relay = Relay(self._rooms)
        self._desk = ControlDesk(self._rooms, now=clock.now)
        self._connections: dict[str, Connection] = {}
        self._draining = False
        self._engine: Engine | None = None
        self._runner: web.AppRunner | None = None

    # Lifetime --------------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Start to listen.

        Raises:
            ConnectionError: The port is in use, or the address is not ours.
            ConfigurationError: The file of users cannot be read.
        """
        await self.users.names()
        self._engine = engine = Engine(self.config)
        engine.on("connect", self._connect)
        engine.on("disconnect", self._disconnect)
        engine.on(control.FRAME, self._frame)
        engine.on("*", self._request)
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        engine.attach(app)
        LoginRoute(self.users, self._tokens, self._health).add_to(app)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_CLOSE_SECONDS)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self.host, self._port).start()
        except OSError as exc:
            await self._runner.cleanup()
            raise ConnectionError(_why_not(exc, self.host, self._port)) from exc
        self._port = self._runner.addresses[0][1]
        logger.info("listening", extra={"url": self.url})
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self, reason: str = "the server is shutting down") -> None:
        """Stop listening, tell everyone, let what is queued go out, close. In bounded time; idempotent."""
        engine, runner = self._engine, self._runner
        self._engine = self._runner = None
        if engine is None or runner is None:
            return
        self._draining = True
        for site in list(runner.sites):
            await site.stop()
        connections = list(self._connections.values())
        for connection in connections:
            connection.dismiss(control.Bye(reason=reason))
        try:
            async with asyncio.timeout(self.config.server.drain_timeout / 1000):
                for connection in connections:
                    await connection.ended.wait()
        except TimeoutError:
            logger.info("%d connections did not drain in time; cut", sum(not c.ended.is_set() for c in connections))
            for connection in connections:
                connection.cut()
        await engine.shutdown()
        await runner.cleanup()
        await engine.eio.cancel_tasks()

    # Use -------------------------------------------------------------------------------------------------------------

    @property
    def port(self) -> int:
        """The TCP port."""
        return self._port

    @property
    def url(self) -> str:
        """Where clients connect to."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self._port}"

    def issue_token(
        self,
        user_id: str,
        *,
        room_id: str | None = None,
        role: Role = "member",
        publish: bool = True,
        subscribe: bool = True,
        ttl: float | None = None,
    ) -> str:
        """Return a token this server accepts.

        Args:
            user_id: Who its holder is.
            room_id: The only room it is good for; None for any.
            role: ``host`` or ``member``.
            publish: Whether its holder may send.
            subscribe: Whether its holder may receive.
            ttl: Seconds it is good for; None is ``security.token_expiry``.

        Raises:
            DataValidationError: A name, role or time that cannot be.
        """
        return self._tokens.issue(user_id, room_id=room_id, role=role, publish=publish, subscribe=subscribe, ttl=ttl)

    async def add_user(self, name: str, password: str) -> None:
        """Let ``name`` log in with ``password``. Waits for the slow hash.

        Raises:
            DataValidationError: The name is taken, or one of them will not do.
        """
        await self.users.add(name, password)

    def stats(self) -> ServerStats:
        """Return the server's figures."""
        drops: Counter[str] = self._relay.drops + (self._engine.drops if self._engine is not None else Counter())
        return ServerStats(
            connections=len(self._connections),
            rooms=len(self._rooms.rooms),
            frames_in=self._relay.frames_in,
            frames_out=self._relay.frames_out,
            drops=dict(drops),
        )

    # Called by python-socketio ---------------------------------------------------------------------------------------

    async def _connect(self, sid: str, environ: dict[str, Any], auth: Any = None) -> None:
        assert self._engine is not None
        try:
            self._admit(sid, environ, auth)
        except PosewireError as exc:
            logger.info("connection refused: %s", exc)
            raise sio_exceptions.ConnectionRefusedError(str(exc), exc.to_wire()) from None

    def _admit(self, sid: str, environ: dict[str, Any], auth: Any) -> None:
        if self._draining or self._engine is None:
            raise ConnectionError("the server is shutting down")
        given = auth if isinstance(auth, dict) else {}
        claims = self._tokens.verify(given.get("token"))
        if len(self._connections) >= self.config.server.max_connections:
            raise ResourceLimitError(f"{len(self._connections)} connections are open, the most this server may have")
        own = sum(other.user_id == claims.sub for other in self._connections.values())
        if own >= self.config.socket.max_connections:
            raise ResourceLimitError(f"{claims.sub} has {own} connections open, the most one user may have")
        session_id = str(given.get("session") or sid)[:64]
        connection = Connection(
            self._engine, sid, environ, claims, session_id, queue_limit=self.config.server.recipient_queue
        )
        self._connections[sid] = connection
        self._engine.eio.frame_handlers[connection.eio_sid] = functools.partial(self._relay.frame, connection)
        logger.info("connected", extra={"user": claims.sub, "sid": sid})

    async def _disconnect(self, sid: str, reason: str = "") -> None:
        connection = self._connections.pop(sid, None)
        if connection is not None:
            self._rooms.forget(connection)
            connection.release()
            logger.info("disconnected", extra={"user": connection.user_id, "sid": sid, "reason": reason})

    async def _frame(self, sid: str, packet: Any = None, *_: Any) -> list[Any]:
        connection = self._connections.get(sid)
        if connection is None:
            return [False, AuthError("?", "not connected").to_wire()]
        return self._relay.frame(connection, packet)

    async def _request(self, event: str, sid: str, *args: Any) -> list[Any]:
        connection = self._connections.get(sid)
        if connection is None:
            return [False, AuthError("?", "not connected").to_wire()]
        return self._desk.answer(connection, event, args[0] if args else None)

    def _health(self) -> dict[str, Any]:
        stats = self.stats()
        return {
            "status": "draining" if self._draining else "ok",
            "version": __version__,
            "connections": stats.connections,
            "rooms": stats.rooms,
        }


def serve(host: str | None = None, port: int | None = None, config: Config | None = None) -> Server:
    """Return a server; ``async with`` starts and stops it.

    Args:
        host: Address to listen on; None is ``127.0.0.1``.
        port: TCP port; None takes a free one.
        config: Settings; None reads ``config.yaml`` and the environment.

    Raises:
        ConfigurationError: A setting is wrong, or no secret for an address that is not loopback.
    """
    config = load_config() if config is None else config
    if not isinstance(config, Config):
        raise ConfigurationError("config", type(config).__name__, "expected a posewire.Config or None")
    if host is not None and not isinstance(host, str):
        raise ConfigurationError("host", host, "expected a name or an address")
    if port is not None and (isinstance(port, bool) or not isinstance(port, int) or not 0 <= port <= 65_535):
        raise ConfigurationError("port", port, "expected 0 to 65535")
    return Server(host or "127.0.0.1", port or 0, config)


def _why_not(exc: OSError, host: str, port: int) -> str:
    if exc.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is in use"
    return f"cannot listen on {host}:{port}: {os.strerror(exc.errno) if exc.errno else exc}"
