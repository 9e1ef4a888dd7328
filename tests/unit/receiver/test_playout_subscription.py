"""A loop over frames that are released at their moments: by virtual time, so hours cost nothing and nothing is near."""

from __future__ import annotations

import asyncio
import gc
import itertools
import random
import statistics
import weakref
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
import pytest

from posewire.config import ReceiverConfig
from posewire.errors import ConnectionError, InvalidDataError
from posewire.receiver import Frame, OneEuro, PlayoutSubscription, Subscription
from posewire.receiver.playout_subscription import Playout, new_timeline
from posewire.receiver.pose_smoother import PoseSmoother
from posewire.receiver.received import Received
from tests.fuzz.receive_path import ReceivePath
from tests.unit.receiver.playout import START, frame, stream, value_of
from tests.unit.sockets.virtual_loop import run

SMOOTH = Playout(mode="smooth", delay=0.08)
TIMECODE = Playout(mode="timecode", delay=0.08)


def now() -> float:
    return START + asyncio.get_running_loop().time()


def loop_over(kind: Any = "pose", playout: Playout = SMOOTH, **options: Any) -> PlayoutSubscription:
    return PlayoutSubscription(kind, None, None, **{"size": 128, "playout": playout, "now": now, **options})


async def feed(frames: Sequence[Received], *loops: PlayoutSubscription) -> None:
    """Put each frame in when it arrives, then end."""
    for received in sorted(frames, key=lambda each: each.arrived):
        await asyncio.sleep(max(0.0, received.arrived - now()))
        for each in loops:
            if each.wants(received.kind, received.user_id, received.stream):
                each.put(received)
    for each in loops:
        each.end()


async def collect(frames: Subscription) -> list[tuple[float, Frame]]:
    return [(now(), each) async for each in frames]


def watch(frames: Sequence[Received], *loops: Callable[[], PlayoutSubscription]) -> list[Any]:
    """Return what each loop got and when, and the loops."""

    async def main() -> list[Any]:
        made = [make() for make in loops]
        feeding = asyncio.create_task(feed(frames, *made))
        got = await asyncio.gather(*(collect(each) for each in made))
        await feeding
        return [*got, *made]

    return run(main())


def jittering(seed: int) -> Callable[[int], float]:
    rng = random.Random(seed)
    return lambda _: 0.02 + rng.uniform(0, 0.04)


def test_smooth_releases_at_even_times_with_the_truth_about_each() -> None:
    got, frames = watch(stream(600, every=1 / 30, transit=jittering(1)), loop_over)
    times = [time for time, _ in got]
    assert statistics.pstdev(b - a for a, b in itertools.pairwise(times[60:-10])) < 0.001
    for time, each in got[60:-10]:
        assert each.age == pytest.approx(time - each.timestamp, abs=1e-5)
        assert value_of(each.pose) == pytest.approx(each.timestamp - START, abs=2e-4)
        assert each.pose.timestamp == pytest.approx(each.timestamp, abs=1e-4)
        assert each.age < 0.105
    assert sum(each.interpolated for _, each in got) > 400
    assert (frames.late, frames.dropped) == (0, 0)


def test_sound_and_poses_of_a_member_are_released_together() -> None:
    poses, sounds = (
        stream(300, every=1 / 30, transit=jittering(1)),
        stream(500, every=0.02, transit=jittering(2), kind="audio"),
    )
    playout = Playout(mode="timecode")
    timeline = new_timeline(playout)
    options: dict[str, Any] = {"playout": playout, "timeline": lambda _: timeline}
    got_poses, got_sounds, *_ = watch(
        [*poses, *sounds], lambda: loop_over("pose", **options), lambda: loop_over("audio", **options)
    )
    lags = [
        sorted((time, time - each.timestamp) for time, each in got if time > START + 3)
        for got in (got_poses, got_sounds)
    ]
    assert len(lags[0]) > 190
    assert len(lags[1]) > 330
    for time, lag in lags[0]:
        beside = min(lags[1], key=lambda other: abs(other[0] - time))
        assert abs(lag - beside[1]) < 0.003
    assert not any(each.interpolated for _, each in got_poses)


def test_members_do_not_wait_for_each_other() -> None:
    near = stream(200, every=1 / 30, transit=lambda _: 0.02)
    far = [
        msgspec.structs.replace(each, user_id="bob", arrived=each.arrived + 0.3)
        for each in stream(200, every=1 / 30, transit=lambda _: 0.02)
    ]
    got, _ = watch([*near, *far], loop_over)
    ages = {name: [each.age for _, each in got if each.user_id == name][30:-10] for name in ("alice", "bob")}
    assert max(ages["alice"]) < 0.105
    assert 0.39 < statistics.median(ages["bob"]) < 0.405


@pytest.mark.parametrize("steps", range(4))
def test_a_wait_cancelled_at_any_step_loses_nothing(steps: int) -> None:
    async def main() -> list[int]:
        frames = loop_over("audio", playout=TIMECODE)
        feeding = asyncio.create_task(feed(stream(50, every=0.02, transit=lambda _: 0.03, kind="audio"), frames))
        seqs: list[int] = []
        while True:
            getting = asyncio.ensure_future(anext(frames))
            await asyncio.sleep(0.007)
            for _ in range(steps):
                await asyncio.sleep(0)
            getting.cancel()
            await asyncio.wait([getting])
            if not getting.cancelled():
                if isinstance(getting.exception(), StopAsyncIteration):
                    await feeding
                    assert frames._readers == []
                    return seqs
                seqs.append(getting.result().seq)

    assert run(main()) == list(range(1, 51))


def test_what_is_here_at_the_end_is_released_at_its_time_then_the_failure_is_raised() -> None:
    async def main() -> tuple[list[float], float]:
        frames = loop_over("audio", playout=TIMECODE)
        for received in stream(3, every=0.02, transit=lambda index: 0.05 - 0.02 * index, kind="audio"):
            frames.put(received)
        frames.end(lambda: ConnectionError("gone"))
        times = []
        with pytest.raises(ConnectionError, match="gone"):
            while True:
                await anext(frames)
                times.append(now() - START)
        return times, now() - START

    times, end = run(main())
    assert len(times) == 3
    assert end < 0.5


def test_a_smooth_loop_ends_when_there_is_nothing_more_to_show() -> None:
    got, frames = watch(stream(30, every=1 / 30, transit=lambda _: 0.02), loop_over)
    assert got[-1][0] < START + 29 / 30 + 0.02 + 0.08 + 0.05
    assert frames.missing <= 1
    assert frames._buffers == {}


def test_a_loop_that_is_not_read_does_not_grow_and_costs_no_wake_up() -> None:
    async def main() -> PlayoutSubscription:
        frames = loop_over(size=8)
        await feed(stream(3000, every=1 / 30, transit=lambda _: 0.02), frames)
        return frames

    frames = run(main())
    (buffer,) = frames._buffers.values()
    assert len(buffer._times) <= 8
    assert frames.dropped >= 2900
    assert frames.delay == pytest.approx(0.08)


def test_members_that_leave_are_forgotten_while_the_loop_waits() -> None:
    async def main() -> None:
        frames = loop_over("audio", playout=TIMECODE)
        for index in range(20):
            frames.put(frame(1, now(), arrived=now(), kind="audio", user_id=f"member {index}"))
        for _ in range(20):
            await anext(frames)
        waiting = asyncio.ensure_future(anext(frames))
        await asyncio.sleep(5)
        assert len(frames._buffers) == 20
        await asyncio.sleep(20)
        assert frames._buffers == {}
        waiting.cancel()
        await asyncio.wait([waiting])

    run(main())


def test_there_is_a_most_of_streams() -> None:
    async def main() -> None:
        frames = loop_over("audio", playout=TIMECODE)
        for index in range(1000):
            frames.put(frame(1, now(), arrived=now(), kind="audio", user_id=f"member {index}"))
            assert len(frames._buffers) <= 256
        await frames.aclose()
        assert frames._buffers == {}
        with pytest.raises(StopAsyncIteration):
            await anext(frames)

    run(main())


def test_smoothed_poses_tremble_less() -> None:
    rng = random.Random(4)
    trembling = [
        frame(seq, START + seq / 30, arrived=START + seq / 30 + 0.02, value=0.5 + rng.gauss(0, 0.002))
        for seq in range(1, 200)
    ]
    smoother = PoseSmoother(OneEuro(min_cutoff=1.0, beta=1.0))
    rough, smooth = (
        statistics.pstdev(value_of(each.pose) for _, each in watch(trembling, make)[0][30:])
        for make in (loop_over, lambda: loop_over(smoother=smoother))
    )
    assert smooth < 0.6 * rough


# Through the receiver ---------------------------------------------------------------------------------------------


async def test_the_settings_and_the_arguments_choose_the_playout() -> None:
    path = ReceivePath(None)
    subscribe = path.receiver.subscribe
    assert type(subscribe()) is Subscription, "latest, as it always was"
    assert type(subscribe(playout="latest")) is Subscription
    smooth = subscribe(playout="smooth", delay=0.1, fps=60)
    assert isinstance(smooth, PlayoutSubscription)
    assert smooth._playout == Playout(mode="smooth", delay=0.1, delay_max=0.5, fps=60)
    path.receiver._config = ReceiverConfig(playout="timecode", playout_delay=40, playout_delay_max=300)
    by_settings = subscribe("audio")
    assert isinstance(by_settings, PlayoutSubscription)
    assert by_settings._playout == Playout(mode="timecode", delay=0.04, delay_max=0.3)
    assert type(subscribe(playout="latest")) is Subscription


@pytest.mark.parametrize(
    "wrong",
    [
        {"playout": "later"},
        {"delay": 0.1},
        {"playout": "smooth", "delay": 0},
        {"playout": "smooth", "delay": 11},
        {"playout": "smooth", "delay": "1"},
        {"playout": "smooth", "fps": 0},
        {"playout": "smooth", "fps": 2000},
        {"playout": "timecode", "fps": 30},
        {"playout": "smooth", "fps": 30, "kind": "audio"},
        {"fps": 30},
        {"smoothing": 0.5},
        {"smoothing": OneEuro(), "kind": "audio"},
    ],
)
async def test_arguments_that_do_not_fit_are_named(wrong: dict[str, Any]) -> None:
    name = next(name for name in ("fps", "delay", "smoothing", "playout") if name in wrong)
    with pytest.raises(InvalidDataError, match=f"{name} .*expected"):
        ReceivePath(None).receiver.subscribe(**wrong)


async def test_loops_with_the_same_playout_share_a_members_time_line_and_the_last_takes_it_along() -> None:
    path = ReceivePath(None)
    loops = [path.receiver.subscribe(kind, playout="timecode") for kind in ("pose", "audio")]
    other = path.receiver.subscribe("audio", playout="timecode", delay=0.2)
    for each in (*loops, other):
        each.put(frame(1, START, arrived=START, kind=each.kind))
    timelines = [
        next(iter(each._buffers.values()))._timeline
        for each in (*loops, other)
        if isinstance(each, PlayoutSubscription)
    ]
    assert timelines[0] is timelines[1] is not timelines[2]
    assert len(path.receiver._timelines) == 2
    gone = weakref.ref(loops[0])
    del timelines, loops, each
    assert gone() is None, "without the collector: nothing is decoded for a loop that was left"
    other.end()
    del other
    gc.collect()
    assert len(path.receiver._timelines) == 0


async def test_a_stream_that_cannot_be_held_is_an_event() -> None:
    path = ReceivePath(None)
    events: list[Any] = []
    path.socket.on("synchronization", events.append)
    dispatching: Awaitable[None] = asyncio.ensure_future(path.socket._dispatcher.run())
    poses, sounds = (path.receiver.subscribe(kind, playout="timecode", delay=0.05) for kind in ("pose", "audio"))
    assert isinstance(poses, PlayoutSubscription)
    assert isinstance(sounds, PlayoutSubscription)
    clock = [START]
    poses._now = sounds._now = lambda: clock[0]
    for index in range(400):
        clock[0] += 0.02
        late = 0.2 if 100 <= index < 200 else 0.0
        poses.put(frame(index, clock[0] - 0.02, arrived=clock[0]))
        sounds.put(frame(index, clock[0] - 0.02 - late, arrived=clock[0], kind="audio"))
    await asyncio.sleep(0.05)
    dispatching.cancel()  # type: ignore[attr-defined]
    await asyncio.wait([dispatching])  # type: ignore[type-var]
    first, second = (event.data for event in events)
    assert (first["user_id"], first["kind"], first["stream"]) == ("alice", "audio", "audio")
    assert first["held"] is False
    assert first["offset"] == pytest.approx(150, abs=5)
    assert first["error"].offset == pytest.approx(first["offset"], abs=0.1)
    assert first["error"].component == "audio of alice"
    assert (second["held"], second["error"]) == (True, None)
