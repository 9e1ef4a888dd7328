"""Who may log in."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import secrets
from pathlib import Path
from typing import Final

import msgspec

from posewire.errors import AuthError, ConfigurationError, DataValidationError
from posewire.limits import MAX_NAME_CHARS

MIN_PASSWORD_CHARS: Final = 8
_MAX_PASSWORD_BYTES: Final = 1024

# 16 MB and some 50 ms a guess: C. Percival, "Stronger key derivation via sequential memory-hard functions", 2009.
_COST: Final = 1 << 14
_BLOCK: Final = 8


class _User(msgspec.Struct, frozen=True):
    salt: bytes
    hash: bytes
    cost: int = _COST
    block: int = _BLOCK


class _File(msgspec.Struct):
    version: int = 1
    users: dict[str, _User] = {}


class UserStore:
    """Names and salted slow hashes (scrypt), in memory or in a JSON file that only its owner can read.

    Hashing runs in the event loop's executor, two at a time: it takes long, and members must not wait for a stranger's
    login. The file is read again when it has changed, so users can be added while a server runs.

    Args:
        path: The file, made when the first user is added; None keeps users in memory.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self._path = None if path is None else Path(path)
        self._users: dict[str, _User] = {}
        self._read_at: tuple[int, int] | None = None
        self._hashing = asyncio.Semaphore(2)
        # Somebody to compare unknown names with, so that they take as long as known ones.
        self._nobody = _User(secrets.token_bytes(16), secrets.token_bytes(32))

    async def add(self, name: str, password: str) -> None:
        """Add a user. Waits for the hash and the file.

        Raises:
            DataValidationError: The name or the password will not do, or the name is taken.
        """
        _check_name(name)
        await self._read()
        if name in self._users:
            raise DataValidationError("user", repr(name), "expected a name that is not taken")
        await self._set(name, password)

    async def set_password(self, name: str, password: str) -> None:
        """Change a user's password. Waits for the hash and the file.

        Raises:
            DataValidationError: The password will not do, or there is no such user.
        """
        await self._read()
        if name not in self._users:
            raise DataValidationError("user", repr(name), "expected a known user")
        await self._set(name, password)

    async def remove(self, name: str) -> bool:
        """Remove a user; False when there was none. Waits for the file."""
        await self._read()
        if self._users.pop(name, None) is None:
            return False
        await self._write()
        return True

    async def names(self) -> list[str]:
        """Return all names, sorted. Waits for the file."""
        await self._read()
        return sorted(self._users)

    async def verify(self, name: str, password: str) -> None:
        """Accept the right password of a known user. Waits for the hash, as long for unknown users.

        Raises:
            AuthError: Unknown user or wrong password; which of them is not said.
        """
        await self._read()
        user = self._users.get(name)
        known = user or self._nobody
        given = await self._hash(password, known.salt, known.cost, known.block)
        if not hmac.compare_digest(given, known.hash) or user is None:
            raise AuthError(name[:MAX_NAME_CHARS], "unknown user or wrong password")

    async def _set(self, name: str, password: str) -> None:
        if not isinstance(password, str) or len(password) < MIN_PASSWORD_CHARS:
            raise DataValidationError("password", "<hidden>", f"expected at least {MIN_PASSWORD_CHARS} characters")
        if len(password.encode()) > _MAX_PASSWORD_BYTES:
            raise DataValidationError("password", "<hidden>", f"expected at most {_MAX_PASSWORD_BYTES} bytes")
        salt = secrets.token_bytes(16)
        self._users[name] = _User(salt, await self._hash(password, salt, _COST, _BLOCK))
        await self._write()

    async def _hash(self, password: str, salt: bytes, cost: int, block: int) -> bytes:
        secret = password.encode()[:_MAX_PASSWORD_BYTES]
        async with self._hashing:
            return await asyncio.to_thread(
                hashlib.scrypt, secret, salt=salt, n=cost, r=block, p=1, maxmem=256 * cost * block, dklen=32
            )

    async def _read(self) -> None:
        if self._path is not None:
            changed = await asyncio.to_thread(_load, self._path, self._read_at)
            if changed is not None:
                self._users, self._read_at = changed

    async def _write(self) -> None:
        if self._path is not None:
            self._read_at = await asyncio.to_thread(_save, self._path, self._users)


def _check_name(name: str) -> None:
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME_CHARS or not name.isprintable():
        raise DataValidationError("user", repr(name)[:60], f"expected 1 to {MAX_NAME_CHARS} printable characters")


def _stamp(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_mtime_ns, stat.st_size


def _load(path: Path, read_at: tuple[int, int] | None) -> tuple[dict[str, _User], tuple[int, int]] | None:
    try:
        stamp = _stamp(path)
        if stamp == read_at:
            return None
        return msgspec.json.decode(path.read_bytes(), type=_File).users, stamp
    except FileNotFoundError:
        return ({}, (0, 0)) if read_at is not None else None
    except (msgspec.MsgspecError, OSError) as exc:
        raise ConfigurationError("server.users_file", str(path), f"cannot be read: {exc}") from exc


def _save(path: Path, users: dict[str, _User]) -> tuple[int, int]:
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(_File(users=users))))
        # In one step: a server that reads meanwhile sees the old file or the new one, never half of it.
        partial.replace(path)
    except OSError as exc:
        partial.unlink(missing_ok=True)
        raise ConfigurationError("server.users_file", str(path), f"cannot be written: {exc}") from exc
    return _stamp(path)
