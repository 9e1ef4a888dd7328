"""A process that finds landmarks, as the event loop sees it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections import deque
from typing import Any, Final, cast

from posewire import clock
from posewire.errors import PoseError, PosewireError, ProtocolError, error_from_wire
from posewire.protocol import body_v2
from posewire.sources.messages import GO, Ended, Failed, Opened, Seen, taken
from posewire.sources.source import SourceFrame

logger = logging.getLogger(__name__)

_LAST_WORDS: Final = 2000
"""Bytes of stderr that are kept, to tell what a process died of."""
_LAST_LINE: Final = 200
_STDIN, _STDOUT, _STDERR = 0, 1, 2


class TrackerProcess(asyncio.SubprocessProtocol):
    """Takes what the process finds, in the transport's own callbacks: no task, no thread.

    Args:
        most: Frames that may wait. None: one, which a newer one replaces; else the process waits when so many do.
    """

    def __init__(self, most: int | None = None) -> None:
        self.replaced = 0
        """Frames that came, and were replaced before anybody took them."""
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the process has ended and its pipes are closed."""
        self._most = most
        self._transport: asyncio.SubprocessTransport | None = None
        self._arrived = bytearray()
        self._last_words = b""
        self._waiting: deque[Seen] = deque(maxlen=1 if most is None else None)
        self._unseen = 0
        self._opened: Opened | None = None
        self._going = False
        self._ended = False
        self._failure: PosewireError | None = None
        self._changed = asyncio.Event()

    @property
    def skipped(self) -> int:
        """Frames that nobody got."""
        return self._unseen + self.replaced

    async def opened(self) -> Opened:
        """Wait until it has camera and models. Cancelling is safe.

        Raises:
            PosewireError: Why it has not.
        """
        while self._opened is None:
            await self._change()
        return self._opened

    async def frame(self) -> SourceFrame | None:
        """Wait for a frame and take it; None when there is no more. Cancelling loses nothing.

        Raises:
            PosewireError: What ended it.
        """
        if not self._going and not self.gone.done():
            self._going = True
            self._pipe(_STDIN).write(GO)
        while not self._waiting:
            if self._ended:
                return None
            await self._change()
        # No await after this line: a frame leaves only by being returned.
        seen = self._waiting.popleft()
        if self._most is not None and len(self._waiting) < self._most and not self.gone.done():
            self._pipe(_STDOUT).resume_reading()
        return SourceFrame(
            pose=body_v2.decode_pose(seen.body, timestamp=0.0),
            timestamp=seen.captured + clock.now() - clock.monotonic(),
            tracking=seen.tracking,
        )

    async def kill(self, *, timeout: float) -> None:
        """End it, in the middle of whatever it does, and wait until it is gone; cancelled, it ends all the same."""
        if self._opened is not None:
            self._ended = True
            self._waiting.clear()
        elif self._failure is None:
            self._failure = PoseError("the source was closed while it was being opened")
        self._changed.set()
        if self._transport is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._transport.kill()
        try:
            await asyncio.wait([self.gone], timeout=timeout)
        finally:
            self._transport.close()

    # Callbacks of the transport --------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep it."""
        self._transport = cast(asyncio.SubprocessTransport, transport)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Take findings in."""
        if fd == _STDERR:
            self._last_words = (self._last_words + data)[-_LAST_WORDS:]
            logger.debug("tracker: %s", data)
            return
        self._arrived += data
        try:
            for message in taken(self._arrived):
                self._take(message)
        except ProtocolError as exc:
            self._failure = exc
        self._changed.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell those who wait that nothing more will come."""
        if not self._ended and self._failure is None:
            self._failure = PoseError(f"the tracker's process {self._cause()}")
        self._changed.set()
        if not self.gone.done():
            self.gone.set_result(None)

    # Inside ----------------------------------------------------------------------------------------------------------

    def _take(self, message: Opened | Seen | Ended | Failed) -> None:
        match message:
            case Opened():
                self._opened = message
            case Seen():
                self._unseen = message.skipped
                self.replaced += len(self._waiting) == self._waiting.maxlen
                self._waiting.append(message)
                if self._most is not None and len(self._waiting) >= self._most:
                    self._pipe(_STDOUT).pause_reading()
            case Ended():
                self._unseen = message.skipped
                self._ended = True
            case Failed():
                self._failure = error_from_wire(message.error)

    async def _change(self) -> None:
        if self._failure is not None:
            raise self._failure
        self._changed.clear()
        await self._changed.wait()

    def _pipe(self, fd: int) -> Any:
        assert self._transport is not None
        return self._transport.get_pipe_transport(fd)

    def _cause(self) -> str:
        assert self._transport is not None
        code = self._transport.get_returncode() or 0
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        lines = self._last_words.decode(errors="replace").strip().splitlines()
        return f"{how}: {lines[-1][:_LAST_LINE]}" if lines else how
