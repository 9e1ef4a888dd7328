"""Addresses on loopback."""

from __future__ import annotations

import asyncio
import socket
from typing import Final

HOST: Final = "127.0.0.1"


def address(port: int, scheme: str = "tcp") -> str:
    """Return the URL of a port."""
    return f"{scheme}://{HOST}:{port}"


def port(url: str) -> int:
    """Return the port of a URL that `address` made."""
    return int(url.rpartition(":")[2])


def port_of(server: asyncio.Server) -> int:
    """Return the port a server listens on."""
    return int(server.sockets[0].getsockname()[1])


def free_port() -> int:
    """Return a TCP port nobody uses, for a program that cannot pick one itself; another may take it before."""
    with socket.create_server((HOST, 0)) as listener:
        return int(listener.getsockname()[1])
