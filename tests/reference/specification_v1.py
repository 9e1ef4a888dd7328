"""The specification's own message code, from its text: an oracle for body version 1.

`_process_data`, `_sign_data`, `_verify_data` and `_decompress_data` of its SocketManager (section 3.1.1) with `json`,
`zlib`, `base64` and `jwt`, importing nothing of posewire. Changed in one place, which the specification has wrong: it
signs ``int(time.time())`` of the moment of signing and verifies ``int(timestamp)`` of another reading of the clock, so
that a message made across the boundary of a second is refused, and one replayed within it is taken. Here the timestamp
that is sent is the one that is signed, to the whole microsecond.
"""

from __future__ import annotations

import base64
import json
import time
import zlib
from collections.abc import Callable
from typing import Any

import jwt


class Specification:
    """The four methods, and the settings they read."""

    def __init__(
        self,
        secret_key: bytes,
        *,
        compression_enabled: bool = True,
        compression_threshold: int = 1024,
        compression_level: int = 6,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.secret_key = secret_key
        self.compression_enabled = compression_enabled
        self.compression_threshold = compression_threshold
        self.compression_level = compression_level
        self.now = now

    def process_data(self, data: dict[str, Any]) -> dict[str, Any]:
        json_data = json.dumps(data)
        processed: dict[str, Any]
        if self.compression_enabled and len(json_data) > self.compression_threshold:
            compressed = zlib.compress(json_data.encode(), level=self.compression_level)
            processed = {"compressed": True, "data": base64.b64encode(compressed).decode()}
        else:
            processed = {"compressed": False, "data": json_data}
        processed["timestamp"] = self.now()
        processed["signature"] = self.sign_data(processed["data"], processed["timestamp"])
        return processed

    def sign_data(self, data: str, timestamp: float) -> str:
        message = f"{data}{round(timestamp * 1e6)}"
        return jwt.encode({"message": message}, self.secret_key, algorithm="HS256")

    def verify_data(self, data: dict[str, Any]) -> bool:
        if "signature" not in data or "timestamp" not in data:
            return False
        message = f"{data['data']}{round(data['timestamp'] * 1e6)}"
        try:
            decoded = jwt.decode(data["signature"], self.secret_key, algorithms=["HS256"])
        except jwt.PyJWTError:
            return False
        return bool(decoded.get("message") == message)

    def decompress_data(self, data: dict[str, Any]) -> Any:
        if data.get("compressed"):
            return json.loads(zlib.decompress(base64.b64decode(data["data"])))
        return json.loads(data["data"])
