"""Playout over a real server: what a loop gets, and that its figures are there."""

from __future__ import annotations

import asyncio
import itertools

import numpy as np
import pytest

import posewire
from posewire import AudioChunk, OneEuro, clock
from tests.connect.conftest import Member, changed, next_frame, points

EVERY = 0.02


async def capture(session: posewire.Session, seconds: float = 60.0) -> None:
    """Send poses whose joints are where their capture time says, and sound beside them."""
    start = clock.now()
    for index in range(round(seconds / EVERY)):
        when = start + index * EVERY
        await asyncio.sleep(max(0.0, when - clock.now()))
        pose = np.full((33, 4), (when - start) / seconds, np.float32)
        await session.send_pose(pose, timestamp=when)
        await session.send_audio(AudioChunk(np.zeros(160, np.int16), 8000), timestamp=when)


async def take(frames: posewire.Subscription, count: int) -> list[posewire.Frame]:
    return [await next_frame(frames) for _ in range(count)]


async def test_smooth_poses_are_those_of_their_moments(server: posewire.Server, member: Member) -> None:
    async with member("bob") as bob, member("alice") as alice:
        # More than a machine under load takes, so that all is here in time.
        frames = bob.frames(playout="smooth", delay=1.0, fps=70)
        sending = asyncio.create_task(capture(alice))
        got = await take(frames, 60)
        sending.cancel()
        await asyncio.wait([sending])
        stats = bob.receiver.stats()
    moments = [frame.timestamp for frame in got]
    assert moments == sorted(set(moments))
    assert sum(frame.interpolated for frame in got) > 30
    start = moments[0] - float(points(got[0])[0, 0]) * 60
    for frame in got:
        assert frame.pose is not None
        assert frame.pose.timestamp == pytest.approx(frame.timestamp, abs=1e-4)
        # Half a step of the wire format is 15 ms of this motion.
        assert start + float(points(frame)[0, 0]) * 60 == pytest.approx(frame.timestamp, abs=0.035)
        assert 0.9 < frame.age < 11
    assert all((each.late, each.missing) == (0, 0) for each in stats if each.stream == "pose")


async def test_sound_and_poses_are_released_together(server: posewire.Server, member: Member) -> None:
    config = changed(receiver={"playout": "timecode", "playout_delay": 1000})
    async with member("bob", config=config) as bob, member("alice") as alice:
        loops = [bob.frames("pose"), bob.frames("audio")]
        sending = asyncio.create_task(capture(alice))
        poses, sounds = await asyncio.gather(*(take(each, 50) for each in loops))
        sending.cancel()
        await asyncio.wait([sending])
    for pair in (poses, sounds):
        steps = [b.timestamp - a.timestamp for a, b in itertools.pairwise(pair)]
        assert min(steps) > 0
    # Of each capture both were sent; both are released one second after the least that the network takes.
    both = {round(pose.timestamp, 3): pose for pose in poses}
    together = [(both[key], sound) for sound in sounds if (key := round(sound.timestamp, 3)) in both]
    assert len(together) > 10
    apart = sorted(abs(pose.age - sound.age) for pose, sound in together)
    assert apart[len(apart) // 2] < 0.02
    assert not any(frame.interpolated for frame in poses)


async def test_smoothing_is_for_each_loop_by_itself(server: posewire.Server, member: Member) -> None:
    async with member("bob") as bob, member("alice") as alice:
        rough, smooth = bob.frames(), bob.frames(smoothing=OneEuro(min_cutoff=0.1, beta=0.0))
        for index in range(4):
            await alice.send_pose(np.full((33, 4), float(index % 2), np.float32), timestamp=1000 + index / 30)
            one, other = await next_frame(rough), await next_frame(smooth)
            assert one.seq == other.seq
            assert points(one)[0, 0] == index % 2
            assert points(other)[0, 0] < 0.1
            assert points(other)[0, 3] == pytest.approx(index % 2, abs=1 / 32)
