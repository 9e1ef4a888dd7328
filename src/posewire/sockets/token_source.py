"""Where a session's token comes from."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import aiohttp

from posewire.config import ConnectionConfig
from posewire.errors import AuthError, ConnectionError
from posewire.sockets.login import login

TokenProvider = Callable[[], Awaitable[str]]


class TokenSource:
    """A ready token, a function that fetches one, or a name and a password.

    Args:
        url: Server to log in at.
        token: The token, or an async function that returns a fresh one.
        credentials: ``{"username": …, "password": …}`` or ``{"token": …}``.
        timeout: Seconds a login may take.
        ca_file: Whom to trust with ``https``; None is this machine's authorities.

    Raises:
        AuthError: Nothing to authenticate with, or half of it.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | TokenProvider | None = None,
        credentials: Mapping[str, str] | None = None,
        timeout: float = 5.0,
        ca_file: str | None = None,
    ) -> None:
        if credentials is not None and not isinstance(credentials, Mapping):
            raise AuthError("?", "credentials: expected {'username': …, 'password': …}")
        if credentials is not None and "token" in credentials:
            token = credentials["token"]
            credentials = None
        self.url = url
        """Where to log in."""
        self._timeout = timeout
        self._ca_file = ca_file
        self._ready = token if isinstance(token, str) else None
        self._provider = token if callable(token) else None
        self._username = str((credentials or {}).get("username") or "")
        self._password = str((credentials or {}).get("password") or "")
        if token is not None and not self._ready and self._provider is None:
            raise AuthError("?", "the token is empty; expected a JWT or an async function that returns one")
        if token is None and not (self._username and self._password):
            raise AuthError(self._username or "?", "missing credentials; expected a token, or username and password")

    @classmethod
    def configured(
        cls,
        config: ConnectionConfig,
        *,
        token: str | TokenProvider | None = None,
        credentials: Mapping[str, str] | None = None,
    ) -> TokenSource:
        """Return a source that logs in where, and as, the settings say.

        Raises:
            AuthError: Nothing to authenticate with, or half of it.
        """
        timeout = config.request_timeout / 1000
        return cls(config.url, token=token, credentials=credentials, timeout=timeout, ca_file=config.ca_file)

    @property
    def renewable(self) -> bool:
        """Whether asking again may give another token."""
        return self._provider is not None or bool(self._password)

    async def get(self, *, fresh: bool = False) -> str:
        """Return a token; waits for the provider or the login. Cancelling is safe.

        Args:
            fresh: The last one was refused; do not return it again if there is a way to another.

        Raises:
            AuthError: The login or the provider gave none.
            ConnectionError: The login route cannot be reached.
        """
        if self._provider is not None:
            try:
                given: Any = self._provider()
                token = await given if inspect.isawaitable(given) else given
            except (OSError, aiohttp.ClientError) as exc:
                raise ConnectionError(f"the token provider failed: {exc!r}") from exc
            if not isinstance(token, str) or not token:
                raise AuthError("?", f"the token provider returned {type(token).__name__}; expected a JWT")
            return token
        if self._password and (fresh or self._ready is None):
            self._ready = await login(
                self.url, self._username, self._password, timeout=self._timeout, ca_file=self._ca_file
            )
        assert self._ready is not None
        return self._ready
