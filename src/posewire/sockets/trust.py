"""Whom a client trusts over TLS."""

from __future__ import annotations

import functools
import os
import ssl

import aiohttp

from posewire.errors import ConfigurationError


def client_context(ca_file: str | None) -> ssl.SSLContext | bool:
    """Return what aiohttp takes as ``ssl``: the authorities in a PEM file and no others, or this machine's for None.

    Made once for a file, and again when it changed.

    Raises:
        ConfigurationError: The file cannot be read, or there is no certificate in it.
    """
    if ca_file is None:
        return True
    try:
        status = os.stat(ca_file)
        return _context(ca_file, status.st_mtime_ns, status.st_size)
    except ssl.SSLError as exc:
        raise ConfigurationError("socket.ca_file", ca_file, f"expected PEM with certificates: {exc.reason}") from exc
    except OSError as exc:
        raise ConfigurationError("socket.ca_file", ca_file, f"cannot be read: {exc.strerror}") from exc


@functools.lru_cache(maxsize=8)
def _context(ca_file: str, changed: int, size: int) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def distrust(exc: BaseException, ca_file: str | None) -> str | None:
    """Return in words why the server's certificate is not accepted; None when something else went wrong."""
    seen: BaseException | None = exc
    while seen is not None:
        # aiohttp's own error is one too, without the words of the one it stands for.
        if isinstance(seen, ssl.SSLCertVerificationError) and (why := getattr(seen, "verify_message", None)):
            trusted = f"the authorities in {ca_file}" if ca_file else "this machine's authorities; see socket.ca_file"
            return f"its certificate is not accepted ({why}), by {trusted}"
        seen = seen.__cause__ or seen.__context__
    return None


def no_redirects() -> aiohttp.TraceConfig:
    """Return what keeps an HTTP client at the server it was told: a redirect could lead to another one, or off TLS."""
    tracing = aiohttp.TraceConfig()
    tracing.on_request_redirect.append(_refuse)
    return tracing


async def _refuse(session: object, context: object, params: aiohttp.TraceRequestRedirectParams) -> None:
    where = params.response.headers.get("Location", "")
    raise aiohttp.ClientConnectionError(f"it redirects to {where[:100]!r}")
