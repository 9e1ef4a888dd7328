"""The HTTP routes beside Socket.IO: log in, and is the server well?"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec
from aiohttp import web

from posewire import clock
from posewire.errors import AuthError, DataValidationError, PosewireError, ResourceLimitError
from posewire.server.login_limiter import LoginLimiter
from posewire.server.token_authority import TokenAuthority
from posewire.server.user_store import UserStore, check_name

logger = logging.getLogger(__name__)

MAX_BODY_BYTES: Final = 16 << 10
_BODY_SECONDS: Final = 10.0
"""How long the body may take to come."""


class _Login(msgspec.Struct):
    username: str
    password: str


class _RefusedError(Exception):
    """Carries the answer out of the helpers."""

    def __init__(self, status: int, error: PosewireError, *, retry_after: float | None = None) -> None:
        super().__init__(str(error))
        self.status = status
        self.error = error
        self.retry_after = retry_after


class LoginRoute:
    """``POST /login`` trades ``{"username", "password"}`` for ``{"token"}``; ``GET /healthz`` says how the server is.

    Only ``application/json`` is read: a page of another origin can send forms and plain text without asking, but JSON
    only after a preflight, which is not answered.

    Args:
        users: Knows the passwords.
        tokens: Makes the tokens.
        health: Figures for ``/healthz``.
        limiter: How often one may try.
        now: Monotonic seconds, for the limiter.
    """

    def __init__(
        self,
        users: UserStore,
        tokens: TokenAuthority,
        health: Callable[[], dict[str, Any]],
        limiter: LoginLimiter | None = None,
        *,
        now: Callable[[], float] = clock.monotonic,
    ) -> None:
        self._users = users
        self._tokens = tokens
        self._health = health
        self._limiter = LoginLimiter() if limiter is None else limiter
        self._now = now

    def add_to(self, app: web.Application) -> None:
        """Add the routes to an application."""
        app.router.add_post("/login", self._login)
        app.router.add_get("/healthz", self._healthz)

    async def _login(self, request: web.Request) -> web.Response:
        try:
            login = await _read(request)
            # A password that is changed while it is checked was the old one, and so is the token.
            made = time.time()
            user_id = await self._check(login, request.remote or "?")
            token = self._tokens.issue(user_id, made=made)
        except _RefusedError as refused:
            answer = web.json_response({"error": refused.error.to_wire()}, status=refused.status)
            if refused.retry_after is not None:
                answer.headers["Retry-After"] = str(math.ceil(refused.retry_after))
        else:
            answer = web.json_response({"token": token, "user_id": user_id})
        answer.headers["Cache-Control"] = "no-store"
        return answer

    async def _check(self, login: _Login, address: str) -> str:
        """Return the name of whom the password proves."""
        unknown = AuthError(login.username[:128], "unknown user or wrong password")
        if not self._tokens.can_issue:
            raise _RefusedError(501, AuthError("?", "this server gives no tokens; get one from their issuer"))
        # Before the limiter: it counts what can be tried, not what finds no place.
        if self._users.busy:
            busy = ResourceLimitError("the server checks too many passwords now; try again in a second")
            raise _RefusedError(503, busy, retry_after=1)
        try:
            name = check_name(login.username)
        except DataValidationError:
            name = ""  # nobody's: as good a name to limit as any
        if (wait := self._limiter.attempt(address, name, now=self._now())) > 0:
            logger.info("login refused: too many failures", extra={"address": address})
            seconds = math.ceil(wait)
            many = ResourceLimitError(f"too many failed logins; try again in {seconds} s")
            raise _RefusedError(429, many, retry_after=seconds)
        try:
            user_id = await self._users.verify(login.username, login.password)
        except AuthError:
            logger.info("login refused: unknown user or wrong password", extra={"address": address})
            raise _RefusedError(401, unknown) from None
        except ResourceLimitError as exc:
            raise _RefusedError(503, exc, retry_after=1) from None
        except PosewireError as exc:
            logger.error("login is not possible: %s", exc)
            # What is wrong with our files is not for strangers.
            problem = AuthError(login.username[:128], "the server cannot check passwords now")
            raise _RefusedError(503, problem) from None
        self._limiter.succeeded(address, user_id)
        return user_id

    async def _healthz(self, request: web.Request) -> web.Response:
        return web.json_response(self._health())


async def _read(request: web.Request) -> _Login:
    """Read and understand the body, or refuse it; what is too long or no JSON is not read."""
    if (request.content_length or 0) > MAX_BODY_BYTES:
        raise _RefusedError(413, ResourceLimitError(f"a login of more than {MAX_BODY_BYTES} bytes"))
    if request.content_type != "application/json" or "Content-Encoding" in request.headers:
        expected = DataValidationError("Content-Type", "<hidden>", "expected application/json, without an encoding")
        raise _RefusedError(415, expected)
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            body = await request.read()
        return msgspec.json.decode(body, type=_Login)
    except TimeoutError:
        raise _RefusedError(408, ResourceLimitError(f"no whole login within {_BODY_SECONDS:g} s")) from None
    except web.HTTPRequestEntityTooLarge:
        raise _RefusedError(413, ResourceLimitError(f"a login of more than {MAX_BODY_BYTES} bytes")) from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        wrong = DataValidationError("body", "<hidden>", f"expected username and password: {exc}")
        raise _RefusedError(400, wrong) from None
