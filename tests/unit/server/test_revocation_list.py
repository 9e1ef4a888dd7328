"""What was revoked stays revoked: at once, after a restart, and for other processes."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posewire import ConfigurationError, DataValidationError
from posewire.server import UserStore, revocation_list
from posewire.server.revocation import Revocation
from posewire.server.revocation_list import RevocationList
from posewire.server.state_file import StateFile
from posewire.server.token_authority import Claims

_T = TypeVar("_T")

NOW = 1_700_000_000.0
DAYS = 86_400.0


def claims(sub: str = "alice", iat: float = NOW) -> Claims:
    return Claims(sub=sub, exp=iat + 3600, iat=iat, jti="1")


class Clock:
    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Clock:
    return Clock()


@pytest.fixture
async def revocations(time: Clock) -> AsyncIterator[RevocationList]:
    revocations = RevocationList(now=time)
    yield revocations
    await revocations.flush()


async def test_tokens_made_until_then_are_void_and_later_ones_are_not(revocations: RevocationList) -> None:
    assert revocations.check(claims(), "studio") is None
    revocations.add("alice", before=NOW)
    for iat, good in ((NOW - 1, False), (NOW, False), (NOW + 0.001, True)):
        assert (revocations.check(claims(iat=iat)) is None) is good
        assert (revocations.check(claims(iat=iat), "studio") is None) is good
    assert revocations.check(claims("bob", NOW - 1), "studio") is None


async def test_without_a_time_it_is_now(revocations: RevocationList, time: Clock) -> None:
    entry = revocations.add("alice")
    assert entry.revoked_before == NOW
    time.now += 1
    assert revocations.check(claims(iat=time.now)) is None


async def test_one_room_only(revocations: RevocationList) -> None:
    revocations.add("alice", "studio", before=NOW, reason="spam")
    assert revocations.check(claims(), "studio") == "the token was revoked: spam"
    assert revocations.check(claims(), "lobby") is None
    assert revocations.check(claims()) is None


async def test_a_ban_is_against_new_tokens_too_until_it_is_over(revocations: RevocationList, time: Clock) -> None:
    revocations.add("alice", "studio", before=NOW, banned_until=NOW + 300, reason="spam")
    time.now = NOW + 10
    assert revocations.check(claims(iat=time.now), "studio") == "banned for another 290 s: spam"
    assert revocations.check(claims(iat=time.now), "studio", NOW + 299.5) == "banned for another 1 s: spam"
    time.now = NOW + 300
    assert revocations.check(claims(iat=time.now), "studio") is None
    assert revocations.check(claims(iat=NOW), "studio") == "the token was revoked: spam"


async def test_nothing_becomes_milder(revocations: RevocationList) -> None:
    revocations.add("alice", "studio", before=NOW, banned_until=NOW + 3600, reason="a ban")
    revocations.add("alice", "studio", before=NOW + 5, banned_until=NOW + 300, reason="a kick")
    assert revocations.check(claims(iat=NOW + 5), "studio", NOW + 1000) == "banned for another 2600 s: a kick"
    revocations.add("alice", "studio", before=NOW - 100, reason="older")
    assert revocations.check(claims(iat=NOW + 5), "studio", NOW + 4000) == "the token was revoked: a kick"


async def test_lifting_a_ban_makes_no_old_token_good(revocations: RevocationList, time: Clock) -> None:
    assert not revocations.remove("alice", "studio")
    revocations.add("alice", "studio", before=NOW, banned_until=NOW + 3600)
    assert not revocations.remove("alice"), "that is another one"
    assert revocations.remove("alice", "studio")
    assert not revocations.remove("alice", "studio")
    time.now += 1
    assert revocations.check(claims(iat=time.now), "studio") is None
    assert revocations.check(claims(iat=NOW), "studio") == "the token was revoked"
    await revocations.flush()
    assert await revocations.poll() == []
    assert revocations.check(claims(iat=time.now), "studio") is None


async def test_two_ways_to_write_one_name_are_one_name(revocations: RevocationList) -> None:
    revocations.add("ren\u00e9", "caf\u00e9", before=NOW)
    assert revocations.check(claims("rene\u0301"), "cafe\u0301") is not None


async def test_what_an_issuer_with_a_fast_clock_made_before_is_void(time: Clock) -> None:
    revocations = RevocationList(leeway=2.0, now=time)
    revocations.add("alice", before=NOW)
    assert revocations.check(claims(iat=NOW + 2)) is not None
    assert revocations.check(claims(iat=NOW + 2.1)) is None
    await revocations.flush()


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -1.0])
async def test_what_cannot_be(revocations: RevocationList, wrong: float) -> None:
    with pytest.raises(DataValidationError, match="before"):
        revocations.add("alice", before=wrong)
    with pytest.raises(DataValidationError, match="banned_until"):
        revocations.add("alice", banned_until=wrong)
    for user, room in (("", "studio"), ("x" * 129, ""), ("alice", "x" * 129)):
        with pytest.raises(DataValidationError, match="expected 1 to 128"):
            revocations.add(user, room)
    assert len(revocations) == 0


async def test_a_reason_cannot_forge_a_log(revocations: RevocationList) -> None:
    revocations.add("alice", before=NOW, reason="a\nb\x1b[2J\u202e" + "x" * 500)
    reason = revocations.check(claims())
    assert reason is not None
    assert reason.isprintable()
    assert len(reason) < 250


# Kept ----------------------------------------------------------------------------------------------------------------


def opened(path: Path, time: Clock) -> RevocationList:
    return RevocationList(StateFile(path), now=time)


async def test_it_survives_a_restart(tmp_path: Path, time: Clock) -> None:
    first = opened(tmp_path / "state.db", time)
    first.add("alice", "studio", before=NOW, banned_until=NOW + 60, reason="spam")
    first.add("bob")
    await first.flush()
    second = opened(tmp_path / "state.db", time)
    assert second.check(claims("bob")) is None, "nothing is known before it is loaded"
    await second.load()
    assert second.check(claims(), "studio") == "banned for another 60 s: spam"
    assert second.check(claims("bob")) is not None
    assert (tmp_path / "state.db").stat().st_mode & 0o777 == 0o600


CHILD = """
import asyncio, sys
from posewire.server.revocation_list import RevocationList
from posewire.server.state_file import StateFile

async def main():
    revocations = RevocationList(StateFile(sys.argv[1]), now=lambda: 0.0)
    await revocations.load()
    for n in range(1_000_000):
        revocations.add(f"user{n}", before=float(n))
        await revocations.flush()
        print(n, flush=True)

asyncio.run(main())
"""


def test_it_survives_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    with child.stdout:
        for _ in range(20):
            kept = int(child.stdout.readline())
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        rest = child.stdout.read().split()
        kept = max([kept, *map(int, rest[:-1])])
    revocations = opened(path, Clock(float(kept)))
    asyncio.run(revocations.load())
    assert len(revocations) > kept
    for n in range(kept + 1):
        assert revocations.check(claims(f"user{n}", float(n))) is not None


async def test_what_another_process_writes_is_noticed(tmp_path: Path, time: Clock) -> None:
    path = tmp_path / "state.db"
    server, cli = opened(path, time), opened(path, time)
    await server.load()
    assert await server.poll() == []
    cli.add("alice", "studio", before=NOW, banned_until=NOW + 60, reason="by hand")
    await cli.flush()
    assert server.check(claims(), "studio") is None
    (entry,) = await server.poll()
    assert (entry.user_id, entry.room_id, entry.revoked_before, entry.reason) == ("alice", "studio", NOW, "by hand")
    assert server.check(claims(), "studio") is not None
    assert await server.poll() == []
    server.add("bob", before=NOW)
    await server.flush()
    assert await server.poll() == [], "its own is nothing new"
    assert [entry.user_id for entry in await cli.poll()] == ["bob"]
    assert cli.remove("alice", "studio")
    await cli.flush()
    (entry,) = await server.poll()
    assert entry.banned_until == 0.0
    assert server.check(claims(iat=NOW + 1), "studio") is None
    assert server.check(claims(), "studio") is not None


async def test_two_processes_that_write_the_same_one(tmp_path: Path, time: Clock) -> None:
    path = tmp_path / "state.db"
    one, two = opened(path, time), opened(path, time)
    one.add("alice", before=NOW + 5)
    two.add("alice", before=NOW, banned_until=NOW + 60)
    await one.flush()
    await two.flush()
    for each in (one, two):
        await each.poll()
        assert each.check(claims(iat=NOW + 5), None, NOW + 61) is not None
        assert each.check(claims(iat=NOW + 6), None, NOW + 59) is not None
        assert each.check(claims(iat=NOW + 6), None, NOW + 61) is None


async def next_of(changes: AsyncGenerator[list[Revocation], None]) -> list[Revocation]:
    return await anext(changes)


async def test_changes_come_as_they_are_written(tmp_path: Path, time: Clock) -> None:
    server, cli = opened(tmp_path / "state.db", time), opened(tmp_path / "state.db", time)
    changes = server.changes(interval=0.001)
    coming = asyncio.create_task(next_of(changes))
    cli.add("alice", before=NOW)
    async with asyncio.timeout(10):
        assert [entry.user_id for entry in await coming] == ["alice"]
    await changes.aclose()
    await cli.flush()


async def test_a_user_who_is_removed_or_gets_another_password_loses_its_tokens(tmp_path: Path) -> None:
    users = UserStore(tmp_path / "state.db")
    revocations = RevocationList(StateFile(tmp_path / "state.db"))
    for name in ("alice", "bob", "carol"):
        await users.add(name, "a long passphrase")
    await revocations.load()
    assert len(revocations) == 0
    import time

    before = time.time()
    await users.set_password("alice", "another passphrase")
    await users.remove("bob")
    assert {entry.user_id for entry in await revocations.poll()} == {"alice", "bob"}
    for name, good in (("alice", False), ("bob", False), ("carol", True)):
        assert (revocations.check(claims(name, before)) is None) is good
        assert revocations.check(claims(name, time.time() + 0.001)) is None


async def test_in_memory_the_two_share_what_they_share_in_a_file() -> None:
    users = UserStore()
    revocations = RevocationList(users.file)
    await users.add("alice", "a long passphrase")
    await users.remove("alice")
    assert [entry.user_id for entry in await revocations.poll()] == ["alice"]


async def test_a_file_that_cannot_be_written_is_in_force_and_tried_again(
    tmp_path: Path, time: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "state.db"
    path.mkdir()
    revocations = opened(path, time)
    with pytest.raises(ConfigurationError, match=r"server\.users_file"):
        await revocations.load()
    revocations.add("alice", before=NOW, banned_until=NOW + 50)
    assert revocations.remove("alice")
    with pytest.raises(ConfigurationError, match=r"server\.users_file"):
        await revocations.flush()
    revocations.add("alice", before=NOW + 1)
    revocations.add("bob")
    with pytest.raises(ConfigurationError):
        await revocations.flush()
    assert revocations.check(claims(iat=NOW + 1)) is not None
    assert len([record for record in caplog.records if record.levelno == logging.ERROR]) == 1, "said once"
    path.rmdir()
    await revocations.flush()
    other = opened(path, time)
    await other.load()
    assert other.check(claims(iat=NOW + 1)) == "the token was revoked"
    assert other.check(claims("bob")) is not None


async def test_what_could_not_be_written_is_put_back_under_what_came_later(tmp_path: Path, time: Clock) -> None:
    path, aside = tmp_path / "state.db", tmp_path / "aside"
    revocations = opened(path, time)
    revocations.add("alice", before=NOW, banned_until=NOW + 50)
    await revocations.flush()
    path.rename(aside)
    path.mkdir()
    assert revocations.remove("alice")
    revocations.add("bob", before=NOW + 7)
    with pytest.raises(ConfigurationError):
        await revocations.flush()
    revocations.add("bob", before=NOW - 7)
    with pytest.raises(ConfigurationError):
        await revocations.flush()
    path.rmdir()
    aside.rename(path)
    await revocations.flush()
    other = opened(path, time)
    await other.load()
    assert other.check(claims(iat=NOW + 1)) is None, "the ban was lifted"
    assert other.check(claims("bob", NOW + 7)) is not None


class Slow(StateFile):
    """Holds back what was read, until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.has_read = asyncio.Event()
        self.let_go = asyncio.Event()

    async def read(self, query: Callable[[sqlite3.Connection], _T]) -> _T:
        result = await super().read(query)
        self.has_read.set()
        await self.let_go.wait()
        return result


async def test_what_was_read_before_is_not_taken_for_newer_than_what_was_written(time: Clock) -> None:
    file = Slow()
    revocations = RevocationList(file, now=time)
    revocations.add("alice", before=NOW, banned_until=NOW + 50)
    await revocations.flush()
    polling = asyncio.create_task(revocations.poll())
    await file.has_read.wait()
    assert revocations.remove("alice")
    flushing = asyncio.create_task(revocations.flush())
    for _ in range(10):
        await asyncio.sleep(0)
    file.let_go.set()
    assert await polling == []
    await flushing
    assert revocations.check(claims(iat=NOW + 1)) is None


class Failing(StateFile):
    """Fails the first time, when it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.let_go: asyncio.Event | None = asyncio.Event()

    async def write(self, change: Callable[[sqlite3.Connection], _T]) -> _T:
        if self.let_go is not None:
            await self.let_go.wait()
            self.let_go = None
            raise ConfigurationError("server.users_file", "x", "cannot be written")
        return await super().write(change)


async def test_what_came_while_a_write_failed_is_merged_with_what_it_had(time: Clock) -> None:
    file = Failing()
    revocations = RevocationList(file, now=time)
    revocations.add("alice", before=NOW + 7)
    await asyncio.sleep(0)
    revocations.add("alice", before=NOW - 7, banned_until=NOW + 50)
    assert file.let_go is not None
    file.let_go.set()
    with pytest.raises(ConfigurationError):
        await revocations.flush()
    await revocations.flush()
    other = RevocationList(file, now=time)
    await other.load()
    assert other.check(claims(iat=NOW + 7), None, NOW + 60) is not None
    assert other.check(claims(iat=NOW + 8), None, NOW + 40) is not None


async def test_changes_goes_on_when_the_file_is_broken_for_a_while(
    tmp_path: Path, time: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "state.db"
    server, cli = opened(path, time), opened(tmp_path / "good.db", time)
    cli.add("alice", before=NOW)
    await cli.flush()
    path.write_text("this is no database, and longer than its header of a hundred bytes would be: " * 10)
    changes = server.changes(interval=0.001)
    coming = asyncio.create_task(next_of(changes))
    async with asyncio.timeout(10):
        while not caplog.records:
            await asyncio.sleep(0.001)
        (tmp_path / "good.db").replace(path)
        assert [entry.user_id for entry in await coming] == ["alice"]
    assert len(caplog.records) == 1
    await changes.aclose()


async def test_another_file_in_its_place_is_read_from_its_beginning(tmp_path: Path, time: Clock) -> None:
    path = tmp_path / "state.db"
    server, cli = opened(path, time), opened(tmp_path / "other.db", time)
    for n in range(5):
        server.add(f"user{n}", before=NOW)
    await server.flush()
    await server.poll()
    cli.add("alice", before=NOW)
    await cli.flush()
    (tmp_path / "other.db").replace(path)
    assert [entry.user_id for entry in await server.poll()] == ["alice"]
    assert server.check(claims("user1")) is not None


@pytest.mark.parametrize("steps", range(6))
async def test_flush_cancelled_at_any_step_loses_nothing(tmp_path: Path, time: Clock, steps: int) -> None:
    revocations = opened(tmp_path / "state.db", time)
    revocations.add("alice", before=NOW)
    flushing = asyncio.create_task(revocations.flush())
    for _ in range(steps):
        await asyncio.sleep(0)
    flushing.cancel()
    await asyncio.wait([flushing])
    await revocations.flush()
    other = opened(tmp_path / "state.db", time)
    await other.load()
    assert other.check(claims()) is not None


# Bounded -------------------------------------------------------------------------------------------------------------


async def test_what_no_token_can_be_old_enough_for_is_forgotten_and_stays_void(tmp_path: Path, time: Clock) -> None:
    revocations = opened(tmp_path / "state.db", time)
    for n in range(10):
        revocations.add(f"user{n}", before=NOW + n)
    revocations.add("banned", before=NOW, banned_until=NOW + 100 * DAYS)
    await revocations.flush()
    time.now = NOW + 30 * DAYS + 8.5
    revocations.add("late")
    await revocations.flush()
    # user9, banned, late, and everybody.
    assert len(revocations) == 4
    other = opened(tmp_path / "state.db", time)
    await other.load()
    assert len(other) == 4
    for each in (revocations, other):
        assert each.check(claims("user8", NOW + 8)) == "the token was revoked: it is too old"
        assert each.check(claims("user9", NOW + 9)) is not None
        assert each.check(claims("user9", NOW + 9.1)) is None
        assert each.check(claims("banned", time.now)) is not None
    # A clock that was wrong is set back: what was forgotten is not good again.
    time.now = NOW + 10
    assert revocations.check(claims("user3", NOW + 3)) is not None


async def test_a_flood_forgets_the_oldest_and_makes_nothing_good_again(
    tmp_path: Path, time: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revocation_list, "MAX_REVOCATIONS", 100)
    revocations = opened(tmp_path / "state.db", time)
    revocations.add("alice", before=NOW)
    revocations.add("banned", "studio", before=NOW - 5, banned_until=NOW + 3600)
    for n in range(1000):
        time.now += 0.01
        revocations.add(f"user{n}", f"room{n}")
        assert len(revocations) <= 101
    await revocations.flush()
    other = opened(tmp_path / "state.db", time)
    await other.load()
    assert len(other) <= 101
    for each in (revocations, other):
        assert each.check(claims("alice", NOW)) is not None
        assert each.check(claims("banned", time.now), "studio") is not None, "bans that last go last"
        assert each.check(claims("user3", NOW + 0.03), "room3") is not None
        assert each.check(claims("carol", time.now)) is None, "new tokens are as good as before"
    assert await revocations.poll() == []


async def test_a_flood_of_bans_is_bounded_too(time: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revocation_list, "MAX_REVOCATIONS", 100)
    file = StateFile()
    revocations = RevocationList(file, now=time)
    for n in range(300):
        revocations.add(f"user{n}", banned_until=NOW + 1000 + n)
        if n % 10 == 0:
            await revocations.flush()
    await revocations.flush()
    assert len(revocations) <= 101
    count = await file.read(lambda connection: connection.execute("SELECT count(*) FROM revocations").fetchone()[0])
    assert count <= 101
    assert revocations.check(claims("user299", NOW + 1)) is not None


entries = st.builds(
    Revocation,
    user_id=st.just("alice"),
    room_id=st.just(""),
    revoked_before=st.floats(0, 100),
    banned_until=st.floats(0, 100),
    reason=st.sampled_from(["", "a", "b"]),
)


@given(st.lists(entries, min_size=1, max_size=5), st.floats(0, 100), st.floats(0, 100))
def test_any_order_of_revocations_refuses_what_one_of_them_refuses(
    given_entries: list[Revocation], iat: float, now: float
) -> None:
    revocations = RevocationList(now=lambda: 0.0)
    for entry in given_entries:
        revocations.add("alice", before=entry.revoked_before, banned_until=entry.banned_until, reason=entry.reason)
    refused = any(iat <= each.revoked_before or now < each.banned_until for each in given_entries)
    assert (revocations.check(claims(iat=iat), None, now) is not None) is refused
