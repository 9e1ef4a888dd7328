"""How late the loop is, by virtual time."""

from __future__ import annotations

import asyncio

import pytest

from posewire import clock
from posewire.session.loop_watch import LoopWatch
from tests.unit.sockets.virtual_loop import VirtualLoop, run


def stall(seconds: float) -> None:
    """Take so long, by the loop's time."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    loop._now += seconds


def test_a_timer_tells_how_late_it_comes() -> None:
    async def main() -> None:
        watch = LoopWatch(interval=0.25, names=False)
        watch.start()
        await asyncio.sleep(1)
        assert watch.take()[0] == pytest.approx(0, abs=1e-9)
        await asyncio.sleep(0.2)  # 1.2: the timer is due at 1.25
        stall(0.15)
        await asyncio.sleep(0.01)
        lag, name = watch.take()
        assert lag == pytest.approx(0.1)
        assert name == ""
        assert watch.take()[0] == 0
        await asyncio.sleep(1)
        assert watch.take()[0] == pytest.approx(0, abs=1e-9)
        watch.came(0.05)  # so did somebody else's timer
        watch.came(0.02)
        assert watch.take()[0] == 0.05
        watch.stop()

    run(main())


def test_no_timer_where_callbacks_are_timed() -> None:
    async def main() -> None:
        watch = LoopWatch(interval=0.25)
        watch.start()
        stall(9.0)
        await asyncio.sleep(1)
        assert watch.take() == (0.0, "")  # by the wall it took no time
        watch.stop()

    run(main())


def test_it_begins_and_ends_once() -> None:
    async def main() -> None:
        watch = LoopWatch(interval=0.25, names=True)
        real = asyncio.Handle._run
        for _ in range(2):
            watch.start()
            timed = asyncio.Handle._run
            watch.start()
            assert asyncio.Handle._run is timed is not real
            watch.stop()
            watch.stop()
            assert asyncio.Handle._run is real
        watch.came(9.0)
        assert watch.take() == (0.0, "")

    run(main())


def test_the_slowest_has_a_name_and_others_loops_do_not_count() -> None:
    async def main(watch: LoopWatch, seconds: float) -> None:
        watch.start()
        await asyncio.sleep(0)
        until = clock.monotonic() + seconds
        while clock.monotonic() < until:
            pass
        await asyncio.sleep(0)

    loops = [asyncio.SelectorEventLoop() for _ in range(2)]
    watches = [LoopWatch(interval=60, names=True) for _ in loops]
    for loop, watch, seconds in zip(loops, watches, (0.02, 0.06), strict=True):
        loop.run_until_complete(main(watch, seconds))
    first, second = (watch.take() for watch in watches)
    for watch, loop in zip(watches, loops, strict=True):
        watch.stop()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
    assert first[0] >= 0.02
    assert second[0] >= 0.06
    for _, name in (first, second):
        assert name.endswith("main)")


async def test_where_callbacks_cannot_be_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("posewire.session.loop_watch.can_time", lambda loop: False)
    real = asyncio.Handle._run
    watch = LoopWatch(interval=0.001)
    watch.start()
    assert asyncio.Handle._run is real
    await asyncio.sleep(0.01)
    lag, name = watch.take()
    assert lag >= 0
    assert name == ""
    watch.stop()
