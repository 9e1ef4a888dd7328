"""What a system under pressure has to offer."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from benchmarks.pressure.inbox import Diary, Inbox
from benchmarks.pressure.messages import Setup
from posewire.protocol import PoseData

HOST = "0.0.0.0"
"""Servers listen everywhere: the far side comes in by the link."""


class Outlet(Protocol):
    """What a publisher sends with. Each call returns what became of it, in a word."""

    async def pose(self, stream: str, pose: PoseData) -> str:
        """Send a pose."""
        ...

    async def audio(self, data: bytes) -> str:
        """Send a chunk of sound."""
        ...

    async def event(self, number: int) -> str:
        """Send a reliable event and wait until it is there."""
        ...

    def status(self) -> dict[str, Any]:
        """Return what the sender says of itself."""
        ...


class Peer(Protocol):
    """One way to carry poses and sound; each method runs in a process of its own."""

    def __init__(self, setup: Setup) -> None: ...

    def serve(self) -> AbstractAsyncContextManager[int]:
        """Serve; yields the port."""
        ...

    def publish(self, diary: Diary) -> AbstractAsyncContextManager[Outlet]:
        """Connect a publisher."""
        ...

    def subscribe(self, inbox: Inbox) -> AbstractAsyncContextManager[None]:
        """Connect a subscriber; yields when what is sent from now on will come."""
        ...
