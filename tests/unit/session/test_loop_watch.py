"""How late the loop is, by virtual time."""

from __future__ import annotations

import asyncio

import pytest

from posewire import clock
from posewire.session.loop_watch import LISTEN_SECONDS, SUSPICIOUS, LoopWatch
from tests.unit.sockets.virtual_loop import VirtualLoop, run

REAL = asyncio.Handle._run


def stall(seconds: float) -> None:
    """Take so long, by the loop's time."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    loop._now += seconds


def busy(seconds: float) -> None:
    """Take so long, by the wall."""
    until = clock.monotonic() + seconds
    while clock.monotonic() < until:
        pass


@pytest.fixture
def still_wall(monkeypatch: pytest.MonkeyPatch) -> None:
    """Callbacks take no time by the wall, however busy the machine is."""
    monkeypatch.setattr("posewire.session.handle_timer._monotonic", lambda: 0.0)


def timed() -> bool:
    return asyncio.Handle._run is not REAL


@pytest.mark.usefixtures("still_wall")
@pytest.mark.parametrize("names", [True, False])
def test_a_timer_tells_how_late_it_comes(names: bool) -> None:
    async def main() -> None:
        watch = LoopWatch(interval=0.25, names=names)
        watch.start()
        await asyncio.sleep(1)
        assert watch.take()[0] == pytest.approx(0, abs=1e-9)
        await asyncio.sleep(0.2)  # 1.2: the timer is due at 1.25
        stall(0.15)
        await asyncio.sleep(0.01)
        assert watch.take()[0] == pytest.approx(0.1)
        assert watch.take()[0] == 0
        await asyncio.sleep(1)
        assert watch.take()[0] == pytest.approx(0, abs=1e-9)
        watch.came(0.03)  # so did somebody else's timer
        watch.came(0.02)
        assert watch.take()[0] == 0.03
        watch.stop()

    run(main())


@pytest.mark.usefixtures("still_wall")
def test_callbacks_are_timed_on_suspicion_only() -> None:
    async def main() -> None:
        watch = LoopWatch(interval=0.25)
        watch.start()
        await asyncio.sleep(1)
        watch.came(SUSPICIOUS * 0.9)
        assert not timed()
        for _ in range(2):
            watch.came(SUSPICIOUS)
            assert timed()
            watch.came(SUSPICIOUS)
            await asyncio.sleep(LISTEN_SECONDS - 0.5)
            assert timed()
            await asyncio.sleep(1)
            assert not timed()
        watch.came(SUSPICIOUS)
        await asyncio.sleep(LISTEN_SECONDS - 1)
        watch.came(SUSPICIOUS)  # again: it goes on
        await asyncio.sleep(LISTEN_SECONDS - 1)
        assert timed()
        watch.stop()
        assert not timed()

    run(main())


def test_a_slow_callback_keeps_it_listening() -> None:
    async def main() -> None:
        watch = LoopWatch(interval=0.25)
        watch.start()
        watch.came(1.0)
        await asyncio.sleep(LISTEN_SECONDS - 1)
        asyncio.get_running_loop().call_soon(busy, SUSPICIOUS)  # by the wall; no timer of the loop is late
        await asyncio.sleep(LISTEN_SECONDS - 1)
        assert timed()
        watch.stop()

    run(main())


def test_without_names_nothing_is_timed() -> None:
    async def main() -> None:
        watch = LoopWatch(interval=0.25, names=False)
        watch.start()
        watch.came(9.0)
        assert not timed()
        assert watch.take() == (9.0, "")
        watch.stop()

    run(main())


@pytest.mark.usefixtures("still_wall")
def test_it_begins_and_ends_once() -> None:
    async def main() -> None:
        watch = LoopWatch(interval=0.25)
        watch.came(9.0)  # not begun
        for _ in range(2):
            watch.start()
            watch.start()
            assert watch.take() == (0.0, "")
            watch.came(9.0)
            assert timed()
            watch.stop()
            watch.stop()
            assert not timed()
            assert watch.take() == (9.0, "")
        watch.came(9.0)
        assert watch.take() == (0.0, "")

    run(main())


def test_the_slowest_has_a_name_and_other_loops_do_not_count() -> None:
    async def main(watch: LoopWatch, seconds: float) -> None:
        watch.start()
        watch.came(SUSPICIOUS)
        await asyncio.sleep(0)
        busy(seconds)
        await asyncio.sleep(0)
        busy(seconds / 3)
        await asyncio.sleep(0)

    loops = [asyncio.SelectorEventLoop() for _ in range(2)]
    watches = [LoopWatch(interval=60) for _ in loops]
    for loop, watch, seconds in zip(loops, watches, (0.06, 0.2), strict=True):
        loop.run_until_complete(main(watch, seconds))
    first, second = (watch.take() for watch in watches)
    for watch, loop in zip(watches, loops, strict=True):
        watch.stop()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
    assert first[0] >= 0.06
    assert second[0] >= 0.2
    for _, name in (first, second):
        assert name.endswith("main)")
    assert not timed()


async def test_where_callbacks_cannot_be_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("posewire.session.loop_watch.can_time", lambda loop: False)
    watch = LoopWatch(interval=0.001)
    watch.start()
    watch.came(1.0)
    assert not timed()
    await asyncio.sleep(0.01)
    assert watch.take() == (1.0, "")
    watch.stop()
