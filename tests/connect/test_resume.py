"""A session that lost its connection: the same member when it is back, with everything it missed, once and in order."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import sys
from typing import Any

import pytest

import posewire
from posewire import ConnectionError
from tests.connect.conftest import (
    CONFIG,
    Member,
    changed,
    eventually,
    heard,
    kinds,
    knows,
    landmarks,
    me,
    next_frame,
    points,
    seen,
)
from tests.connect.fault_proxy import FaultProxy

SHORT = {"resume_grace": 60}
KEY = b"k" * 32


def open_session(server: posewire.Server, name: str, url: str | None = None, **options: Any) -> posewire.Session:
    options = {"token": server.issue_token(name), "room": "studio", "config": CONFIG, **options}
    return posewire.connect(url or server.url, **options)


async def back(session: posewire.Session, count: int = 1) -> None:
    await eventually(lambda: session.socket.connected and session.socket.status.reconnect_count >= count)


def numbers(events: list[posewire.Event], user_id: str) -> list[int]:
    return [event.data for event in events if event.user_id == user_id]


# The same member ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("room_key", [None, KEY])
async def test_a_cut_session_keeps_its_place(server: posewire.Server, room_key: bytes | None) -> None:
    async with (
        FaultProxy(server.port) as proxy,
        open_session(server, "alice", proxy.url, room_key=room_key) as alice,
        open_session(server, "bob", room_key=room_key) as bob,
    ):
        frames, presences, reconnects = bob.frames(), seen(bob), heard(alice, "reconnect")
        await alice.send_pose(landmarks(1), "left")
        await alice.send_pose(landmarks(2), "right")
        assert {(await next_frame(frames)).stream, (await next_frame(frames)).stream} == {"left", "right"}
        before, number, epoch = me(alice), alice.socket.writer.member, alice.socket.epoch
        assert alice.rooms.state is not None
        streams = dict(alice.rooms.state.streams)
        proxy.refusing = True
        proxy.cut()
        await eventually(lambda: ("dropped", "alice") in kinds(presences))
        members = {member.id: member.present for member in await bob.rooms.get_room_members("studio")}
        assert members == {"alice": False, "bob": True}
        assert server.stats().seats_held == 1
        proxy.refusing = False
        await eventually(lambda: ("returned", "alice") in kinds(presences))
        await eventually(lambda: bool(reconnects))
        assert reconnects[0].data == {"count": 1, "resumed": True, "reason": ""}
        assert me(alice) == before, "number, role, salt, time of joining"
        assert before.role == "host"
        assert (alice.socket.writer.member, alice.socket.epoch) == (number, epoch)
        assert alice.rooms.state.streams == streams
        await alice.send_pose(landmarks(3), "right")
        frame = await next_frame(frames)
        assert (frame.stream, frame.seq) == ("right", 1)
        assert (points(frame) == landmarks(3)).all()
        assert kinds(presences) == [("dropped", "alice"), ("returned", "alice")], "never left, never joined"
        assert server.stats().seats_held == 0
        assert not bob.socket.drops, "nothing replayed, nothing refused"


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("room_key", [None, KEY])
async def test_events_over_twenty_cuts(server: posewire.Server, room_key: bytes | None, seed: int) -> None:
    """Everybody sends while connections are cut and others come, say something and go.

    With an odd seed they are cut while they are coming back, too.
    """
    rng, steps, patient = random.Random(seed), 60, not seed % 2
    done = {"alice": 0, "bob": 0}
    cuts = sorted(rng.sample(range(steps), 20))
    async with FaultProxy(server.port) as one, FaultProxy(server.port) as two, contextlib.AsyncExitStack() as stack:
        alice, bob, carol = [
            await stack.enter_async_context(open_session(server, name, url, room_key=room_key))
            for name, url in (("alice", one.url), ("bob", two.url), ("carol", None))
        ]
        got = {session.user_id: heard(session, "n") for session in (alice, bob, carol)}
        visits = {session.user_id: heard(session, "visit") for session in (alice, bob, carol)}
        async with asyncio.TaskGroup() as sending:
            for step in range(steps):
                for session in (alice, bob, carol):
                    sending.create_task(session.send_event("n", step))
                if step in cuts:
                    for _ in range(rng.randrange(4)):
                        await asyncio.sleep(0)
                    session, proxy = rng.choice(((alice, one), (bob, two)))
                    if patient:
                        await back(session, done[session.user_id])
                    done[session.user_id] += 1
                    proxy.cut()
                if step % 10 == 9:  # comes, speaks and is gone, whoever is away meanwhile
                    async with open_session(server, f"visitor {step}", room_key=room_key) as visitor:
                        await visitor.send_event("visit", step)
                if rng.random() < 0.3:
                    await back(alice, 0)
                    await back(bob, 0)
        for session in (alice, bob):
            await back(session, done[session.user_id] if patient else 1)
        last = steps - 1
        for name in got:
            others = [other for other in got if other != name]
            await eventually(lambda: all(last in numbers(got[name], other) for other in others))  # noqa: B023
            for other in others:
                assert numbers(got[name], other) == list(range(steps)), f"{other} to {name}"
            await eventually(lambda: len(visits[name]) >= steps // 10)  # noqa: B023
            assert [event.data for event in visits[name]] == list(range(9, steps, 10))
        assert (me(alice).number, me(bob).number) == (1, 2)
        await eventually(lambda: all(knows(session, "alice", "bob", "carol") for session in (alice, bob, carol)))


async def test_a_sender_that_is_cut_before_the_acknowledgement(server: posewire.Server, member: Member) -> None:
    async with FaultProxy(server.port) as proxy, member("bob") as bob, member("alice", url=proxy.url) as alice:
        got = heard(bob, "n")
        proxy.mute()
        first = asyncio.create_task(alice.send_event("n", 0))
        await eventually(lambda: len(got) == 1)
        assert not first.done()
        proxy.cut()
        proxy.unmute()
        await first
        await alice.send_event("n", 1)
        await eventually(lambda: len(got) == 2)
        assert [event.data for event in got] == [0, 1]
        assert not bob.socket.drops


async def test_what_was_missed_comes_in_order_with_who_came_and_went(server: posewire.Server, member: Member) -> None:
    async with FaultProxy(server.port) as proxy, member("bob", url=proxy.url) as bob:
        told: list[Any] = []
        bob.on("n", lambda event: told.append((event.user_id, event.data)))
        bob.on("presence", lambda event: told.append((event.data.kind, event.user_id)))
        proxy.refusing = True
        proxy.cut()
        await eventually(lambda: server.stats().seats_held == 1)
        for name in ("alice", "carol"):
            async with member(name) as session:
                await session.send_event("n", 1)
                await session.send_event("n", 2)
        proxy.refusing = False
        await eventually(lambda: ("returned", "bob") in told)
        of_others = [entry for entry in told if entry[1] != "bob"]
        assert of_others == [
            ("joined", "alice"), ("alice", 1), ("alice", 2), ("left", "alice"),
            ("joined", "carol"), ("carol", 1), ("carol", 2), ("left", "carol"),
        ]  # fmt: skip
        assert not bob.socket.drops


async def test_too_much_was_missed() -> None:
    async with posewire.serve(config=changed(server={"recipient_limit": 2048})) as server:
        async with (
            FaultProxy(server.port) as proxy,
            open_session(server, "alice") as alice,
            open_session(server, "bob", proxy.url) as bob,
        ):
            got, reconnects = heard(bob, "n"), heard(bob, "reconnect")
            proxy.refusing = True
            proxy.cut()
            await eventually(lambda: server.stats().seats_held == 1)
            for number in range(5):
                await alice.send_event("n", [number, "x" * 500])
            proxy.refusing = False
            await eventually(lambda: bool(reconnects))
            assert not reconnects[0].data["resumed"]
            assert reconnects[0].data["reason"] == "more than 2048 bytes of messages were missed"
            await eventually(lambda: knows(alice, "alice", "bob"))
            await alice.send_event("n", "again")
            await eventually(lambda: bool(got))
            assert [event.data for event in got] == ["again"], "all or nothing of what was missed"


# Another member -------------------------------------------------------------------------------------------------------


async def test_the_grace_time_is_over() -> None:
    async with posewire.serve(config=changed(server=SHORT)) as server:
        async with (
            FaultProxy(server.port) as proxy,
            open_session(server, "alice", proxy.url) as alice,
            open_session(server, "bob") as bob,
        ):
            presences, reconnects, before = seen(bob), heard(alice, "reconnect"), me(alice)
            proxy.refusing = True
            proxy.cut()
            await eventually(lambda: ("host", "bob") in kinds(presences))
            assert kinds(presences) == [("dropped", "alice"), ("left", "alice"), ("host", "bob")]
            assert presences[1].reason == "did not come back within 0.06 s"
            proxy.refusing = False
            await eventually(lambda: bool(reconnects))
            assert not reconnects[0].data["resumed"]
            assert reconnects[0].data["reason"] == "the server does not know this session (any more)"
            after = me(alice)
            assert after.number != before.number
            assert after.salt != before.salt
            assert after.role == "member"
            frames = bob.frames()
            await alice.send_pose(landmarks())
            assert (await next_frame(frames)).user_id == "alice"


async def test_a_client_that_says_goodbye_frees_its_seat_at_once(server: posewire.Server, member: Member) -> None:
    async with member("bob") as bob:
        presences = seen(bob)
        async with member("alice"):
            pass
        await eventually(lambda: ("left", "alice") in kinds(presences))
        assert ("dropped", "alice") not in kinds(presences)
        assert server.stats().seats_held == 0


KILLED = """
import asyncio, sys, posewire
async def main():
    async with posewire.connect(sys.argv[1], token=sys.argv[2], room="studio", config=posewire.Config()) as session:
        await session.wait_ended()
asyncio.run(main())
"""


async def test_a_process_that_is_killed_keeps_its_seat_for_the_grace_time() -> None:
    async with posewire.serve(config=changed(server=SHORT)) as server, open_session(server, "bob") as bob:
        presences = seen(bob)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", KILLED, server.url, server.issue_token("alice")
        )
        await eventually(lambda: ("joined", "alice") in kinds(presences), seconds=30)
        process.send_signal(signal.SIGKILL)
        await process.wait()
        await eventually(lambda: ("left", "alice") in kinds(presences))
        assert kinds(presences) == [("joined", "alice"), ("dropped", "alice"), ("left", "alice")]


async def test_the_server_restarts_on_its_port() -> None:
    config = changed(security={"secret_key": "s" * 48})
    async with contextlib.AsyncExitStack() as stack:
        async with posewire.serve(config=config) as first:
            port = first.port
            alice, bob = [
                await stack.enter_async_context(open_session(first, name, first.url)) for name in ("alice", "bob")
            ]
            got, reconnects = heard(bob, "n"), heard(bob, "reconnect")
            for number in range(3):
                await alice.send_event("n", number)
            await eventually(lambda: len(got) == 3)
        second = await stack.enter_async_context(posewire.serve(port=port, config=config))
        await back(alice)
        await back(bob)
        await eventually(lambda: knows(alice, "alice", "bob") and knows(bob, "alice", "bob") and bool(reconnects))
        assert reconnects[0].data == {
            "count": 1,
            "resumed": False,
            "reason": "the server does not know this session (any more)",
        }
        await alice.send_event("n", 3)
        await eventually(lambda: len(got) == 4)
        assert [event.data for event in got] == [0, 1, 2, 3]
        await stack.aclose()
        assert second.stats().connections == 0


async def test_a_server_that_holds_no_seats() -> None:
    async with posewire.serve(config=changed(server={"resume_grace": 0})) as server:
        async with FaultProxy(server.port) as proxy, open_session(server, "alice", proxy.url) as alice:
            reconnects = heard(alice, "reconnect")
            proxy.cut()
            await eventually(lambda: bool(reconnects))
            assert not reconnects[0].data["resumed"]
            with contextlib.suppress(ConnectionError):
                await alice.send_event("n", 1)
            assert alice.rooms.current_room() == "studio"
