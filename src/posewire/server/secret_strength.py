"""Is a secret one that a stranger would try?"""

from __future__ import annotations

import itertools
from typing import Final

from posewire.addresses import is_loopback
from posewire.errors import ConfigurationError

HOW_TO_MAKE_ONE: Final = 'python -c "import secrets; print(secrets.token_urlsafe(48))"'
_LEAST_DISTINCT: Final = 8  # 32 random hexadecimal digits have fewer once in some 10^7 times
_PLACEHOLDERS: Final = ("changeme", "placeholder", "yoursecret", "secretkey", "password", "replacethis", "example")


def check_secret(secret: str | None, host: str) -> None:
    """Refuse to listen off loopback with a missing or an obvious secret.

    Its length is checked where the setting is, and holds everywhere.

    Raises:
        ConfigurationError: With why, and how to make a good one.
    """
    if is_loopback(host):
        return
    why = "needed" if secret is None else weakness(secret)
    if why is not None:
        shown = None if secret is None else "<hidden>"
        why = f"{why} to listen on {host}, which is not loopback; make one with: {HOW_TO_MAKE_ONE}"
        raise ConfigurationError("security.secret_key", shown, why)


def weakness(secret: str) -> str | None:
    """Return what is wrong with a secret; None when it is not obvious."""
    if (distinct := len(set(secret.encode()))) < _LEAST_DISTINCT:
        return f"{distinct} distinct bytes are too few"
    if (secret + secret).find(secret, 1) < len(secret):
        return "one piece over and over is too weak"
    plain = "".join(character for character in secret.lower() if character.isalnum())
    if any(word in plain for word in _PLACEHOLDERS):
        return "a placeholder out of documentation is too weak"
    steps = {ord(after) - ord(before) for before, after in itertools.pairwise(secret)}
    return "an alphabet is too weak" if steps <= {0, 1} or steps <= {0, -1} else None
