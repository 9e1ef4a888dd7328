"""Events on their way to the server: each is taken once and in order, over any number of connections."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Any

from posewire.errors import ConnectionError, PosewireError
from posewire.protocol import control, unpack_header
from posewire.sockets.lane import Lane, Reply

logger = logging.getLogger(__name__)


class _Event:
    """An event that the server has not confirmed."""

    __slots__ = ("done", "epoch", "packet", "seq")

    def __init__(self, packet: bytes, epoch: int, done: Reply) -> None:
        self.packet = packet
        self.seq = unpack_header(packet).seq
        self.epoch = epoch
        self.done = done


class EventOutbox:
    """Keeps every event until the server has confirmed it, and sends it again on the connection that follows.

    Args:
        usable: Returns the open lane, or raises.
    """

    def __init__(self, usable: Callable[[], Lane]) -> None:
        self._usable = usable
        self._events: deque[_Event] = deque()
        """In the order of their numbers."""
        self.sending = asyncio.Lock()
        """The server takes what has an older number than the last one for something it has."""

    def __len__(self) -> int:
        return len(self._events)

    async def submit(self, write: Callable[[], bytes], epoch: Callable[[], int]) -> tuple[Reply, int]:
        """Send an event; does not wait for the server. Cancelling is safe: it goes out whole or not at all.

        Args:
            write: Makes its packet, which has the next number of its stream.
            epoch: Returns what stands for our stay in the room that the packet is for.

        Returns:
            A future that gets the server's answer, however many connections that takes, and the bytes it has.

        Raises:
            ConnectionError: Not connected; nothing was numbered.
            PosewireError: What ``write`` raises.
        """
        async with self.sending:
            self._usable()
            packet = write()
            done: Reply = asyncio.get_running_loop().create_future()
            # An answer nobody waits for any more must not be reported as an unhandled error.
            done.add_done_callback(lambda done: done.cancelled() or done.exception())
            event = _Event(packet, epoch(), done)
            self._events.append(event)
            await self._send(event)
        return done, len(packet)

    async def resumed(self, next_event: int, epoch: int) -> None:
        """Go on where the server is: what is before ``next_event`` it has taken, the rest it gets again."""
        async with self.sending:
            for event in list(self._events):
                if event.epoch != epoch:
                    self._fail(event, ConnectionError("the room was left before the server confirmed the event"))
                elif event.seq < next_event:
                    self._settle(event, 0)
                else:
                    await self._send(event)

    def fail(self, error: PosewireError) -> None:
        """Give up all that is not confirmed."""
        for event in list(self._events):
            self._fail(event, error)

    async def _send(self, event: _Event) -> None:
        try:
            reply = await self._usable().submit(control.FRAME, event.packet)
        except ConnectionError as exc:
            logger.debug("event %d waits for the next connection: %s", event.seq, exc)
            return
        reply.add_done_callback(lambda reply: self._answered(event, reply))

    def _answered(self, event: _Event, reply: Reply) -> None:
        if reply.cancelled() or isinstance(reply.exception(), ConnectionError):
            return  # the next connection will tell
        if (error := reply.exception()) is not None:
            self._fail(event, error)
        else:
            self._settle(event, reply.result())

    def _settle(self, event: _Event, result: Any) -> None:
        self._forget(event)
        if not event.done.done():
            event.done.set_result(result)

    def _fail(self, event: _Event, error: BaseException) -> None:
        self._forget(event)
        if not event.done.done():
            event.done.set_exception(error)

    def _forget(self, event: _Event) -> None:
        if event in self._events:
            self._events.remove(event)
