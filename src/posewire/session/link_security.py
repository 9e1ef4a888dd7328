"""May this link carry people's bodies and voices as it is?"""

from __future__ import annotations

import urllib.parse

from posewire.addresses import is_loopback
from posewire.errors import SecurityError


def check_link(url: str, *, encryption_enabled: bool, sealed: bool) -> None:
    """Refuse a plain-text link that leaves this machine, unless a room key seals what goes over it.

    Raises:
        SecurityError: It is one, and ``security.encryption_enabled`` is on.
    """
    parts = urllib.parse.urlsplit(url)
    if encryption_enabled and not sealed and parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise SecurityError(
            "plain-text link",
            f"{url} is not loopback and not https; use https, give a room_key, "
            "or set security.encryption_enabled to false",
        )
