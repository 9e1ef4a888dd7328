"""The specification's format, written down from its text (``connect-module.md``, ``_process_data`` and around it)."""

from __future__ import annotations

import base64
import json
import time
import zlib
from typing import Any, Final

import jwt

from benchmarks.formats.format import Dicts, Format, Frame, Parts, from_dicts

_ALGORITHM: Final = "HS256"
_KEY: Final = "a secret key that is long enough for HS256"
_LEVEL: Final = 6
_THRESHOLD: Final = 1024
"""Characters of JSON; what is shorter is not compressed."""


class Specification(Format[Dicts, bytes]):
    """JSON, zlib, base64, and a JWT that carries the data a second time; the signature is verified before decoding.

    The bytes are the JSON of the object that the specification hands to ``emit``. It signs the second of a clock
    reading of its own, so that now and then a frame fails to verify; here the stamp that is sent is the one signed.
    """

    def prepare(self, frame: Frame) -> Dicts:
        return frame.dicts

    def encode(self, source: Dicts) -> bytes:
        text = json.dumps(source)
        processed: dict[str, Any]
        if len(text) > _THRESHOLD:
            compressed = zlib.compress(text.encode(), level=_LEVEL)
            processed = {"compressed": True, "data": base64.b64encode(compressed).decode()}
        else:
            processed = {"compressed": False, "data": text}
        processed["timestamp"] = time.time()
        processed["signature"] = jwt.encode({"message": _message(processed)}, _KEY, algorithm=_ALGORITHM)
        return json.dumps(processed).encode()

    def decode(self, coded: bytes) -> Parts:
        processed = json.loads(coded)
        claims = jwt.decode(processed["signature"], _KEY, algorithms=[_ALGORITHM])
        if claims.get("message") != _message(processed):
            raise ValueError("the signature is of another message")
        text = processed["data"]
        if processed["compressed"]:
            text = zlib.decompress(base64.b64decode(text))
        return from_dicts(json.loads(text), self.layout)


def _message(processed: dict[str, Any]) -> str:
    return f"{processed['data']}{int(processed['timestamp'])}"
