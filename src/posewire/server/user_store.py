"""Who may log in."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import os
import secrets
import sqlite3
import sys
import time
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

import msgspec
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from posewire.errors import AuthError, DataValidationError, ResourceLimitError
from posewire.limits import MAX_NAME_CHARS
from posewire.server.revocation import Revocation, write_revocation
from posewire.server.state_file import StateFile, scrypt_text

_T = TypeVar("_T")

MIN_PASSWORD_CHARS: Final = 8
_MAX_PASSWORD_BYTES: Final = 1024

HASHER: Final = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1, hash_len=32, salt_len=16)
"""argon2id, 19 MiB, two passes: what the OWASP Password Storage Cheat Sheet recommends
(https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html)."""

_AT_ONCE: Final = 2
_MAX_CHECKING: Final = 18
"""Two are checked, the others wait for them, some 300 ms; who waits longer asks again, which makes it worse."""


class User(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who may log in; times in seconds since 1970."""

    name: str
    added: float
    changed: float
    """When the password was set."""


def check_name(name: str) -> str:
    """Return ``name`` in its normal form (Unicode NFC): two names that look the same are the same.

    Raises:
        DataValidationError: It is empty, too long, not visible as it is, or has spaces around it.
    """
    normal = unicodedata.normalize("NFC", name) if isinstance(name, str) and len(name) <= MAX_NAME_CHARS else ""
    # Not printable is all of Unicode's C and Z, but the space: control characters, bidirectional and other formats,
    # surrogates, private and unassigned ones, separators. They make one name look like another.
    if not 0 < len(normal) <= MAX_NAME_CHARS or not normal.isprintable() or normal != normal.strip():
        problem = f"expected 1 to {MAX_NAME_CHARS} printable characters, no space around them"
        raise DataValidationError("user", ascii(name)[:60], problem)
    return normal


class UserStore:
    """Names and salted slow hashes (argon2id), in memory or in an SQLite file that only its owner can read.

    Hashing runs in two threads of its own, which step back behind all others where the system can tell threads apart:
    it takes long and much memory, and members must not wait for a stranger's login. Others may change the file
    meanwhile. Who is removed or gets another password also loses every token made until then.

    Args:
        file: The file or its path, made when the first user is added; None keeps users in memory.
    """

    def __init__(self, file: StateFile | str | os.PathLike[str] | None = None) -> None:
        self.file = file if isinstance(file, StateFile) else StateFile(file)
        """Where users are kept, and revocations with them."""
        # Its threads end when it is collected.
        self._hashing = ThreadPoolExecutor(_AT_ONCE, "posewire.passwords", initializer=_step_back)
        self._checking = 0
        # Somebody to compare unknown names with, so that they take as long as known ones.
        self._nobody = _argon2_text(secrets.token_bytes(HASHER.salt_len), secrets.token_bytes(HASHER.hash_len))
        self._former_nobody = scrypt_text(1 << 14, 8, secrets.token_bytes(16), secrets.token_bytes(32))

    @property
    def busy(self) -> bool:
        """Whether as many passwords are being checked as may."""
        return self._checking >= _MAX_CHECKING

    async def add(self, name: str, password: str) -> None:
        """Add a user. Waits for the hash and the file.

        Raises:
            DataValidationError: The name or the password will not do, or the name is taken.
            ConfigurationError: The file cannot be used.
        """
        name = check_name(name)
        taken = DataValidationError("user", repr(name), "expected a name that is not taken")
        if await self.file.read(lambda connection: _hash_of(connection, name)) is not None:
            raise taken
        text = await self._new_hash(password)
        now = time.time()

        def insert(connection: sqlite3.Connection) -> None:
            if _hash_of(connection, name) is not None:
                raise taken
            connection.execute("INSERT INTO users VALUES (?, ?, ?, ?)", (name, text, now, now))

        await self.file.write(insert)

    async def set_password(self, name: str, password: str) -> None:
        """Change a user's password; its tokens are void then. Waits for the hash and the file.

        Raises:
            DataValidationError: The password will not do, or there is no such user.
            ConfigurationError: The file cannot be used.
        """
        unknown = DataValidationError("user", repr(name), "expected a known user")
        name = check_name(name)
        if await self.file.read(lambda connection: _hash_of(connection, name)) is None:
            raise unknown
        text = await self._new_hash(password)

        def update(connection: sqlite3.Connection) -> None:
            now = time.time()
            changed = connection.execute("UPDATE users SET hash = ?, changed = ? WHERE name = ?", (text, now, name))
            if not changed.rowcount:
                raise unknown
            _void_tokens(connection, name, now, "the password was changed")

        await self.file.write(update)

    async def remove(self, name: str) -> bool:
        """Remove a user; its tokens are void then. False when there was none. Waits for the file.

        Raises:
            ConfigurationError: The file cannot be used.
        """
        name = unicodedata.normalize("NFC", name)

        def delete(connection: sqlite3.Connection) -> bool:
            if not connection.execute("DELETE FROM users WHERE name = ?", (name,)).rowcount:
                return False
            _void_tokens(connection, name, time.time(), "the user was removed")
            return True

        # Nothing to remove makes no file.
        if await self.file.read(lambda connection: _hash_of(connection, name)) is None:
            return False
        return await self.file.write(delete)

    async def users(self) -> list[User]:
        """Return all users, sorted by name. Waits for the file.

        Raises:
            ConfigurationError: The file cannot be used.
        """

        def select(connection: sqlite3.Connection) -> list[User]:
            rows = connection.execute("SELECT name, added, changed FROM users ORDER BY name")
            return [User(name=name, added=added, changed=changed) for name, added, changed in rows]

        return await self.file.read(select)

    async def names(self) -> list[str]:
        """Return all names, sorted. Waits for the file.

        Raises:
            ConfigurationError: The file cannot be used.
        """
        return [user.name for user in await self.users()]

    async def verify(self, name: str, password: str) -> str:
        """Return the user's name in its normal form, when the password is right. Waits for the hash.

        An unknown user takes the same time: the password is compared with a hash nobody has the password of. Cancelling
        is safe. A hash made in an older way is replaced by a new one.

        Raises:
            AuthError: Unknown user or wrong password; which of them is not said.
            ResourceLimitError: Too many passwords wait to be checked.
            ConfigurationError: The file cannot be used.
        """
        if self.busy:
            raise ResourceLimitError("the server checks too many passwords now; try again in a second")
        self._checking += 1
        try:
            return await self._verify(name, password)
        finally:
            self._checking -= 1

    async def _verify(self, name: str, password: str) -> str:
        refused = AuthError(name[:MAX_NAME_CHARS], "unknown user or wrong password")
        try:
            name = check_name(name)
        except DataValidationError:
            raise refused from None  # nobody can have such a name: it tells nothing
        text, former = await self.file.read(lambda connection: (_hash_of(connection, name), _has_former(connection)))
        secret = _bytes(password)

        def check() -> bool:
            known = text or self._nobody
            is_former = known.startswith("$scrypt$")
            # While there are former hashes, each attempt takes both ways: which of them a user has is not told.
            results = {False: _matches(self._nobody if is_former else known, secret)}
            if former:
                results[True] = _former_matches(known if is_former else self._former_nobody, secret)
            return results[is_former]

        if not await self._in_turn(check) or text is None or len(secret) > _MAX_PASSWORD_BYTES:
            raise refused
        if text.startswith("$scrypt$") or HASHER.check_needs_rehash(text):
            await self._rehash(name, text, secret)
        return name

    async def _rehash(self, name: str, old: str, secret: bytes) -> None:
        new = await self._in_turn(lambda: HASHER.hash(secret))
        # Only if nobody changed the password meanwhile.
        await self.file.write(
            lambda connection: connection.execute(
                "UPDATE users SET hash = ? WHERE name = ? AND hash = ?", (new, name, old)
            )
        )

    async def _new_hash(self, password: str) -> str:
        if not isinstance(password, str) or len(password) < MIN_PASSWORD_CHARS:
            raise DataValidationError("password", "<hidden>", f"expected at least {MIN_PASSWORD_CHARS} characters")
        secret = _bytes(password)
        if len(secret) > _MAX_PASSWORD_BYTES:
            raise DataValidationError("password", "<hidden>", f"expected at most {_MAX_PASSWORD_BYTES} bytes")
        return await self._in_turn(lambda: HASHER.hash(secret))

    async def _in_turn(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._hashing, work)


def _step_back() -> None:
    """Let the event loop go first: on Linux, nice() is about the calling thread only."""
    if sys.platform == "linux":
        os.nice(10)


def _hash_of(connection: sqlite3.Connection, name: str) -> str | None:
    row = connection.execute("SELECT hash FROM users WHERE name = ?", (name,)).fetchone()
    return None if row is None else str(row[0])


def _has_former(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM users WHERE hash LIKE '$scrypt$%' LIMIT 1").fetchone() is not None


def _void_tokens(connection: sqlite3.Connection, name: str, now: float, reason: str) -> None:
    write_revocation(
        connection, Revocation(user_id=name, room_id="", revoked_before=now, banned_until=0.0, reason=reason)
    )


def _argon2_text(salt: bytes, digest: bytes) -> str:
    cost = f"m={HASHER.memory_cost},t={HASHER.time_cost},p={HASHER.parallelism}"
    return "$".join(
        (f"$argon2id$v=19${cost}", *(base64.b64encode(each).decode().rstrip("=") for each in (salt, digest)))
    )


def _bytes(password: str) -> bytes:
    # Lone surrogates are no text, but what a stranger may send.
    return password.encode("utf-8", "surrogatepass")


def _matches(text: str, secret: bytes) -> bool:
    try:
        return HASHER.verify(text, secret[:_MAX_PASSWORD_BYTES])
    except (VerificationError, InvalidHashError):
        return False


def _former_matches(text: str, secret: bytes) -> bool:
    try:
        _, _, cost, block, *rest = text.split("$")
        salt, digest = (base64.b64decode(each) for each in rest)
        n, r = int(cost), int(block)
        given = hashlib.scrypt(
            secret[:_MAX_PASSWORD_BYTES], salt=salt, n=n, r=r, p=1, maxmem=256 * n * r, dklen=len(digest)
        )
    except (ValueError, binascii.Error):
        return False
    return hmac.compare_digest(given, digest)
