"""Trade a name and a password for a token."""

from __future__ import annotations

from typing import Any

import aiohttp

from posewire.errors import AuthError, ConnectionError, error_from_wire
from posewire.sockets.trust import client_context, distrust, no_redirects

LOGIN_PATH = "/login"


async def login(url: str, username: str, password: str, *, timeout: float, ca_file: str | None = None) -> str:
    """Ask the server's login route for a token; waits at most ``timeout`` seconds. Cancelling is safe.

    Raises:
        AuthError: Unknown name or wrong password; the server does not say which.
        ConnectionError: The server is not there, or does not answer.
    """
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=timeout), trace_configs=[no_redirects()]) as http,
            http.post(
                url + LOGIN_PATH, json={"username": username, "password": password}, ssl=client_context(ca_file)
            ) as response,
        ):
            answer: Any = await response.json()
    except TimeoutError:
        raise ConnectionError(f"no answer from {url}{LOGIN_PATH} within {timeout:g} s") from None
    except (aiohttp.ClientError, OSError, ValueError) as exc:
        raise ConnectionError(f"cannot log in at {url}: {distrust(exc, ca_file) or exc}") from exc
    token = answer.get("token") if isinstance(answer, dict) else None
    if response.status == 200 and isinstance(token, str):
        return token
    if isinstance(answer, dict) and isinstance(answer.get("error"), dict):
        raise error_from_wire(answer["error"])
    raise AuthError(username, f"{url}{LOGIN_PATH} answered {response.status}")
