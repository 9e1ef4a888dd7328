"""Posewire in `resume`: it comes back by itself, into its room; the application does nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar, Final

import posewire
from benchmarks.messages import Setup
from benchmarks.motion import load_motion
from benchmarks.reconnect.seen import FPS, ROOM_SIZE, Seen, room_of
from benchmarks.systems.system import Loop
from benchmarks.usage import sleep_until
from posewire.lifetime import cancel_and_wait
from posewire.server import TokenAuthority

_ATTEMPTS: Final = 1000
"""No session is to give up: how soon it is back is asked, not whether."""


class Ours:
    """Default settings but for the limits on members, and for `_ATTEMPTS`."""

    loop: ClassVar[Loop] = "uvloop"

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._config = posewire.Config(
            socket=posewire.ConnectionConfig(max_connections=10_000, reconnect_attempts=_ATTEMPTS),
            security=posewire.SecurityConfig(secret_key=setup.secret),
            server=posewire.ServerConfig(max_connections=10_000),
        )
        self._tokens = TokenAuthority(setup.secret.encode(), lifetime=3600)

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        """Run the embedded server."""
        async with posewire.serve(config=self._config) as server:
            yield server.url

    @asynccontextmanager
    async def session(self, index: int) -> AsyncIterator[Seen]:
        """Be a publisher and subscriber in a room."""
        members = min(ROOM_SIZE, self._setup.members - index // ROOM_SIZE * ROOM_SIZE)
        urls = self._setup.url.split(",")
        seen = Seen(members - 1, elsewhere=len(urls) > 1)
        user, room = f"user{index}", room_of(index)
        token = self._tokens.issue(user)
        session = posewire.connect(urls[0], token=token, room=room, config=self._config)
        session.socket.set_endpoints(urls)
        async with session:
            role = _role(session)

            def reconnected(event: posewire.Event) -> None:
                # Not said before the session has its seat again.
                seen.note("connected_ns")
                seen.resumed = bool(event.data.get("resumed"))
                # At another server it is host who joins first.
                if session.rooms.current_room() == room and (len(urls) > 1 or _role(session) == role):
                    seen.note("room_ns")

            session.on("reconnect", reconnected)
            work = [
                asyncio.create_task(_publish(session, self._setup.seed + index), name=f"benchmark.pub{index}"),
                asyncio.create_task(_read(session, seen), name=f"benchmark.sub{index}"),
            ]
            try:
                yield seen
            finally:
                for task in work:
                    await cancel_and_wait(task)


def _role(session: posewire.Session) -> str:
    state = session.rooms.state
    return state.members[session.user_id].role if state is not None and session.user_id in state.members else ""


async def _publish(session: posewire.Session, phase: int) -> None:
    motion = load_motion(phase)
    # Not all at the same moment.
    start, number = time.monotonic_ns() + int(phase * 0.618e9 % 1e9 / FPS), 0
    while True:
        await sleep_until(start + int(number * 1e9 / FPS))
        await session.send_pose(motion.frame(0, number))
        number += 1


async def _read(session: posewire.Session, seen: Seen) -> None:
    async for frame in session.frames():
        seen.heard(frame.user_id)
