"""Who was cancelled on the way into a room, or out of it, finds out where it is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

import posewire
from posewire import ConnectionError
from posewire.rooms import room_manager as module
from tests.connect.conftest import Member, eventually, landmarks, next_frame

Move = Callable[[posewire.Session], Coroutine[Any, Any, Any]]


def to_stage(session: posewire.Session) -> Coroutine[Any, Any, Any]:
    return session.rooms.join_room("stage")


def out(session: posewire.Session) -> Coroutine[Any, Any, Any]:
    return session.rooms.leave_room("studio")


async def cancelled_when_done(session: posewire.Session, server: posewire.Server, move: Move) -> None:
    """Cancel a move at the moment when the server has made it, and its answer is not here yet."""
    task = asyncio.ensure_future(move(session))
    rooms = server._reception.rooms

    def then_cancel(honest: Callable[..., Any]) -> Callable[..., Any]:
        def moved(*arguments: Any) -> Any:
            task.cancel()
            return honest(*arguments)

        return moved

    with pytest.MonkeyPatch.context() as patch:
        for name in ("join", "leave"):
            patch.setattr(rooms, name, then_cancel(getattr(rooms, name)))
        with pytest.raises(asyncio.CancelledError):
            await task


def who(server: posewire.Server, room_id: str) -> set[str]:
    room = server._reception.rooms.rooms.get(room_id)
    return set() if room is None else set(room.state.members)


async def test_who_was_moved_knows_it(member: Member, server: posewire.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    async with member("alice") as alice, member("bob", "stage") as bob, member("carol"):
        frames = bob.frames()
        await cancelled_when_done(alice, server, to_stage)
        assert who(server, "stage") == {"alice", "bob"}
        await eventually(lambda: alice.rooms.current_room() == "stage")
        assert await alice.send_pose(landmarks())
        assert (await next_frame(frames)).user_id == "alice"
        await alice.send_event("hello", 1)


async def test_who_was_in_no_room_is_in_none(member: Member, server: posewire.Server) -> None:
    async with member("alice", None) as alice, member("bob", "stage"):
        await cancelled_when_done(alice, server, to_stage)
        await eventually(lambda: who(server, "stage") == {"bob"})
        assert alice.rooms.current_room() is None
        assert await alice.rooms.join_room("stage")


async def test_who_has_left_knows_it(member: Member, server: posewire.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    async with member("alice") as alice, member("carol"):
        await cancelled_when_done(alice, server, out)
        assert who(server, "studio") == {"carol"}
        await eventually(lambda: alice.rooms.current_room() is None)
        assert await alice.rooms.join_room("studio")


@pytest.mark.parametrize("move", [to_stage, out])
async def test_who_never_asked_stays(member: Member, server: posewire.Server, move: Move) -> None:
    async with member("alice") as alice, member("bob", "stage"), member("carol") as carol:
        frames = carol.frames()
        lane = alice.socket.lane
        assert lane is not None
        task = asyncio.ensure_future(move(alice))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        if who(server, "studio") == {"alice", "carol"}:
            await eventually(lambda: not alice.rooms._entry.in_doubt)
        where = alice.rooms.current_room()
        assert ("alice" in who(server, "studio")) == (where == "studio")
        if where == "studio":
            assert await alice.send_pose(landmarks())
            assert (await next_frame(frames)).user_id == "alice"


@pytest.mark.parametrize("move", [to_stage, out])
async def test_it_asks_until_it_is_told(
    member: Member, server: posewire.Server, monkeypatch: pytest.MonkeyPatch, move: Move
) -> None:
    monkeypatch.setattr(module, "_ASK_AGAIN_SECONDS", 0.01)
    async with member("alice") as alice, member("bob", "stage"), member("carol"):
        lane = alice.socket.lane
        assert lane is not None
        asked, honest = [], lane.request

        async def request(name: str, data: Any) -> Any:
            if name == "room.sync":
                asked.append(name)
                if len(asked) < 4:
                    raise ConnectionError("no answer")
            return await honest(name, data)

        monkeypatch.setattr(lane, "request", request)
        await cancelled_when_done(alice, server, move)
        await eventually(lambda: alice.rooms.current_room() != "studio")
        await eventually(lambda: not alice.rooms._entry.in_doubt)
        assert len(asked) >= 4
        assert who(server, "studio") == {"carol"}


async def test_a_move_that_was_refused_is_in_no_doubt(member: Member) -> None:
    async with member("alice") as alice:
        with pytest.raises(posewire.RoomNotFoundError):
            await alice.rooms.join_room("stage")
        assert not alice.rooms._entry.in_doubt
        assert alice.rooms.current_room() == "studio"
