"""What strangers and greedy members do to a server: each attack is one attempt, made again and again."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import os
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final, NamedTuple

from posewire.protocol import HEADER_BYTES, SocketIOPacket
from posewire.server import TokenAuthority

_HOLD_SECONDS: Final = 1.0
_TRICKLE_SECONDS: Final = 0.02
_BYTES_PER_SECOND: Final = 12_500_000
"""Of a greedy member: a link of 100 Mbit/s. Through loopback it would have those of a gigabyte, and nobody else any."""
_WRITE_BYTES: Final = 1 << 14
_LEAST_SLEEP: Final = 0.001
_NUMBERS: Final = itertools.count()


class Target(NamedTuple):
    """A server, and who signs its tokens."""

    port: int
    tokens: TokenAuthority

    def token(self) -> str:
        """Return a good token of somebody new."""
        return self.tokens.issue(f"attacker{next(_NUMBERS)}")


class Attack(NamedTuple):
    """One row of the table."""

    what: str
    attempt: Callable[[Target], Awaitable[None]]
    """Returns when the server has ended it, or it has had its time."""
    at_once: int
    """Attempts that run side by side."""


class _Line:
    """A TCP connection, and what a client writes on it byte by byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def upgrade(self) -> None:
        self.writer.write(_UPGRADE)
        await self.reader.readuntil(b"\r\n\r\n")

    async def enter(self, token: str) -> None:
        await self.upgrade()
        self.frame(SocketIOPacket(0, namespace="/", data={"token": token}).encode())
        await self.reader.readexactly(2)

    def frame(self, payload: bytes, first: int = 0x82, *, says: int | None = None) -> None:
        self.writer.write(_masked(payload, first, says))

    async def until_closed(self, seconds: float = _HOLD_SECONDS) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while await self.reader.read(1 << 16):
                    pass


def _masked(payload: bytes, first: int = 0x82, says: int | None = None) -> bytes:
    size = len(payload) if says is None else says
    if size < 126:
        head = bytes((first, 0x80 | size))
    elif size < 1 << 16:
        head = bytes((first, 0xFE)) + size.to_bytes(2, "big")
    else:
        head = bytes((first, 0xFF)) + size.to_bytes(8, "big")
    return head + bytes(4) + payload


@contextlib.asynccontextmanager
async def _line(target: Target) -> AsyncIterator[_Line]:
    reader, writer = await asyncio.open_connection("127.0.0.1", target.port)
    try:
        yield _Line(reader, writer)
    finally:
        writer.transport.abort()


_UPGRADE: Final = (
    b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\n"
    b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


# Strangers -----------------------------------------------------------------------------------------------------------


async def _silent(target: Target) -> None:
    async with _line(target) as line:
        await line.until_closed()


async def _websocket(target: Target) -> None:
    async with _line(target) as line:
        await line.upgrade()
        await line.until_closed()


async def _slow(target: Target) -> None:
    async with _line(target) as line:
        for byte in _UPGRADE:
            line.writer.write(bytes((byte,)))
            await asyncio.sleep(_TRICKLE_SECONDS)


async def _request(target: Target, head: bytes, body: bytes = b"") -> None:
    async with _line(target) as line:
        line.writer.write(head + b"Host: 127.0.0.1\r\nConnection: close\r\n\r\n" + body)
        await line.until_closed()


async def _pages(target: Target) -> None:
    await _request(target, b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nOrigin: https://evil.example\r\n")


async def _login(target: Target) -> None:
    body = json.dumps({"user": "honest", "password": f"guess {next(_NUMBERS)}"}).encode()
    head = f"POST /login HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    await _request(target, head.encode(), body)


def _with_token(make: Callable[[Target], str]) -> Callable[[Target], Awaitable[None]]:
    async def attempt(target: Target) -> None:
        async with _line(target) as line:
            await line.enter(make(target))
            await line.reader.read(1 << 16)

    return attempt


def _part(value: dict[str, object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def _unsigned(target: Target) -> str:
    return f"{_part({'alg': 'none', 'typ': 'JWT'})}.{_part({'sub': 'honest', 'exp': 1 << 40})}."


def _forged(target: Target) -> str:
    return TokenAuthority(os.urandom(48), lifetime=60).issue("honest")


async def _huge(target: Target) -> None:
    async with _line(target) as line:
        await line.upgrade()
        line.frame(b"", says=100_000_000)
        await line.until_closed()


# Members -------------------------------------------------------------------------------------------------------------


def _flood(make: Callable[[int], bytes]) -> Callable[[Target], Awaitable[None]]:
    """Return an attempt: be let in with a good token and write messages until the server closes."""

    async def attempt(target: Target) -> None:
        async with _line(target) as line:
            await line.enter(target.token())
            reading = asyncio.create_task(line.until_closed(60.0), name="benchmark.attack")
            try:
                began, written = time.monotonic(), 0
                while not reading.done():
                    data = bytearray()
                    while len(data) < _WRITE_BYTES:
                        data += _masked(make(next(_NUMBERS)))
                    line.writer.write(data)
                    await line.writer.drain()
                    written += len(data)
                    await asyncio.sleep(max(_LEAST_SLEEP, began + written / _BYTES_PER_SECOND - time.monotonic()))
            finally:
                reading.cancel()
                with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                    await reading

    return attempt


def _event(name: str, *data: object, number: int | None = None) -> bytes:
    return SocketIOPacket(2, namespace="/", data=[name, *data], id=number).encode()


_NESTED: Final = b"\x83\xa4type\x02\xa4data" + b"\x91" * 65_000
_LISTS: Final = (
    b"\x83\xa4type\x02\xa4data\x92\xa1x\xdc" + (65_000).to_bytes(2, "big") + b"\x90" * 65_000 + b"\xa3nsp\xa1/"
)
_BOMB: Final = bytes(HEADER_BYTES) + zlib.compress(bytes(1 << 26))[: 1 << 15]

ATTACKS: Final[dict[str, Attack]] = {
    "connects": Attack("connections that say nothing", _silent, 512),
    "websockets": Attack("WebSockets that do not say who they are", _websocket, 512),
    "slow": Attack("a request one byte at a time", _slow, 256),
    "pages": Attack("pages of another origin", _pages, 32),
    "unsigned": Attack("tokens with alg=none", _with_token(_unsigned), 32),
    "forged": Attack("tokens another secret signed", _with_token(_forged), 32),
    "login": Attack("guesses at a password", _login, 32),
    "huge": Attack("messages of 100 MB", _huge, 32),
    "frames": Attack("a member's frames that are none", _flood(lambda _: _event("frame", os.urandom(100))), 1),
    "bombs": Attack("a member's zip bombs", _flood(lambda _: _event("frame", _BOMB)), 1),
    "requests": Attack("a member's requests", _flood(lambda number: _event("room.list", {}, number=number)), 1),
    "kicks": Attack(
        "kicks without the right to",
        _flood(lambda number: _event("room.kick", {"room": "room0", "user": "user0"}, number=number)),
        1,
    ),
    "nested": Attack("lists in lists, 65,000 deep", _flood(lambda _: _NESTED), 1),
    "lists": Attack("65,000 empty lists", _flood(lambda _: _LISTS), 1),
}


async def strike(target: Target, attack: Attack, seconds: float) -> int:
    """Attack for a while; returns how many attempts were made."""
    made = 0

    async def again_and_again() -> None:
        nonlocal made
        while True:
            made += 1
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await attack.attempt(target)
            await asyncio.sleep(0)

    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
            for _ in range(attack.at_once):
                group.create_task(again_and_again(), name="benchmark.attacker")
    return made
