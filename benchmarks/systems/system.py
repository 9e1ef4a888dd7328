"""What a system under test has to offer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import ClassVar, Literal, Protocol

from benchmarks.messages import Setup
from posewire.protocol.pose_data import Landmarks

ROOM = "room"

Loop = Literal["asyncio", "uvloop"]

Send = Callable[[Landmarks], Awaitable[object]]
"""Sends one pose, float32 ``[33, 4]``; awaited until the system takes the next one."""

Deliver = Callable[[Landmarks], None]
"""Called with each pose as soon as it is decoded, from any thread; it notes the time, first thing."""


class System(Protocol):
    """One way to carry poses from a publisher to subscribers. A new peer is a class like this in a file of its own.

    Each of the three is a coroutine with a ``yield`` (`contextlib.asynccontextmanager`), run in its own process:
    set up, yield when it works, clean up. All start from the same array and end with the decoded array, so every
    system does the same for its user.

    Args of its constructor:
        setup: Secret and number of members.
    """

    loop: ClassVar[Loop]
    """The event loop of all its processes: the one its documentation has, or the one its command line takes."""

    def __init__(self, setup: Setup) -> None: ...

    def serve(self) -> AbstractAsyncContextManager[str]:
        """Serve on a free port of loopback; yields the URL for the two others."""
        ...

    def publish(self, url: str) -> AbstractAsyncContextManager[Send]:
        """Connect; yields the function that sends."""
        ...

    def subscribe(self, url: str, index: int, deliver: Deliver) -> AbstractAsyncContextManager[None]:
        """Connect subscriber ``index``; yields when every frame sent from now on will come."""
        ...


Pack = Callable[[bytes, float], bytes]
"""Makes a packet around a body of any bytes, to be sent at a time of ``time.time()``; not timed."""

Write = Callable[[bytes], Awaitable[object]]
"""Hands a finished packet to the real client; awaited until it takes the next one."""


class Relay(System, Protocol):
    """A system whose server passes on packets it does not open: `capacity` sends it finished ones."""

    def flood(self, url: str) -> AbstractAsyncContextManager[tuple[Pack, Write]]:
        """Connect with the real client; yields how packets are made and how they are written."""
        ...
