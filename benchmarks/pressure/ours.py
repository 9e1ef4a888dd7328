"""Posewire under pressure, as its users use it, all features on."""

from __future__ import annotations

import asyncio
import urllib.parse
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

import msgspec

import posewire
from benchmarks.pressure.inbox import Diary, Inbox
from benchmarks.pressure.messages import Setup
from benchmarks.pressure.peer import HOST, Outlet
from posewire.errors import PosewireError
from posewire.protocol import PoseData
from posewire.server import TokenAuthority

_ROOM: Final = "room"
_EVENT: Final = "note"
_TOLD: Final = ("connect", "disconnect", "reconnect", "bye", "quality")
"""Events of a session's own that the report shows."""


class Posewire:
    """Default settings, body v3, sealed with a room key, monitor running."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._config = posewire.Config(
            security=posewire.SecurityConfig(secret_key=setup.secret),
            server=posewire.ServerConfig(host=HOST, port=0),
        )
        self._tokens = TokenAuthority(setup.secret.encode(), lifetime=3600)

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[int]:
        """Run the embedded server."""
        async with posewire.serve(host=HOST, port=0, config=self._config) as server:
            port = urllib.parse.urlsplit(server.url).port
            assert port is not None
            yield port

    @asynccontextmanager
    async def publish(self, diary: Diary) -> AsyncIterator[Outlet]:
        """Enter the room, sound by a second session when asked."""
        async with AsyncExitStack() as stack:
            session = await stack.enter_async_context(self._session("publisher"))
            sound = session
            if self._setup.audio_apart:
                sound = await stack.enter_async_context(self._session("publisher-audio"))
            _tell(session, lambda what: diary.note("publisher", what))
            yield _Outlet(session, sound)

    @asynccontextmanager
    async def subscribe(self, inbox: Inbox) -> AsyncIterator[None]:
        """Enter the room and read poses, sound and events, each in a loop of its own."""
        async with self._session(inbox.user) as session, AsyncExitStack() as stack:
            _tell(session, inbox.tell)
            session.on(_EVENT, lambda event: inbox.event(event.data["number"]))
            # Made before the tasks run: they collect from now on.
            loops = [_read_poses(session.frames("pose"), inbox), _read_sound(session.frames("audio"), inbox)]
            for index, loop in enumerate(loops):
                task = asyncio.create_task(loop, name=f"pressure.{inbox.user}.{index}")
                stack.push_async_callback(_ended, task)
            yield
            await session.aclose()

    def _session(self, user: str) -> posewire.Session:
        token = self._tokens.issue(user, room_id=_ROOM)
        key = self._setup.secret.encode()[:32]
        return posewire.connect(self._setup.url, token=token, room=_ROOM, room_key=key, config=self._config)


class _Outlet:
    def __init__(self, session: posewire.Session, sound: posewire.Session) -> None:
        self._session = session
        self._sound = sound

    async def pose(self, stream: str, pose: PoseData) -> str:
        return (await self._session.send_pose(pose, stream)).value

    async def audio(self, data: bytes) -> str:
        return (await self._sound.send_audio(data)).value

    async def event(self, number: int) -> str:
        await self._session.send_event(_EVENT, {"number": number})
        return "acknowledged"

    def status(self) -> dict[str, Any]:
        sender: Any = self._session.sender
        # The fields are the sender's affair: what is there is shown.
        status = getattr(sender, "status", None)
        found: dict[str, Any] = {"drops": dict(sender.drops)}
        if status is not None:
            found |= msgspec.to_builtins(status() if callable(status) else status)
        return found


async def _read_poses(frames: posewire.Subscription, inbox: Inbox) -> None:
    try:
        async for frame in frames:
            if frame.pose is not None:
                inbox.pose(frame.stream, frame.pose)
    except PosewireError as exc:
        inbox.tell(f"session ended: {type(exc).__name__}: {exc}")
    if frames.dropped:
        inbox.tell(f"{frames.dropped} frames waited too long for the loop")


async def _read_sound(frames: posewire.Subscription, inbox: Inbox) -> None:
    try:
        async for frame in frames:
            if frame.audio is not None:
                inbox.audio(frame.audio.samples.tobytes())
    except PosewireError:
        return  # the loop of poses tells it


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


def _tell(session: posewire.Session, tell: Callable[[str], None]) -> None:
    for name in _TOLD:
        session.on(name, lambda event: tell(f"{event.name}: {event.data}"))
