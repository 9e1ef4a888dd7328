"""Clocks that are off, drift and jump, on real connections."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

import msgspec
import pytest
from benchmarks.chaos.clock_steps import Clocks, steppable_clocks

import posewire
from posewire import clock
from posewire.limits import MAX_NAME_CHARS
from tests.connect.conftest import Member, changed, eventually, heard, landmarks, next_frame

QUICK = changed(socket={"clock_interval": 80})


async def in_its_own_context(work: Coroutine[Any, Any, None]) -> None:
    await asyncio.get_running_loop().create_task(work, name="context")


async def test_a_session_keeps_asking(member: Member) -> None:
    async with member("alice", config=QUICK) as alice:
        heartbeat = alice.socket.status.last_heartbeat
        await eventually(lambda: alice.socket.status.last_heartbeat > heartbeat)
        server = alice.socket.clock
        assert abs(server.offset) < server.uncertainty + 1e-3, "it is the same clock"
        assert server.steps == 0


async def test_our_clock_leaps_and_what_we_send_is_as_old_as_it_is(server: posewire.Server, member: Member) -> None:
    async def live() -> None:
        clocks = Clocks()
        async with member("bob") as bob:
            clocks.use()
            async with member("alice", config=QUICK) as alice:
                told, frames = heard(alice, "clock"), bob.frames()
                clocks.capture += 50.0
                await eventually(lambda: bool(told))
                assert told[0].data["new"] - told[0].data["old"] == pytest.approx(-50, abs=2)
                assert alice.socket.clock.steps == 1
                await alice.send_pose(landmarks())
                assert abs((await next_frame(frames)).timestamp - time.time()) < 20

    with steppable_clocks():
        await in_its_own_context(live())


async def test_a_server_that_comes_back_with_another_time(
    server: posewire.Server, member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = msgspec.structs.replace(
        changed(), security=msgspec.structs.replace(changed().security, secret_key="s" * MAX_NAME_CHARS)
    )
    first = posewire.serve(config=config)
    async with first:
        port, token = first.port, first.issue_token("alice")
        session = posewire.connect(first.url, token=token, config=config)
        await session.__aenter__()
        told, back = heard(session, "clock"), heard(session, "reconnect")
    try:
        real = clock.now
        with monkeypatch.context() as another:
            another.setattr(clock, "now", lambda: real() + 100.0)
            second = posewire.serve(port=port, config=config)  # asks the clock that it finds now
        async with second:
            await eventually(lambda: bool(back) and bool(told))
            assert told[0].data["new"] - told[0].data["old"] == pytest.approx(100, abs=2)
            await session.aclose()
    finally:
        await session.aclose()


async def test_a_member_cannot_say_that_a_clock_jumped(member: Member) -> None:
    async with member("alice") as alice:
        with pytest.raises(posewire.DataValidationError, match="clock"):
            await alice.send_event("clock", {})


async def test_a_time_offset_goes_over_the_wire(member: Member) -> None:
    async with member("alice") as alice, member("bob") as bob:
        frames, sounds = bob.frames(), bob.frames("audio")
        now = clock.now() - 10
        await alice.send_pose(landmarks(), timestamp=now)
        plain = (await next_frame(frames)).timestamp
        alice.pose.set_time_offset(-80)
        await alice.send_pose(landmarks(), timestamp=now + 1, stream="other")
        await alice.send_audio(bytes(200), timestamp=now + 1)
        shifted, sound = (await next_frame(frames)).timestamp, (await next_frame(sounds)).timestamp
        assert shifted - plain == pytest.approx(0.92, abs=0.01)
        assert sound - plain == pytest.approx(1.0, abs=0.01)
        for bad in (float("nan"), 3_600_001, -1e9, 10**400, True, "80", None):
            with pytest.raises(posewire.InvalidDataError, match="time offset"):
                alice.pose.set_time_offset(bad)  # type: ignore[arg-type]
        await alice.send_pose(landmarks(), timestamp=now + 2, stream="other")
        assert (await next_frame(frames)).timestamp - plain == pytest.approx(1.92, abs=0.01)


async def test_capture_times_that_go_back_arrive_in_order_and_are_counted(member: Member) -> None:
    async with member("alice") as alice, member("bob") as bob:
        frames, times = bob.frames(), []
        for captured in (500.0, 500.0, 499.9, 500.1, 3.0):
            await alice.send_pose(landmarks(), timestamp=captured)
            times.append((await next_frame(frames)).timestamp)
        assert times[0] < times[1] < times[2] < times[3]
        assert times[2] - times[0] < 0.01
        assert times[4] - times[0] == pytest.approx(-497, abs=0.01)
        assert alice.sender.status().repaired == {"repeated": 1, "backwards": 1, "restarted": 1}
