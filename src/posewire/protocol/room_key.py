"""The secret that the members of a room share and the server does not know."""

from __future__ import annotations

import hashlib
import unicodedata
from typing import Final

from posewire.errors import ConfigurationError

MIN_KEY_BYTES: Final = 16
MIN_PASSPHRASE_CHARS: Final = 12

# OWASP's password storage cheat sheet, 2023, for PBKDF2-HMAC-SHA256: some 0.1 s a guess.
_ITERATIONS: Final = 600_000
_SALT: Final = b"posewire room key 1"


class RoomKey:
    """A room key as it was given: random bytes, or a passphrase. It shows itself to nobody.

    Args:
        value: At least 16 bytes, or text of at least 12 characters.

    Raises:
        ConfigurationError: It is neither.
    """

    def __init__(self, value: bytes | str) -> None:
        problem = None
        if isinstance(value, str):
            # The same on every keyboard: "é" can be one character or two.
            text = unicodedata.normalize("NFC", value)
            if len(text) < MIN_PASSPHRASE_CHARS:
                problem = f"a passphrase of {len(text)} characters; expected at least {MIN_PASSPHRASE_CHARS}"
            elif any("\ud800" <= char <= "\udfff" for char in text):
                problem = "a passphrase with lone surrogates; expected text"
            else:
                value = text
        elif not isinstance(value, bytes):
            problem = f"expected bytes or a passphrase, got {type(value).__name__}"
        elif len(value) < MIN_KEY_BYTES:
            problem = f"{len(value)} bytes; expected at least {MIN_KEY_BYTES} random ones"
        if problem is not None:
            raise ConfigurationError("room_key", "<hidden>", problem)
        self._value = value
        self._stretched: tuple[str, bytes] | None = None

    def __repr__(self) -> str:
        return "RoomKey(<hidden>)"

    def is_ready(self, room_id: str) -> bool:
        """Whether `of_room` answers at once."""
        return isinstance(self._value, bytes) or (self._stretched is not None and self._stretched[0] == room_id)

    def of_room(self, room_id: str) -> bytes:
        """Return the key bytes; from a passphrase they differ by room and take some 0.1 s the first time."""
        if isinstance(self._value, bytes):
            return self._value
        if self._stretched is None or self._stretched[0] != room_id:
            key = hashlib.pbkdf2_hmac("sha256", self._value.encode(), _SALT + room_id.encode(), _ITERATIONS)
            self._stretched = (room_id, key)
        return self._stretched[1]
