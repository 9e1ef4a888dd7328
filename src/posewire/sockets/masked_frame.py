"""A client's WebSocket frame, made in one go: binary, whole, masked (RFC 6455, sections 5.2 and 5.3)."""

from __future__ import annotations

import secrets
from typing import Final

# aiohttp keeps the name to itself; the test of this file fails when it goes. It is compiled: 30 times as fast as an
# exclusive or of two long ints.
from aiohttp._websocket.helpers import websocket_mask

_KEY_BYTES: Final = 4
_POOL_BYTES: Final = 1024


class MaskedFrames:
    """Makes the frames of one connection. A masking key cannot be foretold; the keys are drawn 256 at a time."""

    def __init__(self) -> None:
        self._pool = b""
        self._at = 0

    def frame(self, payload: bytes) -> bytes:
        """Return ``payload`` as a frame, ready for the transport."""
        at = self._at
        if at == len(self._pool):
            self._pool, at = secrets.token_bytes(_POOL_BYTES), 0
        self._at = at + _KEY_BYTES
        key = self._pool[at : at + _KEY_BYTES]
        masked = bytearray(payload)
        websocket_mask(key, masked)
        size = len(payload)
        if size < 126:
            return b"".join((bytes((0x82, 0x80 | size)), key, masked))
        if size < 1 << 16:
            return b"".join((b"\x82\xfe", size.to_bytes(2, "big"), key, masked))
        return b"".join((b"\x82\xff", size.to_bytes(8, "big"), key, masked))
