"""Which tokens are not good any more, although they are signed and have not expired."""

from __future__ import annotations

import asyncio
import logging
import math
import time
import unicodedata
from collections.abc import AsyncGenerator, Callable
from typing import Final

from posewire.errors import ConfigurationError, DataValidationError
from posewire.lifetime import failure_of
from posewire.limits import MAX_NAME_CHARS
from posewire.server.revocation import Key, Revocation, read_revocations, write_revocations
from posewire.server.state_file import StateFile
from posewire.server.token_authority import DEFAULT_MAX_LIFETIME, Claims

logger = logging.getLogger(__name__)

MAX_REVOCATIONS: Final = 50_000
"""Kept at most. More: the oldest are forgotten, and with them all tokens that are as old, whosever they are."""
_MAX_REASON_CHARS: Final = 200
_PURGE_SECONDS: Final = 60.0
_LATEST: Final = 1e11

BY_HOST: Final = ("kicked from", "banned from")
"""Begin the reasons of what was done by a host or a moderator, and no others."""
_EVERYBODY: Final = ("", "")
"""The key of the revocation that stands for all that were forgotten."""


class RevocationList:
    """Knows at once, without waiting, whether a token was revoked; keeps it in a file that survives the process.

    `add` counts from the moment it returns, and is on the disk some milliseconds later (`flush` waits for that). What
    another process writes, ``posewire revoke`` for one, is noticed by `poll` and `changes`.

    It stays bounded: a revocation is forgotten when every token it is against has expired anyway, or when there are
    `MAX_REVOCATIONS`. Forgetting makes nothing good again: all tokens as old as what was forgotten are refused from
    then on, and who still has one gets a fresh one. All times are wall-clock times, as in tokens; a clock that is set
    back refuses too much, never too little.

    Args:
        file: Where it is kept; None keeps it in memory.
        max_lifetime: Seconds that no token is good for longer than, as `TokenAuthority` enforces it.
        leeway: Seconds that an issuer's clock may be ahead of ours.
        now: Wall clock, seconds since 1970.
    """

    def __init__(
        self,
        file: StateFile | None = None,
        *,
        max_lifetime: float = DEFAULT_MAX_LIFETIME,
        leeway: float = 0.0,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._file = StateFile() if file is None else file
        self._lasts = max_lifetime + leeway
        self._leeway = leeway
        self._now = now
        self._entries: dict[Key, Revocation] = {}
        self._lifted: set[Key] = set()
        self._unwritten: dict[Key, Revocation] = {}
        self._forgotten_bans = 0.0
        self._seen = 0
        self._purged = -math.inf
        self._writing: asyncio.Task[None] | None = None
        self._using_file = asyncio.Lock()
        self._failed = False

    def __len__(self) -> int:
        return len(self._entries)

    # Ask -------------------------------------------------------------------------------------------------------------

    def check(self, claims: Claims, room_id: str | None = None, now: float | None = None) -> str | None:
        """Return why a token is not good, or None when it is. Never waits.

        Args:
            claims: What the token says.
            room_id: The room it shall be good for; None asks about the token itself.
            now: Seconds since 1970; None looks at the clock.
        """
        now = self._now() if now is None else now
        user = _normal(claims.sub)
        keys = [_EVERYBODY, (user, "")]
        if room_id:
            keys.append((user, _normal(room_id)))
        for key in keys:
            entry = self._entries.get(key)
            if entry is None:
                continue
            if now < entry.banned_until:
                return _sentence(f"banned for another {math.ceil(entry.banned_until - now)} s", entry.reason)
            # The issuer's clock may be ahead by the leeway: the token may be older than it says.
            if claims.iat <= entry.revoked_before + self._leeway:
                return _sentence("the token was revoked", entry.reason)
        return None

    def get(self, user_id: str, room_id: str | None = None) -> Revocation | None:
        """Return what is held against a user, everywhere or in one room. Never waits."""
        return self._entries.get((_normal(user_id), _normal(room_id or "")))

    # Change ----------------------------------------------------------------------------------------------------------

    def add(
        self,
        user_id: str,
        room_id: str | None = None,
        *,
        before: float | None = None,
        banned_until: float = 0.0,
        reason: str = "",
        by_host: bool = False,
    ) -> Revocation:
        """Revoke what ``user_id`` holds. Never waits; with a running loop, it is written in the background.

        Nothing becomes milder by it: what is already held against the user stays.

        Args:
            user_id: Whose tokens.
            room_id: The only room they are void in; None for all.
            before: Tokens made until then are void, seconds since 1970; None is now, by the clock that tokens are
                made by.
            banned_until: Until then no token is good, seconds since 1970.
            reason: Told to whoever comes with such a token.
            by_host: Whether a host or a moderator decided it: they may lift what begins as `BY_HOST` says.

        Raises:
            DataValidationError: A name or a time that cannot be.
        """
        if reason.startswith(BY_HOST) and not by_host:
            reason = f"revoked: {reason}"  # or a host could lift what the server's owner decided
        before = self._now() if before is None else before
        for name, text, least in (("user", user_id, 1), ("room", room_id or "", 0)):
            if not least <= len(text) <= MAX_NAME_CHARS:
                raise DataValidationError(name, ascii(text)[:60], f"expected 1 to {MAX_NAME_CHARS} characters")
        for name, value in (("before", before), ("banned_until", banned_until)):
            if not 0 <= value <= _LATEST:
                raise DataValidationError(name, value, "expected seconds since 1970")
        entry = Revocation(
            user_id=_normal(user_id),
            room_id=_normal(room_id or ""),
            revoked_before=float(before),
            banned_until=float(banned_until),
            reason="".join(each if each.isprintable() else " " for each in reason[:_MAX_REASON_CHARS]),
        )
        self._put(entry)
        self._forget()
        self._start_writing()
        return self._entries[entry.key]

    def remove(self, user_id: str, room_id: str | None = None) -> bool:
        """Lift a ban; tokens made before it stay void. False when there was none. Never waits."""
        key = (_normal(user_id), _normal(room_id or ""))
        entry = self._entries.get(key)
        if entry is None or entry.banned_until <= self._now():
            return False
        self._lifted.add(key)
        self._entries[key] = self._unwritten[key] = entry.lifted()
        self._start_writing()
        return True

    # Keep ------------------------------------------------------------------------------------------------------------

    async def load(self) -> None:
        """Read the file. Waits for it. Call it before the first token is let in.

        Raises:
            ConfigurationError: It cannot be read.
        """
        await self.poll()

    async def poll(self) -> list[Revocation]:
        """Return what has become stricter or milder in the file since the last look. Waits for it; cancelling is safe.

        Raises:
            ConfigurationError: It cannot be read.
        """
        changed = []
        # Not while we write: what was read before must not be taken for newer than what was written.
        async with self._using_file:
            rows, self._seen = await self._file.read(lambda connection: read_revocations(connection, self._seen))
            for entry in rows:
                if entry.key in self._unwritten:
                    continue  # it will come again, merged with ours
                old = self._entries.get(entry.key)
                if old is not None:
                    # A shorter ban: another process lifted it.
                    entry = (old.lifted() if entry.banned_until < old.banned_until else old).merged(entry)
                if entry != old:
                    self._entries[entry.key] = entry
                    changed.append(entry)
        self._forget()
        return changed

    async def changes(self, interval: float = 0.5) -> AsyncGenerator[list[Revocation], None]:
        """Yield what other processes wrote, as it comes; looks every ``interval`` seconds. Ends by being cancelled.

        A file that cannot be read for a while is logged once and tried again; what is known stays in force.
        """
        failed = False
        while True:
            await asyncio.sleep(interval)
            try:
                changed = await self.poll()
                await self.flush()
                failed = False
            except ConfigurationError as exc:
                if not failed:
                    logger.error("revocations: %s", exc)
                failed = True
                continue
            if changed:
                yield changed

    async def flush(self) -> None:
        """Wait until everything is on the disk. Cancelling is safe.

        Raises:
            ConfigurationError: The file cannot be written; it is kept and tried again with the next change.
        """
        while self._unwritten or self._writing is not None:
            if self._writing is None:
                self._start_writing()
            assert self._writing is not None
            task = self._writing
            await asyncio.wait([task])
            if (error := failure_of(task)) is not None:
                raise error

    def _put(self, entry: Revocation) -> None:
        for entries in (self._entries, self._unwritten):
            known = entries.get(entry.key)
            entries[entry.key] = entry if known is None else known.merged(entry)

    def _is_over(self, entry: Revocation, now: float) -> bool:
        return entry.banned_until <= now and entry.revoked_before + self._lasts < now

    def _forget(self) -> None:
        now = self._now()
        full = len(self._entries) > MAX_REVOCATIONS
        if not full and now - self._purged < _PURGE_SECONDS and now >= self._purged:
            return
        self._purged = now
        gone = [each for each in self._entries.values() if self._is_over(each, now)]
        if full and len(gone) <= MAX_REVOCATIONS // 10:
            # Those whose ban is over go first, then the oldest; a tenth at once, so that this is rare.
            order = sorted(self._entries.values(), key=lambda each: (max(now, each.banned_until), each.revoked_before))
            gone = order[: MAX_REVOCATIONS // 10]
        gone = [each for each in gone if each.key != _EVERYBODY]
        if not gone:
            return
        for each in gone:
            del self._entries[each.key]
            self._unwritten.pop(each.key, None)
            self._lifted.discard(each.key)
        self._forgotten_bans = max(now, *(each.banned_until for each in gone))
        newest = max(each.revoked_before for each in gone)
        user, room = _EVERYBODY
        self._put(
            Revocation(user_id=user, room_id=room, revoked_before=newest, banned_until=0.0, reason="it is too old")
        )
        self._start_writing()

    def _start_writing(self) -> None:
        if self._writing is not None:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return  # `flush` will
        self._writing = loop.create_task(self._write(), name="posewire.revocations.write")
        self._writing.add_done_callback(self._wrote)

    def _wrote(self, task: asyncio.Task[None]) -> None:
        self._writing = None
        error = failure_of(task)
        if error is not None and not self._failed:
            logger.error("revocations are in force, but not kept: %s", error)
        self._failed = error is not None

    async def _write(self) -> None:
        while self._unwritten:
            async with self._using_file:
                await self._write_once()

    async def _write_once(self) -> None:
        entries, lifted, bans = self._unwritten, self._lifted, self._forgotten_bans
        self._unwritten, self._lifted = {}, set()
        written = False
        try:
            await self._file.write(lambda connection: write_revocations(connection, entries, lifted, bans))
            written = True
        finally:
            if not written:
                self._put_back(entries, lifted)

    def _put_back(self, entries: dict[Key, Revocation], lifted: set[Key]) -> None:
        # Under what was added meanwhile.
        for key, entry in self._unwritten.items():
            merge = key in entries and key not in self._lifted
            entries[key] = entries[key].merged(entry) if merge else entry
        self._unwritten = entries
        self._lifted |= lifted


def _normal(name: str) -> str:
    """Return the form in which two names that look the same are the same."""
    return unicodedata.normalize("NFC", name)


def _sentence(what: str, reason: str) -> str:
    return f"{what}: {reason}" if reason else what
