"""Posewire, as its users use it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar, Final

import posewire
from benchmarks.messages import Setup
from benchmarks.motion import load_motion
from benchmarks.systems.system import ROOM, Deliver, Loop, Pack, Send, Write
from posewire.config.sections import ProtocolVersion
from posewire.protocol import Delivery, FrameType, Kind, PoseProtocol, to_pose_data
from posewire.server import TokenAuthority

_MORE_THAN_ENOUGH: Final = 1000
_FPS: Final = 30
_SHAPES: Final = 240
_UNLIMITED: Final = posewire.AdmissionConfig(
    member_frames=1e9, member_bytes=1e12, member_requests=1e9, member_connects=1e9, address_connections=10_000
)
"""The floods of the benchmarks are what these limits are there to stop."""


class Posewire:
    """`posewire.serve`, `posewire.connect`, `Session.send_pose` and ``async for frame in session.frames()``.

    All features on: body v3, every packet sealed with a room key, the monitor running, and uvloop in all processes, as
    the command line has it. Everything is at its default but what limits the number of members and
    what one may send.
    """

    loop: ClassVar[Loop] = "uvloop"
    sender: ClassVar = posewire.SenderConfig()

    def __init__(self, setup: Setup) -> None:
        self._config = posewire.Config(
            socket=posewire.ConnectionConfig(max_connections=max(_MORE_THAN_ENOUGH, setup.members)),
            security=posewire.SecurityConfig(secret_key=setup.secret),
            sender=self.sender,
            room=posewire.RoomConfig(max_clients=max(_MORE_THAN_ENOUGH, setup.members)),
            server=posewire.ServerConfig(max_connections=max(_MORE_THAN_ENOUGH, setup.members)),
            admission=_UNLIMITED,
        )
        self._seed = setup.seed
        self._tokens = TokenAuthority(setup.secret.encode(), lifetime=3600)
        self._room_key = hashlib.sha256(setup.secret.encode()).digest()

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        """Run the embedded server."""
        async with self.open_server() as server:
            yield server.url

    @asynccontextmanager
    async def publish(self, url: str) -> AsyncIterator[Send]:
        """Enter the room; poses go through `Session.send_pose`."""
        async with self.session(url, "publisher") as session:
            yield session.send_pose

    @asynccontextmanager
    async def subscribe(self, url: str, index: int, deliver: Deliver) -> AsyncIterator[None]:
        """Enter the room and read its frames in a loop."""
        async with self.session(url, f"sub{index}") as session:
            # Made before the task runs: it collects from now on.
            frames = session.frames()

            async def read() -> None:
                async for frame in frames:
                    if frame.pose is not None and frame.pose.pose_landmarks is not None:
                        deliver(frame.pose.pose_landmarks)

            reading = asyncio.create_task(read(), name=f"benchmark.sub{index}")
            yield
        await reading  # the end of the session ended the loop

    @asynccontextmanager
    async def flood(self, url: str) -> AsyncIterator[tuple[Pack, Write]]:
        """Enter the room with a session's own connection and write packets past its pipeline.

        A packet has the header and the length of a real one, key, anchor and leaf in their turn, but the body it is
        given, unsealed: the server can open neither.
        """
        async with self.session(url, "publisher", sealed=False) as session:
            stream = await session.rooms.open_stream("pose", "flood")
            writer = session.socket.writer
            shapes = _Shapes(self.sender.protocol_version, self._seed)

            def pack(body: bytes, at: float) -> bytes:
                frame_type, ref, length = shapes.next(writer.next_seq(stream))
                return writer.write(
                    Kind.POSE,
                    Delivery.LATEST,
                    stream,
                    version=shapes.body_version,
                    captured_us=session.socket.captured_us(at),
                    body=body.ljust(length, b"\0"),
                    frame_type=frame_type,
                    ref=ref,
                )

            async def write(packet: bytes) -> None:
                if (lane := session.socket.lane) is not None:
                    lane.write(packet)

            yield pack, write

    def open_server(self) -> posewire.Server:
        """Return the server, not started yet."""
        return posewire.serve(config=self._config)

    def session(self, url: str, user: str, *, sealed: bool = True) -> posewire.Session:
        """Return a session of ``user`` in the room."""
        token = self._tokens.issue(user, room_id=ROOM)
        key = self._room_key if sealed else None
        return posewire.connect(url, token=token, room=ROOM, room_key=key, config=self._config)


class PosewireAsyncio(Posewire):
    """The same on asyncio's own event loop."""

    loop: ClassVar[Loop] = "asyncio"


class PosewireV2(Posewire):
    """The same with exact float32 in every packet, as many bytes as the other systems send."""

    sender: ClassVar = posewire.SenderConfig(protocol_version="v2")


class _Shapes:
    """What the packets of a pose stream look like, over and over: types, references and lengths of some seconds."""

    def __init__(self, version: ProtocolVersion, seed: int) -> None:
        protocol, motion = PoseProtocol(version=version), load_motion(seed)
        self.body_version = protocol.body_version
        self._coded = [
            protocol.encode_pose(to_pose_data(motion.frame(0, number)), now=number / _FPS, stream=1, seq=number)
            for number in range(_SHAPES)
        ]

    def next(self, seq: int) -> tuple[FrameType, int, int]:
        """Return frame type, number of the frame it refers to, and length of the body."""
        number = seq % _SHAPES
        coded = self._coded[number]
        back = 0 if coded.frame_type is FrameType.KEY else number - coded.ref
        return coded.frame_type, max(0, seq - back), len(coded.body)
