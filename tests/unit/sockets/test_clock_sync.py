"""When the server is asked for its time, and what is told of the answers."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

from posewire.errors import ConnectionError
from posewire.flow import Exchange
from posewire.lifetime import cancel_and_wait
from posewire.sockets.clock_sync import ClockSync
from tests.unit.sockets.virtual_loop import run

INTERVAL = 4.0


class Server:
    """A server whose clock is `offset` from the loop's."""

    def __init__(self, offset: float = 10.0) -> None:
        self.offset = offset
        self.delays = [0.005]
        """Of one direction, in turn."""
        self.there = True
        self.asked: list[float] = []
        self.told: list[dict[str, Any]] = []
        self.sync = ClockSync(self._exchange, interval=INTERVAL, tell=self.told.append)

    async def _exchange(self) -> Exchange:
        asked = asyncio.get_running_loop().time()
        self.asked.append(asked)
        await asyncio.sleep(self._delay())
        server = asyncio.get_running_loop().time() + self.offset
        if not self.there:
            raise ConnectionError("not there")
        await asyncio.sleep(self._delay())
        return asked, server, asyncio.get_running_loop().time()

    def _delay(self) -> float:
        self.delays.append(self.delays.pop(0))
        return self.delays[-1]

    async def keep(self, seconds: float) -> list[float]:
        """Run for some time; return the pauses between what was asked."""
        before = len(self.asked)
        running = asyncio.get_running_loop().create_task(self.sync.run(), name="clock")
        await asyncio.sleep(seconds)
        await cancel_and_wait(running)
        asked = self.asked[before:]
        return [later - earlier for earlier, later in itertools.pairwise(asked)]


def test_a_burst_then_quick_then_slow() -> None:
    async def main() -> None:
        server = Server()
        await server.sync.begin(8)
        assert len(server.asked) == 8
        assert server.sync.clock.to_server(100.0) == pytest.approx(110.0, abs=1e-4)
        pauses = await server.keep(60)
        assert pauses[:7] == pytest.approx([INTERVAL / 4 + 0.01] * 7)
        assert pauses[8:] == pytest.approx([INTERVAL + 0.01] * len(pauses[8:]))
        assert not server.told

    run(main())


def test_a_link_that_jitters_is_asked_more() -> None:
    async def main() -> None:
        server = Server()
        server.delays = [0.04, 0.07, 0.05, 0.06, 0.08, 0.045, 0.075]
        pauses = await server.keep(60)
        assert max(pauses) < INTERVAL / 4 + 0.2
        assert min(pauses[20:]) > INTERVAL / 4

    run(main())


def test_a_jump_is_told_once() -> None:
    async def main() -> None:
        server = Server()
        await server.sync.begin(8)
        await server.keep(60)
        server.offset = -3.0
        await server.keep(2 * INTERVAL)
        (told,) = server.told
        assert told["old"] == pytest.approx(10, abs=1e-3)
        assert told["new"] == pytest.approx(-3, abs=1e-3)
        assert told["uncertainty"] == pytest.approx(0.005, abs=1e-3)
        assert told["steps"] == server.sync.clock.steps == 1
        assert server.sync.clock.to_server(1000.0) == pytest.approx(997.0, abs=0.05)
        assert min(await server.keep(INTERVAL)) < INTERVAL / 3, "there is something to learn again"

    run(main())


def test_a_small_jump_that_is_proven_is_stepped_and_told() -> None:
    async def main() -> None:
        server = Server()
        await server.sync.begin(8)
        server.offset += 0.05
        await server.sync.measure()
        assert server.sync.clock.to_server(1.0) == pytest.approx(11.05, abs=1e-3)
        assert len(server.told) == 1

    run(main())


def test_what_was_learnt_of_another_server_does_not_count() -> None:
    """Its clock is 3 ms from that of the one before, less than a round trip: nothing proves that it is another."""

    async def main() -> None:
        server = Server()
        await server.sync.begin(8)
        server.offset += 0.003
        await server.sync.begin(8)
        assert server.sync.clock.offset == pytest.approx(10.003, abs=1e-4)

    run(main())


def test_another_server_is_told_when_it_has_another_time() -> None:
    async def main() -> None:
        server = Server()
        await server.sync.begin(4)
        await server.sync.begin(4)
        assert not server.told
        server.offset = 5.0
        await server.sync.begin(4)
        assert [round(told["new"] - told["old"]) for told in server.told] == [-5]

    run(main())


def test_an_estimate_that_was_very_wrong_is_told_too() -> None:
    """The first exchange stood in a queue for a second; the clocks did not jump, but the times do."""

    async def main() -> None:
        server = Server()
        server.delays = [1.0, 0.005, 0.005, 0.005]
        await server.sync.begin(1)
        assert server.sync.clock.offset == pytest.approx(10.5, abs=0.01)
        await server.sync.measure()
        assert server.sync.clock.to_server(5.0) == pytest.approx(15.0, abs=0.01)
        assert len(server.told) == 1

    run(main())


def test_a_server_that_is_away_is_asked_at_the_quick_rate() -> None:
    async def main() -> None:
        server = Server()
        await server.keep(30)
        server.there = False
        await server.keep(20)
        server.there = True
        assert max(await server.keep(7)) < INTERVAL / 3
        with pytest.raises(ConnectionError):
            server.there = False
            await server.sync.measure()

    run(main())
