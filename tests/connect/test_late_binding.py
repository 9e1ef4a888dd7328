"""Late binding over real connections: what goes out next is the newest there is, whatever the link does meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest

import posewire
from posewire import Event, SendOutcome
from posewire.flow import CreditWindow
from posewire.protocol import control
from posewire.sockets import SocketManager
from tests.connect.conftest import Member, changed, eventually, landmarks, next_frame, points
from tests.connect.slow_proxy import SlowProxy


class Capture:
    """A capture loop: a pose at every turn until a condition holds, and what became of them."""

    def __init__(self, session: posewire.Session) -> None:
        self.session = session
        self.outcomes: Counter[SendOutcome] = Counter()
        self.count = 0

    async def until(self, condition: Callable[[], bool], *, seconds: float = 30.0) -> None:
        async with asyncio.timeout(seconds):
            while not condition():
                self.count += 1
                self.outcomes[await self.session.send_pose(landmarks(self.count))] += 1
                await asyncio.sleep(0.002)  # the camera's


def collect(subscription: posewire.Subscription) -> tuple[list[posewire.Frame], asyncio.Task[None]]:
    """Keep every frame of a subscription; cancel the task when done."""
    frames: list[posewire.Frame] = []

    async def keep() -> None:
        async for frame in subscription:
            frames.append(frame)  # noqa: PERF401  # one by one: the test looks meanwhile

    return frames, asyncio.create_task(keep(), name="collect")


async def test_while_the_link_is_slow_the_newest_pose_goes_next(
    server: posewire.Server, member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[tuple[int, int, float]] = []
    sent = CreditWindow.sent

    def noted(self: CreditWindow, size: int, now: float) -> None:
        written.append((self.in_flight, size, self.window))
        sent(self, size, now)

    monkeypatch.setattr(CreditWindow, "sent", noted)
    async with SlowProxy(server.port, 96_000) as link, member("bob") as bob:
        async with member("alice", url=link.url) as alice:
            drops: list[Event] = []
            alice.on("drop", drops.append)
            frames, collecting = collect(bob.frames())
            capture = Capture(alice)
            await capture.until(lambda: len(frames) >= 40 and capture.outcomes[SendOutcome.REPLACED] > 20)
            await eventually(lambda: alice.sender.status().in_flight == 0 and not alice.sender.status().waiting)
            status = alice.sender.status()
            await eventually(lambda: len(drops) == sum(status.drops.values()))
            collecting.cancel()
            await asyncio.wait([collecting])
    assert Counter(event.data["reason"] for event in drops) == status.drops
    assert status.drops["replaced"] == capture.outcomes[SendOutcome.REPLACED]
    assert status.drops.get("quality", 0) == capture.outcomes[SendOutcome.DROPPED]
    assert status.sent + sum(status.drops.values()) == capture.count, "each pose went out, or is counted once"
    assert {(event.data["kind"], event.data["stream"]) for event in drops} == {("pose", "pose")}
    handed_in = [frame.timestamp for frame in frames]
    assert handed_in == sorted(handed_in)
    for in_flight, size, window in written:
        # The window is looked at after the write, and shrinks with time.
        assert not in_flight or in_flight + size <= 1.01 * max(window, window / 2 + size)


async def test_quality_steps_down_on_a_slow_link_and_comes_back_on_a_clear_one(
    server: posewire.Server, member: Member
) -> None:
    async with SlowProxy(server.port, 64_000) as link, member("bob"), member("alice", url=link.url) as alice:
        events: list[Event] = []
        alice.on("quality", events.append)
        capture = Capture(alice)
        await capture.until(lambda: alice.sender.status().quality_level >= 2)
        status = alice.sender.status()
        assert (alice.sender.is_degraded, alice.sender.current_quality_level) == (True, status.quality_level)
        assert status.quality != "full"
        link.rate = None
        await capture.until(lambda: alice.sender.status().quality_level == 0)
        assert (alice.sender.is_degraded, alice.sender.status().quality) == (False, "full")
        await eventually(lambda: bool(events) and events[-1].data["level"] == 0)
        levels = [event.data["level"] for event in events]
        assert levels[:2] == [1, 2], "one step at a time"
        assert [event.data["degraded"] for event in events] == [level > 0 for level in levels]
        # The last step is for keyframes: body alone has nothing to save in between.
        assert all(event.data["before"] != event.data["name"] for event in events)
        await capture.until(lambda: alice.sender.status().rate is None, seconds=60)


async def test_audio_keeps_its_place_and_its_order(server: posewire.Server, member: Member) -> None:
    config = changed(sender={"audio_max_age": 60_000})
    async with SlowProxy(server.port, 128_000) as link, member("bob") as bob:
        async with member("alice", url=link.url, config=config) as alice:
            frames, collecting = collect(bob.frames("audio"))
            capture = Capture(alice)
            for value in range(60):
                assert await alice.send_audio(np.full(30, value, dtype=np.int16))
                count = capture.count
                await capture.until(lambda count=count: capture.count >= count + 3)  # type: ignore[misc]
            await eventually(lambda: len(frames) == 60, seconds=30)
            collecting.cancel()
            await asyncio.wait([collecting])
    assert [frame.audio.samples[0, 0] for frame in frames if frame.audio is not None] == list(range(60))


async def test_events_go_on_a_slow_link_and_are_confirmed_in_order(server: posewire.Server, member: Member) -> None:
    async with SlowProxy(server.port, 64_000) as link, member("bob") as bob:
        async with member("alice", url=link.url) as alice:
            got: list[Any] = []
            confirmed: list[int] = []
            bob.on("note", lambda event: got.append(event.data))

            async def say(number: int) -> None:
                await alice.send_event("note", number)
                confirmed.append(number)

            capture = Capture(alice)
            await capture.until(lambda: capture.outcomes[SendOutcome.REPLACED] > 5)
            async with asyncio.TaskGroup() as group:
                for number in range(10):
                    group.create_task(say(number), name=f"say.{number}")
                group.create_task(capture.until(lambda: len(confirmed) == 10), name="capture")
            await eventually(lambda: len(got) == 10)
    assert got == confirmed == list(range(10))


async def arrives(alice: posewire.Session, bob: posewire.Session) -> None:
    """Fail unless a pose handed in now reaches the other."""
    seed = random.randrange(1 << 32)
    frames = bob.frames()
    async with asyncio.timeout(20):
        while True:
            # Again and again, for the first may be lost with a connection, or thinned out by the ladder.
            await alice.send_pose(landmarks(seed))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.2):
                    if (points(await anext(frames))[:, :2] == landmarks(seed)[:, :2]).all():
                        return


async def change_rooms(session: posewire.Session) -> None:
    with contextlib.suppress(posewire.ConnectionError):
        await session.rooms.leave_room("studio")
    with contextlib.suppress(posewire.ConnectionError):
        await session.rooms.join_room("studio", create=True)


@pytest.mark.parametrize("seed", range(8))
async def test_no_wake_up_is_lost(server: posewire.Server, member: Member, seed: int) -> None:
    """Whatever happens, in whatever order: the pipeline never hangs with frames in the queue."""
    chance = random.Random(seed)
    async with SlowProxy(server.port, None) as link, member("bob") as bob, member("alice", url=link.url) as alice:
        events: list[asyncio.Task[None]] = []
        for _ in range(60):
            match chance.randrange(10):
                case 0:
                    link.cut()
                case 1:
                    alice.sender.set_bandwidth_limit(chance.choice((300, 3000, 30_000)))
                case 2:
                    alice.sender.set_bandwidth_limit(None)
                case 3:
                    link.rate = chance.choice((32_000, 256_000, None))
                case 4:
                    await change_rooms(alice)
                case 5:
                    events.append(asyncio.create_task(alice.send_event("note", len(events)), name="event"))
                case 6:
                    with contextlib.suppress(posewire.RoomError):
                        await alice.send_audio(bytes(2 * chance.randrange(1, 2000)))
                case _:
                    with contextlib.suppress(posewire.RoomError):
                        for _ in range(chance.randrange(1, 6)):
                            await alice.send_pose(landmarks(1), stream=f"stream-{chance.randrange(5)}")
            for _ in range(chance.choice((0, 0, 1, 10, 100))):
                await asyncio.sleep(0)
        link.rate = None
        alice.sender.set_bandwidth_limit(None)
        await eventually(lambda: alice.socket.connected)
        if alice.rooms.state is None:
            await alice.rooms.join_room("studio", create=True)
        async with asyncio.timeout(20):
            await alice.sender.flush()
        assert alice.sender.status().waiting == 0
        if events:
            # Each is confirmed, or knows why not.
            done, pending = await asyncio.wait(events, timeout=20)
            assert not pending
            assert all(isinstance(task.exception(), posewire.PosewireError | None) for task in done)
        await arrives(alice, bob)


async def test_streams_that_are_refused_hold_up_no_other_and_are_counted_once(member: Member) -> None:
    async with member("alice") as alice, member("bob") as bob:
        for index in range(64):
            await alice.send_pose(landmarks(), stream=f"stream-{index}")
            await alice.sender.flush()
        handed_in = 64
        drops: list[Event] = []
        alice.on("drop", drops.append)
        for _ in range(50):
            # Some of them are replaced while the server is being asked.
            await alice.send_pose(landmarks(), stream="one too many")
            await alice.send_pose(landmarks(), stream="stream-3")
            handed_in += 2
        await alice.sender.flush()
        status = alice.sender.status()
        assert status.sent + sum(status.drops.values()) == handed_in
        await eventually(lambda: len(drops) == sum(status.drops.values()))
        frames = bob.frames(stream="stream-3")
        await alice.send_pose(landmarks(7), stream="stream-3")
        while not (points(await next_frame(frames)) == landmarks(7)).all():
            pass


async def test_packets_the_server_refuses_are_acknowledged_too(member: Member) -> None:
    # Once: they were not, and stayed under way for ever: after a few changes of room the pipeline hung.
    async with member("alice") as alice, member("bob") as bob:
        await alice.send_pose(landmarks(0))
        await alice.sender.flush()
        lane = alice.socket.lane
        assert lane is not None
        for _ in range(200):
            lane.write(b"whatever a room that we have just left makes of it")
        await eventually(lambda: lane.credit.in_flight == 0)
        await arrives(alice, bob)


def without_acknowledgements(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the server one that was written before there were any."""
    request = SocketManager.request

    async def old(self: SocketManager, message: msgspec.Struct, answer: type[Any]) -> Any:
        result = await request(self, message, answer)
        return msgspec.structs.replace(result, acknowledges=False) if isinstance(message, control.Hello) else result

    monkeypatch.setattr(SocketManager, "request", old)
    monkeypatch.setattr("posewire.server.receipts.Receipts.count", lambda self, size: None)


async def test_a_server_that_does_not_acknowledge(
    server: posewire.Server, member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_acknowledgements(monkeypatch)
    config = changed(sender={"audio_max_age": 60_000})
    async with SlowProxy(server.port, 1_000_000) as link, member("bob") as bob:
        async with member("alice", url=link.url, config=config) as alice:
            frames, collecting = collect(bob.frames("audio"))
            for value in range(60):
                # More than the transport and the kernel take at once; nothing is handed in after it.
                await alice.send_audio(np.full(2000, value, dtype=np.int16) ^ np.arange(2000, dtype=np.int16))
            assert alice.sender.status().waiting > 0
            async with asyncio.timeout(30):
                await alice.sender.flush()
            await eventually(lambda: len(frames) == 60, seconds=30)
            collecting.cancel()
            await asyncio.wait([collecting])
            lane = alice.socket.lane
            assert lane is not None
            assert len(lane.credit._under_way) == lane.credit.in_flight == 0, "nothing is remembered for ever"
            await arrives(alice, bob)
    assert [frame.audio.samples[0, 0] for frame in frames if frame.audio is not None] == list(range(60))


async def test_quality_follows_a_server_that_does_not_acknowledge(
    server: posewire.Server, member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_acknowledgements(monkeypatch)
    async with SlowProxy(server.port, 48_000) as link, member("alice", url=link.url) as alice:
        capture = Capture(alice)
        await capture.until(lambda: capture.outcomes[SendOutcome.REPLACED] > 50)
        await capture.until(lambda: alice.sender.is_degraded)
        link.rate = None
        await capture.until(lambda: not alice.sender.is_degraded)


JUNK: list[Any] = [
    None,
    5,
    -1,
    [],
    {},
    "x",
    b"",
    [-1, 0],
    [1 << 53, 0],
    [1 << 60, 0],
    [0, -5],
    [0, 1 << 53],
    ["1", 2],
    [1, 2, 3],
]
JUNK += [{"receivers": -1, "behind": 0, "streams": []}, {"receivers": 1, "behind": 1 << 50, "streams": []}]
JUNK += [{"receivers": 1, "behind": 1, "streams": [{"stream": 256}]}, {"receivers": 1, "behind": 1, "streams": [[]]}]
JUNK += [{"receivers": 1, "behind": 1, "streams": [{"stream": 1, "age_p50": float("nan")}]}]


@pytest.mark.parametrize("name", [control.ACK, control.REPORT, control.KEYFRAME])
async def test_what_a_hostile_server_tells_harms_nothing(member: Member, name: str) -> None:
    async with member("alice") as alice, member("bob") as bob:
        await arrives(alice, bob)
        lane = alice.socket.lane
        assert lane is not None
        for junk in JUNK:
            lane._event(name, junk)  # where the library calls, in the reading task
            status = alice.sender.status()
            assert 0 <= status.in_flight < 1 << 20
            assert 0 <= status.window <= 1 << 20
            assert status.quality_level == 0
        await arrives(alice, bob)


@pytest.mark.parametrize("steps", range(12))
async def test_sending_can_be_cancelled_at_every_step(member: Member, steps: int) -> None:
    async with member("alice") as alice, member("bob") as bob:
        notes: list[Any] = []
        bob.on("note", lambda event: notes.append(event.data))
        poses = bob.frames()
        for call in (alice.send_pose(landmarks(1)), alice.send_event("note", "cancelled")):
            task = asyncio.create_task(call, name="cancelled")
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
        async with asyncio.timeout(10):
            await alice.sender.flush()
            await alice.send_event("note", "after")
        await eventually(lambda: notes[-1:] == ["after"])
        # Handed in at the first step; from then on cancelling gives up the waiting only.
        assert notes == (["cancelled", "after"] if steps else ["after"])
        status = alice.sender.status()
        assert (status.sent, status.waiting, status.drops) == (len(notes) + bool(steps), 0, {})
        if steps:
            assert (points(await next_frame(poses)) == landmarks(1)).all()
        assert not alice.sender._unconfirmed


async def test_after_the_end_the_pipeline_says_so(member: Member) -> None:
    # Once: an event was taken and waited for ever.
    async with member("alice") as alice:
        sender = alice.sender
    for call in (sender.send("pose", landmarks()), sender.send_event("note")):
        with pytest.raises(posewire.ConnectionError, match="closed"):
            async with asyncio.timeout(10):
                await call
    async with asyncio.timeout(10):
        await sender.flush()
