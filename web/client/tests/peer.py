"""A server and members of it in Python, for the tests of the TypeScript client: commands in, JSON lines out."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import numpy as np

import posewire
from posewire.sources import Playback, SyntheticMotion

CONFIG = posewire.Config(
    security=posewire.SecurityConfig(secret_key="for tests only, " + "0123456789abcdef" * 3),
    server=posewire.ServerConfig(drain_timeout=1000),
)


def say(**fields: Any) -> None:
    """Write a line."""
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


def digest(pose: posewire.PoseData) -> dict[str, Any]:
    """Return the landmarks as hexadecimal of their floats."""
    parts = {"pose": pose.pose_landmarks, "face": pose.face_landmarks, "hands": pose.hand_landmarks}
    return {name: None if part is None else part.astype("<f4").tobytes().hex() for name, part in parts.items()}


class Peer:
    """What the commands do."""

    def __init__(self) -> None:
        self.server: posewire.Server | None = None
        self.tasks: set[asyncio.Task[None]] = set()

    async def serve(self, port: int = 0) -> None:
        """Start the server; again on the same port after a ``stop``."""
        self.server = posewire.serve(port=port, config=CONFIG)
        await self.server.__aenter__()
        await self.server.add_user("carol", "a long password")
        say(url=self.server.url, port=self.server.port)

    async def stop(self) -> None:
        """Stop the server."""
        assert self.server is not None
        await self.server.aclose()
        say(stopped=True)

    async def token(self, name: str, **grants: Any) -> None:
        """Make a token."""
        assert self.server is not None
        say(token=self.server.issue_token(name, **grants))

    async def member(self, name: str, room: str, key: str | None = None, version: int = 3, audio: bool = False) -> None:
        """Join a room: send, and say what comes."""
        task = asyncio.create_task(self._member(name, room, key, version, audio), name=f"member {name}")
        self.tasks.add(task)

    async def kick(self, name: str) -> None:
        """Make every token of a member void."""
        assert self.server is not None
        await self.server.revoke(name, reason="enough")

    async def _member(self, name: str, room: str, key: str | None, version: int, audio: bool) -> None:
        assert self.server is not None
        config = posewire.Config(sender=posewire.SenderConfig(protocol_version="v3" if version == 3 else "v2"))
        token = self.server.issue_token(name)
        async with posewire.connect(self.server.url, token=token, room=room, room_key=key, config=config) as session:
            session.on("gesture", lambda event: say(event=event.name, data=event.data, user=event.user_id))
            listening = asyncio.create_task(self._listen(session), name="listening")
            index = 0
            sound = posewire.AudioChunk(np.full((480, 1), 1000, dtype=np.int16), 48_000)
            try:
                async for frame in Playback(SyntheticMotion(30)):
                    await session.send_pose(frame.pose)
                    if audio:
                        await session.send_audio(sound)
                    if index % 30 == 0:
                        await session.send_event("tick", {"index": index, "raw": b"\x01\x02"})
                    index += 1
            finally:
                listening.cancel()

    async def _listen(self, session: posewire.Session) -> None:
        async for frame in session.frames():
            assert frame.pose is not None
            say(frame=frame.seq, user=frame.user_id, age=frame.age, **digest(frame.pose))


async def main() -> None:
    """Do what the lines of the input say; until it ends."""
    peer = Peer()
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        command = json.loads(line)
        await getattr(peer, command.pop("do"))(**command)
    for task in peer.tasks:
        task.cancel()
    if peer.server is not None:
        await peer.server.aclose()


asyncio.run(main())
