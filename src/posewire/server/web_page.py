"""The page that shows a room in a browser: the package's own files, and nothing else.

They are built from ``web/`` of the source (``make page``); the wheel has them. Paths are looked up in a table made of
what the folder has, so no path of a request ever touches the file system.
"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Final

from aiohttp import hdrs, web

BUILT: Final = Path(__file__).parents[1] / "web"
HOW_TO_GET_IT: Final = (
    "There is no page here: this is a source checkout in which it was not built. With Node 20 or newer: make page "
    "(or: cd web && npm ci && npm run build). The wheel has it."
)

_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; worker-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
_HEADERS: Final = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    # The page is alone in its process, which gives it a fine clock.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "geolocation=(), payment=(), usb=()",
    hdrs.VARY: hdrs.ACCEPT_ENCODING,
}
_FOR_EVER: Final = "public, max-age=31536000, immutable"
_COMPRESSED: Final = ".gz"


class WebPage:
    """``GET /`` and the files of the page.

    Args:
        folder: Where they are, each with a compressed one beside it.
    """

    def __init__(self, folder: Path = BUILT) -> None:
        found = sorted(path for path in folder.rglob("*") if path.suffix in _TYPES and path.is_file())
        self._files = {f"/{path.relative_to(folder).as_posix()}": path for path in found}
        self._read: dict[Path, bytes] = {}

    @property
    def built(self) -> bool:
        """Whether there is a page."""
        return "/index.html" in self._files

    def add_to(self, app: web.Application) -> None:
        """Add the routes to an application."""
        app.router.add_get("/", self._serve)
        for path in self._files:
            app.router.add_get(path, self._serve)

    async def _serve(self, request: web.Request) -> web.Response:
        path = "/index.html" if request.path == "/" else request.path
        file = self._files.get(path)
        if file is None:
            return web.Response(status=404, text=HOW_TO_GET_IT, headers=_HEADERS)
        headers = dict(_HEADERS)
        # Names with a hash in them have other content under another name.
        headers[hdrs.CACHE_CONTROL] = _FOR_EVER if "-" in file.stem and path.startswith("/assets/") else "no-cache"
        if file.stem == "audio-worklet":
            headers[hdrs.CACHE_CONTROL] = "no-cache"
        headers[hdrs.CONTENT_TYPE] = _TYPES[file.suffix]
        if "gzip" in request.headers.get(hdrs.ACCEPT_ENCODING, ""):
            headers[hdrs.CONTENT_ENCODING] = "gzip"
            return web.Response(body=self._bytes(file, compressed=True), headers=headers)
        return web.Response(body=self._bytes(file, compressed=False), headers=headers)

    def _bytes(self, file: Path, *, compressed: bool) -> bytes:
        """Return a file's content, read when it is first asked for."""
        beside = file.with_name(file.name + _COMPRESSED)
        wanted = beside if compressed else file
        content = self._read.get(wanted)
        if content is None:
            missing = compressed and not beside.is_file()
            content = gzip.compress(file.read_bytes()) if missing else wanted.read_bytes()
            self._read[wanted] = content
        return content
