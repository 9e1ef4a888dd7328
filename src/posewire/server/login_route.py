"""The HTTP routes beside Socket.IO: log in, and is the server well?"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

import msgspec
from aiohttp import web

from posewire.errors import AuthError, DataValidationError, PosewireError
from posewire.server.token_authority import TokenAuthority
from posewire.server.user_store import UserStore

logger = logging.getLogger(__name__)

MAX_BODY_BYTES: Final = 16 << 10


class _Login(msgspec.Struct):
    username: str
    password: str


class LoginRoute:
    """``POST /login`` trades ``{"username", "password"}`` for ``{"token"}``; ``GET /healthz`` says how the server is.

    Args:
        users: Knows the passwords.
        tokens: Makes the tokens.
        health: Figures for ``/healthz``.
    """

    def __init__(self, users: UserStore, tokens: TokenAuthority, health: Callable[[], dict[str, Any]]) -> None:
        self._users = users
        self._tokens = tokens
        self._health = health

    def add_to(self, app: web.Application) -> None:
        """Add the routes to an application."""
        app.router.add_post("/login", self._login)
        app.router.add_get("/healthz", self._healthz)

    async def _login(self, request: web.Request) -> web.Response:
        try:
            login = msgspec.json.decode(await request.read(), type=_Login)
            await self._users.verify(login.username, login.password)
            token = self._tokens.issue(login.username)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
            return _refused(400, DataValidationError("body", "<hidden>", f"expected username and password: {exc}"))
        except AuthError as exc:
            return _refused(401, exc)
        except PosewireError as exc:
            logger.error("login is not possible: %s", exc)
            # What is wrong with our files is not for strangers.
            return _refused(503, AuthError(login.username[:128], "the server cannot check passwords now"))
        return web.json_response({"token": token, "user_id": login.username})

    async def _healthz(self, request: web.Request) -> web.Response:
        return web.json_response(self._health())


def _refused(status: int, error: PosewireError) -> web.Response:
    return web.json_response({"error": error.to_wire()}, status=status)
