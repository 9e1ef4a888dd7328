"""Kicks and locks: what the host does, and whether the door holds."""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec

import posewire
from benchmarks.chaos.history import History
from benchmarks.chaos.member import Member, Surroundings

_RETRY_SECONDS: Final = 0.03
_TRIES: Final = 60


class Kick(msgspec.Struct, frozen=True, kw_only=True):
    """A kick that the server confirmed."""

    session: str
    user: str
    room: str
    at: int
    """Position in the history."""
    until: float
    """Loop time at which the ban ends."""
    generation: int


class Door:
    """Has hosts throw members out and lock rooms, and tries to get in where nobody may.

    Args:
        around: What all members share.
        members: All there are; the world adds to them.
    """

    def __init__(self, around: Surroundings, members: list[Member]) -> None:
        self._around = around
        self._members = members
        self._kicks: list[Kick] = []
        self._locked: set[str] = set()

    def excuse_newcomer(self, member: Member) -> None:
        """Note what a session that begins now may be refused for."""
        history, now = self._around.history, asyncio.get_running_loop().time()
        if self._locked:
            history.excuse(member.label, "RoomError")
        for kick in self._kicks:
            if kick.user == member.user and now < kick.until:
                history.excuse(member.label, "AuthError", "RoomError")

    async def kick(self, victim: Member, ban: float, old_token: str) -> None:
        """Have the host of its room throw a member out, then try its old token; the ban is in real seconds."""
        for _ in range(_TRIES):
            room = victim.view().room
            host = self._host(room)
            if room is None or not victim.alive:
                return
            if host is victim:
                self._around.note(f"{victim.label} is host: nobody throws it out")
                return
            if host is not None and await self._kick_by(host, victim, room, ban, old_token):
                return
            await asyncio.sleep(_RETRY_SECONDS)

    async def _kick_by(self, host: Member, victim: Member, room: str, ban: float, old_token: str) -> bool:
        history, generation = self._around.history, self._around.server.generation
        history.excuse(victim.label, "AuthError")
        expected, victim.room = victim.room, None
        try:
            done = await host.session.rooms.kick_member(room, victim.user, reason="chaos", ban=ban)
        except posewire.PosewireError as exc:
            self._around.note(f"{host.label} could not kick {victim.label}: {exc}")
            # One that was not answered may have been carried out.
            if isinstance(exc, posewire.RoomError) and victim.room is None:  # it may have moved meanwhile
                victim.room = expected
            return False
        self._around.note(f"{host.label} kicked {victim.label} from {room}: {done}")
        if done:
            until = asyncio.get_running_loop().time() + ban
            self._kicks.append(
                Kick(
                    session=victim.label,
                    user=victim.user,
                    room=room,
                    at=history.position(),
                    until=until,
                    generation=generation,
                )
            )
            await self._try(old_token, victim.user, room, generation)
        return True

    async def _try(self, token: str, user: str, room: str, generation: int) -> None:
        """Come back on an old token, as the one who was thrown out would."""
        server = self._around.server
        config = msgspec.structs.replace(
            self._around.config,
            socket=msgspec.structs.replace(self._around.config.socket, reconnect_attempts=0),
        )
        try:
            async with posewire.connect(server.url, token=token, room=room, config=config):
                pass
        except posewire.ConnectionError as exc:
            self._around.note(f"the server could not be asked whether {user} may come back: {exc}")
        except posewire.PosewireError as exc:
            self._around.note(f"{user} did not get back in: {exc}")
        else:
            if server.generation == generation:
                self._around.history.wrong.append(f"the door: {user} got back into {room} on its old token")

    async def lock(self, room: str, seconds: float) -> None:
        """Have the host lock a room, and unlock it after so many real seconds."""
        self._locked.add(room)
        for member in self._members:
            # Who cannot resume has to come in like anybody else.
            self._around.history.excuse(member.label, "RoomError")
        if await self._set_lock(room, locked=True):
            await asyncio.sleep(seconds)
            await self._set_lock(room, locked=False)
        self._locked.discard(room)

    async def _set_lock(self, room: str, *, locked: bool) -> bool:
        for _ in range(_TRIES):
            if (host := self._host(room)) is not None:
                rooms = host.session.rooms
                try:
                    done = await (rooms.lock_room(room) if locked else rooms.unlock_room(room))
                except posewire.PosewireError as exc:
                    self._around.note(f"{host.label} could not {'lock' if locked else 'unlock'} {room}: {exc}")
                else:
                    self._around.note(f"{host.label} {'locked' if locked else 'unlocked'} {room}: {done}")
                    return True
            elif not any(member.alive and member.view().room == room for member in self._members):
                return False  # nobody is in it, so there is none
            await asyncio.sleep(_RETRY_SECONDS)
        return False

    def check(self, history: History) -> None:
        """Find those who were thrown out and are still in."""
        for kick in self._kicks:
            back = any(
                back.session == kick.session and back.at > kick.at and not back.resumed for back in history.comebacks
            )
            # One that was away may come back on a new token when the ban is over; a new server knows nothing of it.
            if back or kick.generation != self._around.server.generation:
                continue
            line = f"the door: {kick.session} was kicked from {kick.room} and is still in"
            if any(view.session == kick.session and view.room == kick.room for view in history.views):
                if line not in history.wrong:
                    history.wrong.append(line)
            elif line in history.wrong:
                history.wrong.remove(line)

    def _host(self, room: str | None) -> Member | None:
        for member in self._members:
            state = member.session.rooms.state
            if member.alive and state is not None and state.room_id == room and member.session.socket.connected:
                role = getattr(state.members.get(member.user), "role", "")
                if role == "host":
                    return member
        return None
