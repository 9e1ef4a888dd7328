"""zlib with a ceiling: a small packet must not become a large allocation."""

from __future__ import annotations

import zlib

from posewire.errors import ProtocolError
from posewire.limits import MAX_INFLATED_BYTES


def inflate(data: bytes, *, version: str) -> bytes:
    """Return ``data`` decompressed.

    Raises:
        ProtocolError: Not zlib, cut short, followed by something else, or larger than ``MAX_INFLATED_BYTES``.
    """
    inflater = zlib.decompressobj()
    try:
        result = inflater.decompress(data, MAX_INFLATED_BYTES)
    except zlib.error as exc:
        raise ProtocolError(version, f"not zlib: {exc}") from exc
    if not inflater.eof:
        if inflater.unconsumed_tail or len(result) >= MAX_INFLATED_BYTES:
            raise ProtocolError(version, f"inflates over {MAX_INFLATED_BYTES} bytes")
        raise ProtocolError(version, "compressed data cut short")
    if inflater.unused_data:
        raise ProtocolError(version, f"{len(inflater.unused_data)} bytes after the compressed data")
    return result
