"""May this link carry people's bodies and voices as it is?"""

from __future__ import annotations

import urllib.parse

from posewire.addresses import is_loopback
from posewire.errors import SecurityError


def check_link(url: str, *, encryption_enabled: bool, sealed: bool, password: bool = False) -> None:
    """Refuse a plain-text link that leaves this machine, unless a room key seals what goes over it.

    A password goes over it before any room: nothing seals it.

    Raises:
        SecurityError: It is one, and ``security.encryption_enabled`` is on.
    """
    parts = urllib.parse.urlsplit(url)
    if not encryption_enabled or parts.scheme != "http" or is_loopback(parts.hostname or ""):
        return
    if password or not sealed:
        key = "for no room key seals a password" if password else "give a room_key"
        raise SecurityError(
            "plain-text link",
            f"{url} is not loopback and not https; use https, {key}, or set security.encryption_enabled to false",
        )
