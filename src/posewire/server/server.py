"""The authority: lets members in, keeps the rooms, passes the frames on."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import time
import urllib.parse
from collections.abc import Coroutine
from typing import Any, Final, Self

import msgspec
from aiohttp import web

from posewire.config import Config, load_config
from posewire.errors import ConfigurationError, ConnectionError
from posewire.lifetime import cancel_and_wait, failure_of
from posewire.protocol.room_view import Role
from posewire.server.door import Door
from posewire.server.engine import Engine
from posewire.server.login_limiter import LoginLimiter
from posewire.server.login_route import MAX_BODY_BYTES, LoginRoute
from posewire.server.origin_policy import OriginPolicy
from posewire.server.reception import Reception
from posewire.server.revocation_list import RevocationList
from posewire.server.secret_strength import check_secret
from posewire.server.tls import server_context
from posewire.server.token_authority import TokenAuthority
from posewire.server.user_store import UserStore
from posewire.server.web_page import WebPage
from posewire.version import __version__

logger = logging.getLogger(__name__)

_CLOSE_SECONDS: Final = 1.0
_CLEAN_UP_SECONDS: Final = 60.0


class ServerStats(msgspec.Struct, frozen=True, kw_only=True):
    """A look at a server."""

    connections: int
    seats_held: int
    """Of members whose connection is lost."""
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
        if config.security.public_key_file is None and config.security.private_key_file is None:
            check_secret(config.security.secret_key, host)
        self.config = config
        self.host = host
        self.users = UserStore(config.server.users_file)
        self._port = port
        self._tokens = TokenAuthority.from_config(config.security)
        self._revocations = RevocationList(
            self.users.file,
            max_lifetime=self._tokens.max_lifetime,
            leeway=config.security.clock_leeway / 1000,
        )
        self._reception = Reception(config, self._tokens, self._revocations)
        self._tasks: list[asyncio.Task[None]] = []
        self._engine: Engine | None = None
        self._door: Door | None = None
        self._runner: web.AppRunner | None = None
        self._page = WebPage()

    # Lifetime --------------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Start to listen.

        Raises:
            ConnectionError: The port is in use, or the address is not ours.
            ConfigurationError: The file of users, or the certificate or its key, cannot be used.
        """
        await self._revocations.load()
        settings = self.config.server
        secure = server_context(settings.tls_cert, settings.tls_key) if settings.tls_cert and settings.tls_key else None
        self._engine = engine = Engine(self.config)
        self._door = Door(
            self._reception.admission,
            strangers=self.config.admission.strangers,
            seconds=self.config.socket.connect_timeout / 1000,
            drops=engine.drops,
            secure=secure,
        )
        self._reception.open(engine, self._door)
        policy = OriginPolicy(self.host, settings.allowed_origins)
        app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[policy.middleware])
        engine.attach(app)
        limiter = LoginLimiter.from_config(self.config.security)
        LoginRoute(self.users, self._tokens, self._health, limiter).add_to(app)
        self._page.add_to(app)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_CLOSE_SECONDS)
        await self._runner.setup()
        try:
            assert self._runner.server is not None
            self._port = await self._door.open(self._runner.server, self.host, self._port)
        except OSError as exc:
            await self._runner.cleanup()
            raise ConnectionError(_why_not(exc, self.host, self._port)) from exc
        self._start("revocations", self._watch_revocations())
        if self.config.room.auto_cleanup:
            self._start("rooms", self._clean_up_rooms())
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
        for task in self._tasks:
            await cancel_and_wait(task)
        if self._door is not None:
            await self._door.close()
        connections = self._reception.drain(reason)
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
        self._reception.close()
        await self._revocations.flush()

    # Use -------------------------------------------------------------------------------------------------------------

    @property
    def port(self) -> int:
        """The TCP port."""
        return self._port

    @property
    def url(self) -> str:
        """Where clients connect to."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.config.server.tls_cert else 'http'}://{host}:{self._port}"

    @property
    def has_page(self) -> bool:
        """Whether `url` shows a page in a browser."""
        return self._page.built

    def link(self, room_id: str, token: str = "") -> str:
        """Return the address at which a browser shows a room.

        What follows the ``#`` stays in the browser: no server's log has the token.

        Args:
            room_id: The room.
            token: Of who opens it; empty for somebody who has one, or a name and a password.
        """
        fields = {"room": room_id} | ({"token": token} if token else {})
        return f"{self.url}/#{urllib.parse.urlencode(fields)}"

    def issue_token(
        self,
        user_id: str,
        *,
        room_id: str | None = None,
        role: Role = "member",
        publish: bool = True,
        subscribe: bool = True,
        moderate: bool = False,
        ttl: float | None = None,
    ) -> str:
        """Return a token this server accepts.

        Args:
            user_id: Who its holder is.
            room_id: The only room it is good for; None for any.
            role: ``host`` or ``member``.
            publish: Whether its holder may send.
            subscribe: Whether its holder may receive.
            moderate: Whether its holder may kick, ban and mute.
            ttl: Seconds it is good for; None is ``security.token_expiry``.

        Raises:
            DataValidationError: A name, role or time that cannot be.
            ConfigurationError: There is only a public key.
        """
        return self._tokens.issue(
            user_id,
            room_id=room_id,
            role=role,
            publish=publish,
            subscribe=subscribe,
            moderate=moderate,
            ttl=ttl,
        )

    async def add_user(self, name: str, password: str) -> None:
        """Let ``name`` log in with ``password``. Waits for the slow hash.

        Raises:
            DataValidationError: The name is taken, or one of them will not do.
        """
        await self.users.add(name, password)

    async def revoke(self, user_id: str, room_id: str | None = None, *, ban: float = 0.0, reason: str = "") -> int:
        """Make every token of a user void that there is by now, and end its sessions. At once.

        Waits until that is kept where a restarted server finds it.

        Args:
            user_id: Who.
            room_id: The only room it is about; None for all.
            ban: Seconds in which no new token is good either.
            reason: What the user is told.

        Returns:
            How many sessions were ended.

        Raises:
            DataValidationError: A name or a time that cannot be.
        """
        until = time.time() + ban if ban else 0.0
        revocation = self._revocations.add(user_id, room_id, banned_until=until, reason=reason)
        ended = self._reception.enforce(revocation)
        await self._revocations.flush()
        return ended

    async def cleanup_inactive_rooms(self) -> int:
        """Close the rooms in which nobody did anything for ``room.timeout`` seconds; returns how many.

        Their members are told why. Does not wait.
        """
        return self._reception.close_idle_rooms()

    def stats(self) -> ServerStats:
        """Return the server's figures."""
        reception = self._reception
        return ServerStats(
            connections=len(reception.connections),
            seats_held=len(reception.seats),
            rooms=len(reception.rooms.rooms),
            frames_in=reception.relay.frames_in,
            frames_out=reception.frames_out,
            drops=dict(reception.drops()),
        )

    # Inside ----------------------------------------------------------------------------------------------------------

    async def _watch_revocations(self) -> None:
        async for revocations in self._revocations.changes():
            for revocation in revocations:
                self._reception.enforce(revocation)

    async def _clean_up_rooms(self) -> None:
        while True:
            await asyncio.sleep(min(self.config.room.timeout, _CLEAN_UP_SECONDS))
            self._reception.close_idle_rooms()

    def _start(self, name: str, loop: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(loop, name=f"posewire.server.{name}")
        task.add_done_callback(_report_failure)
        self._tasks.append(task)

    def _health(self) -> dict[str, Any]:
        stats = self.stats()
        return {
            "status": "draining" if self._reception.draining else "ok",
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


def _report_failure(task: asyncio.Task[None]) -> None:
    if (error := failure_of(task)) is not None:
        logger.error("%s failed", task.get_name(), exc_info=error)


def _why_not(exc: OSError, host: str, port: int) -> str:
    if exc.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is in use"
    return f"cannot listen on {host}:{port}: {os.strerror(exc.errno) if exc.errno else exc}"
