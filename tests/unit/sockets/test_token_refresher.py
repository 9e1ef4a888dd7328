"""When a fresh token is fetched, by virtual time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from posewire.errors import AuthError, ConnectionError
from posewire.sockets.token_refresher import TokenRefresher
from posewire.sockets.token_source import TokenSource
from tests.unit.sockets.virtual_loop import run


class Rig:
    """A refresher whose source and server do what a test says, and note when.

    Attributes:
        fetched: When a token was asked for.
        renewed: Which tokens the server was given, and when.
    """

    def __init__(self, *, good_for: float = 100.0) -> None:
        self.good_for = good_for
        self.fetched: list[float] = []
        self.renewed: list[tuple[str, float]] = []
        self.provider: Callable[[], Awaitable[str]] = self._fine
        self.refusal: Exception | None = None
        self.source: TokenSource | None = TokenSource("http://x", token=self._fetch)
        self.refresher = TokenRefresher(lambda: self.source, self._renew)

    async def _fetch(self) -> str:
        self.fetched.append(now())
        return await self.provider()

    async def _fine(self) -> str:
        return f"token {len(self.fetched)}"

    async def _renew(self, token: str) -> float:
        if self.refusal is not None:
            raise self.refusal
        self.renewed.append((token, now()))
        return self.good_for

    @contextlib.asynccontextmanager
    async def running(self) -> Any:
        task = asyncio.get_running_loop().create_task(self.refresher.run(), name="test.refresher")
        try:
            yield task
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def for_a_while(self, seconds: float, good_for: float) -> None:
        async with self.running() as task:
            self.refresher.expires_in(good_for)
            await asyncio.sleep(seconds)
            if task.done():
                await task


def now() -> float:
    return asyncio.get_running_loop().time()


def near(*moments: float) -> Any:
    return pytest.approx(list(moments), abs=1e-6)


def test_when_three_quarters_are_gone_again_and_again() -> None:
    rig = Rig()
    run(rig.for_a_while(240.0, good_for=100.0))
    assert rig.fetched == near(75.0, 150.0, 225.0)
    assert [token for token, _ in rig.renewed] == ["token 1", "token 2", "token 3"]


@pytest.mark.parametrize("source", [None, TokenSource("http://x", token="a.b.c")], ids=["none", "of one token"])
def test_a_source_that_has_no_other(source: TokenSource | None) -> None:
    rig = Rig()
    rig.source = source
    run(rig.for_a_while(1000.0, good_for=100.0))
    assert rig.renewed == []


def test_an_end_that_is_not_known() -> None:
    rig = Rig()
    run(rig.for_a_while(1000.0, good_for=0.0))
    assert rig.fetched == []


def test_a_connection_that_begins_anew_sets_the_clock() -> None:
    rig = Rig()

    async def main() -> None:
        async with rig.running():
            rig.refresher.expires_in(100.0)
            await asyncio.sleep(70.0)
            rig.refresher.expires_in(200.0)
            await asyncio.sleep(149.0)
            assert rig.fetched == []
            await asyncio.sleep(2.0)

    run(main())
    assert rig.fetched == near(220.0)


def test_an_end_that_is_known_later() -> None:
    rig = Rig()

    async def main() -> None:
        async with rig.running():
            await asyncio.sleep(50.0)
            rig.refresher.expires_in(100.0)
            await asyncio.sleep(80.0)

    run(main())
    assert rig.fetched == near(125.0)


def test_what_fails_is_tried_again_until_the_end_and_no_longer() -> None:
    rig = Rig()
    rig.refusal = ConnectionError("no answer")
    run(rig.for_a_while(1000.0, good_for=100.0))
    assert rig.fetched[:3] == near(75.0, 93.75, 98.4375)
    assert 4 <= len(rig.fetched) <= 10
    assert rig.fetched[-1] <= 100.1


def test_one_that_was_late_is_as_good() -> None:
    rig = Rig()
    rig.refusal = ConnectionError("no answer")

    async def main() -> None:
        async with rig.running():
            rig.refresher.expires_in(100.0)
            await asyncio.sleep(80.0)
            rig.refusal = None
            await asyncio.sleep(90.0)

    run(main())
    assert [moment for _, moment in rig.renewed] == near(93.75, 168.75)


def test_a_provider_that_hangs_is_given_up_in_time_to_ask_again() -> None:
    rig = Rig()

    async def hang() -> str:
        rig.provider = rig._fine
        await asyncio.sleep(1e9)
        return "never"

    rig.provider = hang
    run(rig.for_a_while(99.9, good_for=100.0))
    # It may take the rest of the time: the session goes on only if the server gives it a little more.
    assert rig.fetched[0] == pytest.approx(75.0)
    assert rig.renewed, "asked again before the token had ended"


@pytest.mark.parametrize("who", ["source", "server"])
def test_a_no_ends_it(who: str) -> None:
    rig = Rig()
    refusal = AuthError("alice", "dismissed")

    async def refuse() -> str:
        raise refusal

    if who == "source":
        rig.provider = refuse
    else:
        rig.refusal = refusal
    with pytest.raises(AuthError, match="dismissed"):
        run(rig.for_a_while(1000.0, good_for=100.0))
    assert rig.fetched == near(75.0)


def test_a_provider_whose_network_fails_is_asked_again() -> None:
    rig = Rig()

    async def fail() -> str:
        rig.provider = rig._fine
        raise OSError("no route to host")

    rig.provider = fail
    run(rig.for_a_while(99.0, good_for=100.0))
    assert [moment for _, moment in rig.renewed] == near(93.75)


def test_a_month_is_waited_for_in_one_go() -> None:
    rig = Rig(good_for=2_592_000.0)
    run(rig.for_a_while(2_592_000.0, good_for=2_592_000.0))
    (moment,) = rig.fetched
    assert 0.75 * 2_592_000 <= moment < 2_592_000 - 3600


def test_the_shortest_lives_are_no_busy_loop() -> None:
    rig = Rig(good_for=0.001)
    run(rig.for_a_while(10.0, good_for=0.001))
    assert len(rig.fetched) <= 10.0 / 0.05 + 1
