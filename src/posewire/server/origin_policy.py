"""Which web pages may talk to this server: a browser says on whose behalf it asks."""

from __future__ import annotations

import urllib.parse
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from aiohttp import hdrs, web

from posewire.addresses import is_loopback
from posewire.errors import SecurityError

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_CORS: Final = {
    hdrs.ACCESS_CONTROL_ALLOW_METHODS: "GET, POST",
    hdrs.ACCESS_CONTROL_ALLOW_HEADERS: "content-type",
    hdrs.ACCESS_CONTROL_MAX_AGE: "600",
}


class LastingResponse(web.Response):
    """A response after which its connection may have another request, if it says so."""

    lasting = False


class OriginPolicy:
    """Lets in pages of this server's own origin and of those that are allowed; who sends no ``Origin`` is no page.

    On loopback, pages of this machine too; and there a request must be *for* this machine, or a page whose name was
    made to mean 127.0.0.1 (DNS rebinding) would pass for our own.

    Args:
        host: The address that is listened on.
        allowed: More origins, ``https://host[:port]``; a server on loopback may be called by their names.
    """

    def __init__(self, host: str, allowed: Iterable[str]) -> None:
        self._loopback = is_loopback(host)
        self._allowed = frozenset(origin.lower() for origin in allowed)
        self._names = {_name(urllib.parse.urlsplit(origin).netloc) for origin in self._allowed} | {host.lower()}

    def refusal(self, origins: list[str], hosts: list[str]) -> str | None:
        """Return why a request with these ``Origin`` and ``Host`` headers is refused; None when it is not."""
        if len(origins) > 1 or len(hosts) > 1:
            return "more than one Origin or Host"
        host = hosts[0].lower() if hosts else ""
        if self._loopback and hosts and not is_loopback(_name(host)) and _name(host) not in self._names:
            return f"a request for {host!r:.80} is not for this machine; see server.allowed_origins"
        if not origins or (origin := origins[0].lower()) in self._allowed:
            return None
        scheme, _, authority = origin.partition("://")
        # A page and a server of one name are one origin to us, whether or not TLS ends before us.
        if scheme in ("http", "https") and authority:
            if authority == host and (not self._loopback or is_loopback(_name(host)) or _name(host) in self._names):
                return None
            if self._loopback and is_loopback(_name(authority)):
                return None
        return f"pages of {origin!r:.80} may not connect; see server.allowed_origins"

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse a request, or handle it and tell the browser that the page may have the answer."""
        origins = request.headers.getall(hdrs.ORIGIN, [])
        refusal = self.refusal(origins, request.headers.getall(hdrs.HOST, []))
        if refusal is not None:
            response: web.StreamResponse = web.json_response(
                {"error": SecurityError("cross-origin request", refusal).to_wire()}, status=403
            )
        elif origins and request.method == hdrs.METH_OPTIONS:
            response = web.Response(status=204, headers=_CORS)
        else:
            try:
                response = await handler(request)
            except web.HTTPException as exc:
                _finish(exc, origins)
                raise
        if not response.prepared:
            _finish(response, [] if refusal is not None else origins)
        return response


def _finish(response: web.StreamResponse, origins: list[str]) -> None:
    # One request a connection: then one deadline holds for all of it. A WebSocket's is its member's.
    if not (isinstance(response, LastingResponse) and response.lasting):
        response.force_close()
    if origins:
        response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origins[0]
        response.headers[hdrs.VARY] = hdrs.ORIGIN


def _name(authority: str) -> str:
    """Return the host of ``host[:port]``, without the brackets of IPv6; empty when it makes no sense."""
    try:
        return urllib.parse.urlsplit(f"//{authority}").hostname or ""
    except ValueError:
        return ""
