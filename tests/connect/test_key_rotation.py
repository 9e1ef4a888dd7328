"""The room key changes while everyone talks: nobody misses a word, and the old key is of no use afterwards."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import pytest

import posewire
from posewire import RoomError, SecurityError, clock
from tests.connect.conftest import CONFIG, changed, eventually, landmarks, next_frame, points
from tests.connect.fault_proxy import FaultProxy

KEY = bytes(range(32))
Join = Callable[..., contextlib.AbstractAsyncContextManager[posewire.Session]]


@pytest.fixture
def join(server: posewire.Server) -> Join:
    def make(
        name: str, *, key: bytes | str | None = KEY, url: str | None = None, config: posewire.Config = CONFIG
    ) -> posewire.Session:
        token = server.issue_token(name)
        return posewire.connect(url or server.url, token=token, room="studio", room_key=key, config=config)

    return make


def key_of(session: posewire.Session) -> bytes:
    room = session.rooms._seals.room
    assert room is not None
    return room.secret


async def moved(session: posewire.Session, key: bytes) -> None:
    """Wait until a session seals with a key, and everyone can know."""
    await eventually(lambda: key_of(session) == key)
    state = session.rooms.state
    assert state is not None
    key_id = session.rooms._seals.room.key_id if session.rooms._seals.room is not None else b""
    await eventually(lambda: all(member.key_id == key_id for member in state.members.values()))


async def test_everyone_moves_and_nothing_is_missed(join: Join) -> None:
    async with join("alice") as alice, join("bob") as bob, join("carol") as carol:
        seen, heard = bob.frames(), []
        carol.on("wave", lambda event: heard.append(event.data))
        talking = True

        async def talk() -> int:
            sent = 0
            while talking:
                await alice.send_pose(landmarks(sent))
                await bob.send_event("wave", sent)
                sent += 1
            return sent

        speaker = asyncio.create_task(talk(), name="talk")
        for _ in range(3):
            key = await alice.rooms.rotate_key("studio")
            for session in (alice, bob, carol):
                await moved(session, key)
        talking = False
        sent = await speaker
        await eventually(lambda: len(heard) == sent)
        assert heard == list(range(sent))
        last = await next_frame(seen)
        while last.seq < sent - 1 - alice.sender.drops["replaced"]:
            newer = await next_frame(seen)
            assert newer.seq == last.seq + 1
            last = newer
        assert (points(last) != landmarks(sent - 1)).mean() < 1
        for session in (alice, bob, carol):
            assert session.receiver.drops == {}


async def test_who_joins_later_needs_the_new_key(join: Join) -> None:
    async with join("alice") as alice:
        key = await alice.rooms.rotate_key("studio", "a new and long passphrase")
        async with join("bob", key=key) as bob, join("mallory") as mallory:
            frames, blind = bob.frames(), mallory.frames()
            await alice.send_pose(landmarks(1))
            assert (await next_frame(frames)).user_id == "alice"
            await eventually(lambda: mallory.receiver.drops.get("wrong_key", 0) >= 1)
            assert not blind._waiting
            await mallory.rooms.use_key(key)
            await alice.send_pose(landmarks(2))
            assert (await next_frame(blind)).user_id == "alice", "told by another way"


async def test_the_old_key_is_refused_after_the_grace(join: Join, monkeypatch: pytest.MonkeyPatch) -> None:
    now = clock.monotonic()
    async with join("alice") as alice, join("bob") as bob:
        frames = alice.frames()
        bob.rooms.packets.own_events.clear()  # it does not follow
        await bob.send_pose(landmarks(1))
        await next_frame(frames)
        await alice.rooms.rotate_key("studio")
        await bob.send_pose(landmarks(2))
        await next_frame(frames)
        assert alice.receiver.drops == {}, "it had no time to follow yet"
        monkeypatch.setattr(clock, "monotonic", lambda: now + 3600)
        await bob.send_pose(landmarks(3))
        await eventually(lambda: alice.receiver.drops == {"wrong_key": 1})
        assert not frames._waiting


async def test_what_was_sealed_before_is_refused_after_the_grace(join: Join, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who has the old key, and a server that helps, can make packets of members that moved on."""
    async with join("alice") as alice, join("bob") as bob:
        frames = alice.frames()
        await bob.send_pose(landmarks(1))
        await next_frame(frames)
        old = bob.socket.writer._key
        key = await alice.rooms.rotate_key("studio")
        await moved(bob, key)
        await moved(alice, key)
        assert old is not None
        await eventually(lambda: bob.socket.writer._key is not old)
        bob.socket.writer.rekey(old)
        await bob.send_pose(landmarks(2))
        await next_frame(frames)
        assert alice.receiver.drops == {}, "it may have been on its way"
        # What is under way when the clock jumps, and then stands still, would look as if the link had stopped.
        lane = bob.socket.lane
        assert lane is not None
        await eventually(lambda: lane.credit.in_flight == 0)
        now = clock.monotonic()
        monkeypatch.setattr(clock, "monotonic", lambda: now + 3600)
        await bob.send_pose(landmarks(3))
        await eventually(lambda: alice.receiver.drops == {"altered": 1})


async def test_only_the_host_of_an_encrypted_room(join: Join) -> None:
    async with join("alice", key=None) as alice:
        with pytest.raises(SecurityError, match="not encrypted"):
            await alice.rooms.rotate_key("studio")
    async with join("alice") as alice, join("bob") as bob:
        with pytest.raises(RoomError, match="bob is not the host"):
            await bob.rooms.rotate_key("studio")
        with pytest.raises(RoomError, match="alice is not the host"):
            await alice.rooms.rotate_key("stage")
        with pytest.raises(posewire.ConfigurationError, match="room_key"):
            await alice.rooms.rotate_key("studio", b"short")
        for data in ({"key": bytes(32)}, {"key": "short"}, None):
            reply, _ = await bob.socket.submit_event("posewire:key", data, own=True)
            await reply
        await eventually(lambda: alice.receiver.drops == {"key_refused": 3})
        reply, _ = await alice.socket.submit_event("posewire:key", {"key": b"short"}, own=True)
        await reply
        reply, _ = await alice.socket.submit_event("posewire:other", None, own=True)
        await reply
        await eventually(lambda: bob.receiver.drops == {"key_refused": 1})
        assert key_of(alice) == key_of(bob) == KEY
        with pytest.raises(posewire.DataValidationError, match="event name"):
            await bob.send_event("posewire:key", {})


async def test_a_member_that_was_away_moves_when_it_is_back(server: posewire.Server, join: Join) -> None:
    async with FaultProxy(server.port) as proxy, join("alice") as alice, join("bob", url=proxy.url) as bob:
        frames = bob.frames()
        proxy.refusing = True
        proxy.cut()
        await eventually(lambda: not bob.socket.connected)
        key = await alice.rooms.rotate_key("studio")
        proxy.refusing = False
        await moved(bob, key)
        await moved(alice, key)
        await alice.send_pose(landmarks(5))
        frame = await next_frame(frames)
        assert frame.user_id == "alice"


async def test_a_move_that_fails_is_tried_again(server: posewire.Server, join: Join) -> None:
    config = changed(socket={"request_timeout": 200})
    async with (
        FaultProxy(server.port) as proxy,
        join("alice") as alice,
        join("bob", url=proxy.url, config=config) as bob,
    ):
        request = bob.socket.request
        failing = True

        async def fails(message: object, answer: object) -> object:
            nonlocal failing
            if failing and type(message).__name__ == "Rekey":
                failing = False
                raise posewire.ConnectionError("the network is away")
            return await request(message, answer)  # type: ignore[arg-type]

        bob.socket.request = fails  # type: ignore[method-assign,assignment]
        key = await alice.rooms.rotate_key("studio")
        await moved(alice, key)
        await moved(bob, key)
        assert not failing


async def test_who_begins_to_watch_after_a_rotation_misses_nothing(join: Join) -> None:
    """The picture that the server has is sealed with the old key; what comes must not refer to it."""
    config = changed(security={"key_grace": 20})
    async with join("alice", config=config) as alice, join("bob", config=config) as bob:
        await alice.send_pose(landmarks(1))
        key = await alice.rooms.rotate_key("studio")
        for session in (alice, bob):
            await moved(session, key)
        await asyncio.sleep(0.05)  # the grace is over
        frames = bob.frames()
        await alice.send_pose(landmarks(2))
        assert (points(await next_frame(frames)) != landmarks(2)).mean() < 1
        assert "missing_reference" not in bob.socket.drops
