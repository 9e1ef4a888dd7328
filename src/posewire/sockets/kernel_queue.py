"""What the kernel holds of a connection, and how it is told to hold little and to try again soon.

All of it is Linux; elsewhere nothing is known (0) and nothing is set, and acknowledgements have to do.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
from typing import Any, Final

_LINUX: Final = sys.platform.startswith("linux")
# linux/sockios.h, linux/tcp.h; Python does not name them.
_SIOCOUTQ: Final = 0x5411
_SIOCOUTQNSD: Final = 0x894B
_TCP_THIN_LINEAR_TIMEOUTS: Final = 16
_TCP_RTO_MAX_MS: Final = 44

UNSENT_BYTES: Final = 16 << 10
"""Bytes not yet on the wire that the kernel takes of a connection; what is over it waits here, where it can be changed
for something newer."""
LONGEST_RETRY_MS: Final = 1000
"""After an outage TCP tries again within it, not after as long as the outage was (Linux 6.15 and newer)."""


def tune(sock: Any) -> None:
    """Set a connected socket's options. ``sock`` is what a transport gives as its ``socket``; None does nothing."""
    if sock is None or not _LINUX or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    for option, value in (
        (socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES),
        (_TCP_RTO_MAX_MS, LONGEST_RETRY_MS),
        (_TCP_THIN_LINEAR_TIMEOUTS, 1),  # the first six times it tries again without waiting twice as long each time
    ):
        with contextlib.suppress(OSError):  # an older kernel, or a connection that is gone already
            sock.setsockopt(socket.IPPROTO_TCP, option, value)


def confirm_now(sock: Any) -> None:
    """Let the kernel confirm at once what has come, instead of waiting 40 ms for something to send it with."""
    if sock is not None and _LINUX:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


def unsent(descriptor: int) -> int:
    """Return the bytes of a socket that the kernel has not put on the wire yet; 0 where that is not known."""
    return _ask(descriptor, _SIOCOUTQNSD)


def unacknowledged(descriptor: int) -> int:
    """Return the bytes of a socket that the other end's kernel has not confirmed, sent or not; 0 when not known."""
    return _ask(descriptor, _SIOCOUTQ)


if _LINUX:
    import fcntl

    _ZERO: Final = bytes(4)
    _int_of: Final = struct.Struct("=i").unpack

    def _ask(descriptor: int, question: int) -> int:
        try:
            (answer,) = _int_of(fcntl.ioctl(descriptor, question, _ZERO))
        except (OSError, ValueError):  # the latter when there is no descriptor
            return 0
        return int(answer)

else:  # pragma: no cover  # not tested: the machines that run the tests are Linux

    def _ask(descriptor: int, question: int) -> int:
        return 0
