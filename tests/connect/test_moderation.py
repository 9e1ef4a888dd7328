"""What hosts and moderators may do, what it does to live members, and how long it lasts."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import posewire
from posewire import AuthError, DataValidationError, PosewireError, RoomError
from posewire.protocol import control
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


def connect(server: posewire.Server, token: str, room: str | None = "studio", url: str | None = None) -> Any:
    return posewire.connect(url or server.url, token=token, room=room, config=CONFIG)


async def refused(server: posewire.Server, token: str, message: str, room: str = "studio") -> None:
    with pytest.raises(PosewireError, match=message):
        async with connect(server, token, room):
            pass


# Thrown out -----------------------------------------------------------------------------------------------------------


async def test_a_kicked_member_is_told_by_whom_and_why_and_stays_out(server: posewire.Server, member: Member) -> None:
    old = server.issue_token("bob")
    async with member("alice") as alice, contextlib.AsyncExitStack() as stack:
        presences = seen(alice)
        bob = await stack.enter_async_context(connect(server, old))
        resume = bob.socket._resumption._token
        frames = bob.frames()
        assert await alice.rooms.kick_member("studio", "bob", "rude")
        why = r"\[bob\]: kicked from room 'studio' by alice: rude"
        with pytest.raises(AuthError, match=why):
            await bob.wait_ended()
        with pytest.raises(AuthError, match=why):
            await next_frame(frames)
        with pytest.raises(AuthError, match=why):
            await bob.send_pose(landmarks())
        await eventually(lambda: kinds(presences) == [("joined", "bob"), ("left", "bob")])
        assert (presences[-1].reason, presences[-1].by) == ("kicked: rude", "alice")
        assert knows(alice, "alice")
        assert server.stats().seats_held == 0

        await refused(server, old, "banned for another 300 s: kicked from room 'studio' by alice: rude")
        await refused(server, server.issue_token("bob"), "banned for another 300 s")
        await refused(server, server.issue_token("bob", room_id="studio"), "banned for another 300 s")
        async with connect(server, old, "stage") as elsewhere:
            welcome = await elsewhere.socket.request(control.Hello(resume=resume), control.Welcome)
            assert not welcome.resumed
            with pytest.raises(RoomError, match="banned for another"):
                await elsewhere.rooms.join_room("studio")
            with pytest.raises(RoomError, match="banned for another"):
                await elsewhere.rooms.create_room("studio")
            assert elsewhere.rooms.current_room() == "stage"

        assert await alice.rooms.unban_member("studio", "bob")
        assert not await alice.rooms.unban_member("studio", "bob")
        await refused(server, old, "the token was revoked: kicked from room 'studio' by alice: rude")
        async with member("bob"):
            await eventually(lambda: knows(alice, "alice", "bob"))


async def test_a_member_that_was_away_when_it_was_kicked(server: posewire.Server, member: Member) -> None:
    async with FaultProxy(server.port) as proxy, member("alice") as alice, contextlib.AsyncExitStack() as stack:
        bob = await stack.enter_async_context(member("bob", url=proxy.url))
        proxy.refusing = True
        proxy.cut()
        await eventually(lambda: server.stats().seats_held == 1)
        await alice.rooms.kick_member("studio", "bob", "rude")
        await eventually(lambda: knows(alice, "alice"))
        proxy.refusing = False
        with pytest.raises(AuthError, match="kicked from room 'studio' by alice: rude"):
            await bob.wait_ended()
        assert knows(alice, "alice")


async def test_a_kick_without_a_ban_is_only_against_older_tokens(server: posewire.Server, member: Member) -> None:
    old = server.issue_token("bob")
    async with member("alice") as alice, contextlib.AsyncExitStack() as stack:
        bob = await stack.enter_async_context(connect(server, old))
        await alice.rooms.kick_member("studio", "bob", ban=0)
        with pytest.raises(AuthError, match="kicked from room 'studio' by alice"):
            await bob.wait_ended()
        await refused(server, old, "the token was revoked: kicked")
        async with member("bob") as again:
            assert again.rooms.current_room() == "studio"


async def test_the_ban_of_a_kick_is_a_setting_and_goes_by() -> None:
    async with posewire.serve(config=changed(room={"kick_ban": 0.15})) as server:
        async with connect(server, server.issue_token("alice")) as alice, contextlib.AsyncExitStack() as stack:
            bob = await stack.enter_async_context(connect(server, server.issue_token("bob")))
            await alice.rooms.kick_member("studio", "bob")
            with pytest.raises(AuthError):
                await bob.wait_ended()
            bob = await stack.enter_async_context(connect(server, server.issue_token("bob"), None))
            with pytest.raises(RoomError, match="banned for another 1 s"):
                await bob.rooms.join_room("studio")
            while bob.rooms.current_room() is None:
                with contextlib.suppress(RoomError):
                    await bob.rooms.join_room("studio")
            assert knows(bob, "alice", "bob")


async def test_a_ban_needs_nobody_to_be_there(server: posewire.Server, member: Member) -> None:
    async with member("alice") as alice:
        assert await alice.rooms.ban_member("studio", "bob", 100, "of old")
        await refused(server, server.issue_token("bob"), "bob is banned for another 100 s")
        assert await alice.rooms.unban_member("studio", "bob")
        async with member("bob") as bob, member("carol") as carol:
            assert await alice.rooms.ban_member("studio", "carol", 100)
            with pytest.raises(AuthError, match="banned from room 'studio' by alice"):
                await carol.wait_ended()
            await eventually(lambda: knows(bob, "alice", "bob"))


# Who may --------------------------------------------------------------------------------------------------------------

Ask = Callable[[posewire.RoomManager], Awaitable[bool]]
MODERATOR: dict[str, Ask] = {
    "kick": lambda rooms: rooms.kick_member("studio", "victim"),
    "ban": lambda rooms: rooms.ban_member("studio", "victim", 10),
    "unban": lambda rooms: rooms.unban_member("studio", "outcast"),
    "mute": lambda rooms: rooms.set_member_grants("studio", "victim", publish=False),
    "status": lambda rooms: rooms.update_member_status("studio", "victim", "late"),
}
HOST: dict[str, Ask] = {
    "lock": lambda rooms: rooms.lock_room("studio"),
    "unlock": lambda rooms: rooms.unlock_room("studio"),
    "role": lambda rooms: rooms.set_member_role("studio", "victim", "host"),
    "moderate": lambda rooms: rooms.set_member_grants("studio", "victim", moderate=True),
}


@pytest.mark.parametrize("what", [*MODERATOR, *HOST])
async def test_who_may_do_what(server: posewire.Server, member: Member, what: str) -> None:
    ask = {**MODERATOR, **HOST}[what]
    async with (
        member("alice") as alice,
        connect(server, server.issue_token("mod", moderate=True)) as mod,
        member("bob") as bob,
        member("stranger", "stage") as stranger,
        member("nowhere", None) as nowhere,
        contextlib.AsyncExitStack() as stack,
    ):
        victim = await stack.enter_async_context(member("victim"))
        await alice.rooms.ban_member("studio", "outcast", 100)
        with pytest.raises(RoomError, match=r"\[studio\]: bob is n(ot the host|either host nor moderator)"):
            await ask(bob.rooms)
        for outsider in (stranger, nowhere):
            with pytest.raises(RoomError, match=rf"\[studio\]: {outsider.user_id} is not in this room"):
                await ask(outsider.rooms)
        if what in HOST:
            with pytest.raises(RoomError, match=r"\[studio\]: mod is not the host"):
                await ask(mod.rooms)
        assert victim.socket.connected
        assert me(victim).publish
        if what == "unlock":
            await alice.rooms.lock_room("studio")
        assert await ask((alice if what in HOST else mod).rooms)
        if what in ("kick", "ban"):
            with pytest.raises(AuthError, match="by mod"):
                await victim.wait_ended()


async def test_nobody_is_over_the_host_and_moderators_not_over_each_other(
    server: posewire.Server, member: Member
) -> None:
    async with (
        member("alice") as alice,
        connect(server, server.issue_token("mod", moderate=True)) as mod,
        connect(server, server.issue_token("second", moderate=True)) as second,
    ):
        for other in ("alice", "second"):
            with pytest.raises(RoomError, match=f"mod is a moderator, which is not over {other}"):
                await mod.rooms.kick_member("studio", other)
            with pytest.raises(RoomError, match="not over"):
                await mod.rooms.set_member_grants("studio", other, publish=False)
        with pytest.raises(RoomError, match="alice cannot do that to itself"):
            await alice.rooms.kick_member("studio", "alice")
        with pytest.raises(RoomError, match="nobody is not in this room"):
            await alice.rooms.kick_member("studio", "nobody")
        assert await alice.rooms.set_member_grants("studio", "mod", moderate=False)
        with pytest.raises(RoomError, match="mod is neither host nor moderator"):
            await mod.rooms.kick_member("studio", "second")
        assert second.socket.connected


async def test_requests_that_cannot_be(member: Member) -> None:
    async with member("alice") as alice:
        rooms = alice.rooms
        with pytest.raises(posewire.RoomNotFoundError):
            await rooms.kick_member("nowhere", "bob")
        with pytest.raises(ValueError, match="expected 'host' or 'member'"):
            await rooms.set_member_role("studio", "alice", "king")  # type: ignore[arg-type]
        for seconds in (0, -1, 1e10):
            with pytest.raises(DataValidationError):
                await rooms.ban_member("studio", "bob", seconds)
        with pytest.raises(DataValidationError):
            await rooms.kick_member("studio", "bob", ban=-1)
        for text in ("x" * 129, "\x1b[31m"):
            with pytest.raises(DataValidationError):
                await rooms.kick_member("studio", "bob", text)
            with pytest.raises(DataValidationError):
                await rooms.update_member_status("studio", "alice", text)
        with pytest.raises(RoomError, match="alice is alone here"):
            await rooms.set_member_role("studio", "alice", "member")


async def test_a_locked_room_lets_only_those_back_who_have_a_seat(server: posewire.Server, member: Member) -> None:
    async with (
        FaultProxy(server.port) as proxy,
        member("alice") as alice,
        member("bob", url=proxy.url) as bob,
    ):
        presences = seen(bob)
        assert await alice.rooms.lock_room("studio")
        assert not await alice.rooms.lock_room("studio")
        await eventually(lambda: kinds(presences) == [("locked", "")])
        info = await bob.rooms.get_room_info("studio")
        assert info is not None
        assert info.is_locked
        await refused(server, server.issue_token("carol"), r"\[studio\]: the room is locked")
        proxy.cut()
        await eventually(lambda: ("returned", "bob") in kinds(presences))
        assert await alice.rooms.unlock_room("studio")
        assert not await alice.rooms.unlock_room("studio")
        async with member("carol"):
            await eventually(lambda: knows(bob, "alice", "bob", "carol"))


async def test_status_is_told_to_everyone(member: Member) -> None:
    async with member("alice") as alice, member("bob") as bob:
        presences = seen(alice)
        assert await bob.rooms.update_member_status("studio", "bob", "away")
        assert not await bob.rooms.update_member_status("studio", "bob", "away")
        await eventually(lambda: kinds(presences) == [("status", "bob")])
        assert presences[0].member is not None
        assert presences[0].member.status == "away"


# Grants, on live streams ----------------------------------------------------------------------------------------------


async def test_muted_and_unmuted_without_joining_again(server: posewire.Server, member: Member) -> None:
    async with FaultProxy(server.port) as proxy, member("alice") as alice, member("bob", url=proxy.url) as bob:
        frames, got, drops = alice.frames(), heard(alice, "n"), heard(bob, "presence")
        await bob.send_pose(landmarks(0))
        await next_frame(frames)
        before = me(bob)
        proxy.mute()  # it does not know yet, and goes on
        assert await alice.rooms.set_member_grants("studio", "bob", publish=False)
        await bob.send_pose(landmarks(1))
        await eventually(lambda: server.stats().drops.get("refused", 0) == 1)
        assert not drops
        proxy.unmute()
        await eventually(lambda: not me(bob).publish)
        with pytest.raises(RoomError, match=r"\[studio\]: bob may not publish here"):
            await bob.send_pose(landmarks(2))
        with pytest.raises(RoomError, match="bob may not publish here"):
            await bob.send_event("n", 1)
        assert await alice.rooms.set_member_grants("studio", "bob", publish=True)
        assert not await alice.rooms.set_member_grants("studio", "bob", publish=True)
        await eventually(lambda: me(bob).publish)
        await bob.send_event("n", 2)
        await eventually(lambda: len(got) == 1)
        assert got[0].data == 2
        seed = 10
        while not frames._waiting:  # what the first refers to was refused: a keyframe is asked for
            seed += 1
            await bob.send_pose(landmarks(seed))
            await alice.rooms.list_rooms()
        assert (points(await next_frame(frames)) >= 0).all()
        after = me(bob)
        assert (after.number, after.salt, after.join_time) == (before.number, before.salt, before.join_time)


async def test_muted_stays_muted_over_a_cut_and_a_new_session(server: posewire.Server, member: Member) -> None:
    async with FaultProxy(server.port) as proxy, member("alice") as alice:
        async with member("bob", url=proxy.url) as bob:
            await alice.rooms.set_member_grants("studio", "bob", publish=False)
            proxy.cut()
            await eventually(lambda: bob.socket.status.reconnect_count == 1 and not me(bob).publish)
        async with member("bob") as bob:
            with pytest.raises(RoomError, match="may not publish"):
                await bob.send_pose(landmarks())


async def test_a_token_is_the_most_that_can_be_granted(member: Member) -> None:
    async with member("alice") as alice, member("bob", publish=False):
        with pytest.raises(RoomError, match="the token of bob does not let it publish"):
            await alice.rooms.set_member_grants("studio", "bob", publish=True)


async def test_unsubscribed_at_once(member: Member) -> None:
    async with member("alice") as alice, member("bob") as bob, member("carol") as carol:
        frames, got, witness = bob.frames(), heard(bob, "n"), heard(carol, "n")
        assert await alice.rooms.set_member_grants("studio", "bob", subscribe=False)
        await alice.send_pose(landmarks(1))
        await alice.send_event("n", 1)
        await eventually(lambda: len(witness) == 1)
        await bob.rooms.list_rooms()  # what was sent to it before this answer has come
        assert not got
        assert not bob.receiver.stats()
        with pytest.raises(RoomError, match="bob may not subscribe here"):
            bob.frames()
        assert await alice.rooms.set_member_grants("studio", "bob", subscribe=True)
        await alice.send_event("n", 2)
        await eventually(lambda: len(got) == 1)
        assert got[0].data == 2
        assert frames.dropped == 0


# Who is host ----------------------------------------------------------------------------------------------------------


async def test_the_host_leaves_drops_and_gives_it_up() -> None:
    async with posewire.serve(config=changed(server={"resume_grace": 60})) as server, FaultProxy(server.port) as proxy:
        async with (
            connect(server, server.issue_token("carol")) as first,
            connect(server, server.issue_token("bob"), url=proxy.url) as bob,
            connect(server, server.issue_token("dora")) as dora,
        ):
            presences = seen(dora)
            await first.rooms.leave_room("studio")
            await eventually(lambda: me(bob).role == "host")
            proxy.refusing = True
            proxy.cut()
            await eventually(lambda: me(dora).role == "host")
            told = [("left", "carol"), ("host", "bob"), ("dropped", "bob"), ("left", "bob"), ("host", "dora")]
            await eventually(lambda: kinds(presences) == told)
            proxy.refusing = False
            await eventually(lambda: knows(dora, "bob", "dora"))
            assert await dora.rooms.set_member_role("studio", "bob", "host")
            await eventually(lambda: me(bob).role == "host" and me(dora).role == "member")
            with pytest.raises(RoomError, match="dora is not the host"):
                await dora.rooms.lock_room("studio")


async def test_an_owner_takes_over_from_an_accidental_host(server: posewire.Server, member: Member) -> None:
    async with member("alice") as alice, connect(server, server.issue_token("boss", role="host"), None) as boss:
        await boss.rooms.join_room("studio", role="host")
        await eventually(lambda: me(alice).role == "member")
        assert me(boss).role == "host"
        with pytest.raises(RoomError, match="alice is not the host"):
            await alice.rooms.lock_room("studio")
    async with member("alice") as alice, member("bob", None) as bob:
        await bob.rooms.join_room("studio", role="host")
        assert me(bob).role == "member", "its token does not say so"
        assert me(alice).role == "host"


async def test_an_accidental_host_is_not_over_an_owner(server: posewire.Server, member: Member) -> None:
    async with member("alice") as alice, connect(server, server.issue_token("boss", role="host")) as boss:
        assert me(alice).role == "host"
        with pytest.raises(RoomError, match="the token of boss says host"):
            await alice.rooms.set_member_grants("studio", "boss", publish=False)
        with pytest.raises(RoomError, match="the token of boss says host"):
            await alice.rooms.set_member_grants("studio", "boss", publish=False, moderate=False)
        assert me(boss).publish


async def test_a_kicked_member_that_was_not_told_learns_it_on_its_way_back(
    server: posewire.Server, member: Member
) -> None:
    async with FaultProxy(server.port) as proxy, member("alice") as alice, contextlib.AsyncExitStack() as stack:
        bob = await stack.enter_async_context(member("bob", url=proxy.url))
        proxy.mute()
        await alice.rooms.kick_member("studio", "bob", "rude")
        proxy.cut()
        proxy.unmute()
        with pytest.raises(AuthError, match="kicked from room 'studio' by alice: rude"):
            await bob.wait_ended()
