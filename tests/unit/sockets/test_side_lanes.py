"""How many lanes there are and what goes on which, by virtual time and with lanes that a test makes up."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from posewire import clock
from posewire.config import ConnectionConfig
from posewire.errors import ConnectionError, ResourceLimitError
from posewire.protocol import control
from posewire.sockets.side_lanes import SideLanes
from tests.unit.sockets.virtual_loop import run


class FakeLane:
    """A connection that does what a test says."""

    def __init__(self, name: str = "") -> None:
        self.id = self.url = name
        self.closed = asyncio.Event()
        self.close_reason = ""
        self.credited: bool | None = True
        self.waits = 0.0
        self.answers = True
        self.released = False
        self.take: Callable[[bytes], None] = lambda packet: None
        self.credit: Any = SimpleNamespace(
            oldest=lambda now: self.waits, round_trip=0.01, sent_bytes=0, acknowledged_bytes=0, in_flight=0
        )

    def send(self, size: int = 100, *, came: bool = True) -> None:
        self.credit.sent_bytes += size
        if came:
            self.credit.acknowledged_bytes = self.credit.sent_bytes

    async def request(self, event: str, data: Any) -> int:
        assert event == "heartbeat"
        await asyncio.sleep(0.02)
        if not self.answers:
            raise ConnectionError("no answer")
        return 0

    def cut(self, reason: str) -> None:
        if not self.closed.is_set():
            self.close_reason = reason
            self.closed.set()

    async def close(self, *, goodbye: bool) -> None:
        self.released = True


class Pool:
    """Side lanes with a primary one, and when each was opened."""

    def __init__(self, **config: Any) -> None:
        self.primary = FakeLane("primary")
        self.opened: list[FakeLane] = []
        self.asked: list[float] = []
        self.changes: list[bool] = []
        self.taken: list[bytes] = []
        self.refuses = False
        self.side: Any = SideLanes(
            ConnectionConfig(**{"heartbeat_interval": 1000, "reconnect_delay": 1000, **config}),
            primary=self._primary,  # type: ignore[arg-type]
            ask=self._ask,
            dial=self._dial,  # type: ignore[arg-type]
            on_frame=self.taken.append,
            on_change=self.changes.append,
            rng=random.Random(1),
        )

    async def _primary(self) -> FakeLane:
        return self.primary

    async def _ask(self) -> control.LaneTicket:
        self.asked.append(asyncio.get_running_loop().time())
        await asyncio.sleep(0.01)
        if self.refuses:
            raise ResourceLimitError("no more")
        return control.LaneTicket(ticket=f"t{len(self.opened)}", seconds=30)

    async def _dial(self, ticket: str, take: Callable[[bytes], None]) -> FakeLane:
        assert ticket == f"t{len(self.opened)}"
        lane = FakeLane(ticket)
        lane.take = take
        self.opened.append(lane)
        return lane

    async def open(self, *lanes: FakeLane) -> None:
        """Have these, without running."""
        for lane in lanes:
            self.side.lanes.append(lane)


def play(pool: Callable[[], Pool], script: Callable[[Pool], Awaitable[None]], monkeypatch: pytest.MonkeyPatch) -> Pool:
    """Run a pool while a script plays; at the end every lane must be closed."""

    async def main() -> Pool:
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(clock, "monotonic", loop.time)
        made = pool()
        task = loop.create_task(made.side.run(), name="test.lanes")
        await script(made)
        assert not task.done()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        return made

    made = run(main())
    assert made.side.lanes == []
    assert all(lane.released for lane in made.opened)
    return made


# How many -------------------------------------------------------------------------------------------------------------


def test_by_default_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    async def script(pool: Pool) -> None:
        pool.primary.waits = 9.0
        await asyncio.sleep(29)
        assert pool.side.last_cleanup == 0
        await asyncio.sleep(2)
        assert pool.side.last_cleanup > 0

    assert play(Pool, script, monkeypatch).asked == []


def test_as_many_as_are_to_be_kept_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def script(pool: Pool) -> None:
        await asyncio.sleep(5)
        assert len(pool.side.lanes) == 2
        assert [row.healthy for row in pool.side.status()] == [True, True]
        assert pool.side.status()[0].round_trip == pytest.approx(0.02)
        pool.opened[0].cut("lost")
        await asyncio.sleep(0.1)
        assert len(pool.side.lanes) == 2
        assert pool.side.failed == 1
        await asyncio.sleep(200)
        assert len(pool.opened) == 3, "idle or not"

    made = play(lambda: Pool(min_pool_size=3, max_pool_size=3), script, monkeypatch)
    assert made.changes == [False] * 2 + [False] * 2 + [False] * 2


def test_more_when_they_are_backed_up_and_fewer_when_they_carry_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def script(pool: Pool) -> None:
        await asyncio.sleep(5)
        assert pool.opened == []
        pool.primary.waits = 0.5
        await asyncio.sleep(1)
        assert len(pool.opened) == 1, "poses go there now, and it is not backed up"
        pool.opened[0].waits = 0.5
        await asyncio.sleep(1)
        assert len(pool.opened) == 2
        pool.opened[1].waits = 0.5
        await asyncio.sleep(1)
        assert len(pool.opened) == 2, "no more than max_pool_size"
        pool.primary.waits = pool.opened[0].waits = pool.opened[1].waits = 0.0
        for _ in range(6):
            pool.opened[0].send()
            pool.opened[1].take(b"came")
            await asyncio.sleep(9)
        assert len(pool.side.lanes) == 2
        assert len(pool.taken) == 6
        for _ in range(3):
            pool.opened[0].send()
            await asyncio.sleep(9)
        assert pool.side.lanes == [pool.opened[0]]
        assert pool.opened[1].close_reason == "idle"
        assert pool.side.failed == 0

    play(lambda: Pool(max_pool_size=3, cleanup_interval=10_000), script, monkeypatch)


def test_a_slow_link_is_not_backed_up_for_that(monkeypatch: pytest.MonkeyPatch) -> None:
    async def script(pool: Pool) -> None:
        pool.primary.waits, pool.primary.credit.round_trip = 0.9, 0.3
        await asyncio.sleep(5)

    assert play(lambda: Pool(max_pool_size=2), script, monkeypatch).opened == []


def test_one_that_answers_nothing_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    async def script(pool: Pool) -> None:
        await asyncio.sleep(5)
        first = pool.opened[0]
        first.answers = False
        await asyncio.sleep(1.5)
        assert not first.closed.is_set()
        assert pool.side.status()[0].healthy
        await asyncio.sleep(2)
        assert first.close_reason == "no heartbeat was answered for too long"
        assert pool.side.failed == 1
        assert len(pool.side.lanes) == 1

    play(lambda: Pool(min_pool_size=2, max_pool_size=2, connection_timeout=3000), script, monkeypatch)


def test_a_server_that_has_none_is_asked_more_and_more_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    async def script(pool: Pool) -> None:
        pool.refuses = True
        await asyncio.sleep(200)
        assert pool.side.failed == len(pool.asked)
        gaps = [later - sooner for sooner, later in zip(pool.asked, pool.asked[1:], strict=False)]
        assert max(gaps) <= 31
        assert gaps[0] <= 1.1
        assert 24 <= gaps[-1] <= 31
        pool.refuses = False
        await asyncio.sleep(31)
        assert len(pool.side.lanes) == 1

    play(lambda: Pool(min_pool_size=2, max_pool_size=2), script, monkeypatch)


def test_one_that_comes_after_the_primary_was_lost_is_of_no_use(monkeypatch: pytest.MonkeyPatch) -> None:
    async def script(pool: Pool) -> None:
        pool.primary.cut("lost")
        await asyncio.sleep(0.5)
        assert pool.side.lanes == []
        assert pool.opened[0].released

    play(lambda: Pool(min_pool_size=2, max_pool_size=2), script, monkeypatch)


def test_they_go_with_the_primary(monkeypatch: pytest.MonkeyPatch) -> None:
    async def script(pool: Pool) -> None:
        await asyncio.sleep(1)
        lanes = list(pool.side.lanes)
        pool.side.drop("gone")
        assert all(lane.close_reason == "gone" for lane in lanes)
        pool.primary = FakeLane("another")
        await asyncio.sleep(0.1)
        assert pool.side.lanes == [], "they did not last long: not at once"
        await asyncio.sleep(2)
        assert len(pool.side.lanes) == 2

    play(lambda: Pool(min_pool_size=3, max_pool_size=3), script, monkeypatch)


# What goes where ------------------------------------------------------------------------------------------------------


def test_a_stream_leaves_the_primary_lane_when_all_has_come() -> None:
    async def main() -> None:
        pool, lane = Pool(), FakeLane("side")
        side, primary = pool.side, pool.primary
        assert side.lane_for(1, primary) is primary
        primary.send(came=False)
        side.sent(1, primary)
        await pool.open(lane)
        assert side.lane_for(1, primary) is None
        assert side.lane_for(2, primary) is None, "it may have been sent before anybody asked"
        primary.send(came=False)
        assert side.lane_for(3, primary) is None
        primary.credit.acknowledged_bytes = 100
        assert side.lane_for(1, primary) is lane
        assert side.lane_for(3, primary) is None, "200 were under way"
        primary.credit.acknowledged_bytes = 200
        assert side.lane_for(3, primary) is lane
        side.forget_streams()
        primary.send(came=False)
        assert side.lane_for(1, primary) is None, "another stream"

    run(main())


def test_a_stream_stays_until_its_lane_is_gone() -> None:
    async def main() -> None:
        pool, one, two = Pool(), FakeLane("one"), FakeLane("two")
        side, primary = pool.side, pool.primary
        await pool.open(one, two)
        where = [side.lane_for(stream, primary) for stream in range(4)]
        assert sorted(lane.id for lane in where) == ["one", "one", "two", "two"]
        assert [side.lane_for(stream, primary) for stream in range(4)] == where
        one.cut("lost")
        assert all(side.lane_for(stream, primary) is two for stream in range(4))
        two.cut("lost")
        assert all(side.lane_for(stream, primary) is primary for stream in range(4))

    run(main())


def test_it_is_told_when_what_was_sent_may_not_have_come(monkeypatch: pytest.MonkeyPatch) -> None:
    async def script(pool: Pool) -> None:
        await asyncio.sleep(1)
        pool.changes.clear()
        pool.side.lane_for(1, pool.primary)
        lane = pool.side._pins[1].lane
        lane.cut("lost")
        await asyncio.sleep(0.001)
        assert pool.changes == [True]
        await asyncio.sleep(2)
        pool.changes.clear()
        pool.side.forget_streams()
        pool.side.lanes[0].cut("lost")
        await asyncio.sleep(0.001)
        assert pool.changes == [False]

    play(lambda: Pool(min_pool_size=3, max_pool_size=3), script, monkeypatch)


def test_without_a_lane_nothing_is_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    async def script(pool: Pool) -> None:
        await asyncio.sleep(1)
        assert pool.side.lane_for(1, pool.primary) is pool.opened[0]
        pool.opened[0].cut("lost")
        await asyncio.sleep(0.001)
        pool.primary.send(came=False)  # poses, which nobody asked about
        await asyncio.sleep(2)
        assert len(pool.side.lanes) == 1
        assert pool.side.lane_for(1, pool.primary) is None

    play(lambda: Pool(min_pool_size=2, max_pool_size=2), script, monkeypatch)
