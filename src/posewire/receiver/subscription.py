"""One loop's view of what arrives."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import NoReturn, Self

from posewire import clock
from posewire.protocol import PoseData
from posewire.receiver.frame import Frame, FrameKind
from posewire.receiver.pose_smoother import PoseSmoother
from posewire.receiver.received import Counts, Received


class Subscription:
    """An async iterator of frames that never lags: a loop that falls behind loses the oldest, counted in `dropped`.

    It collects from the moment it is made. Cancelling a wait loses nothing. It ends when the session is closed, and
    raises what ended the session when that was a failure.

    Args:
        kind: Only frames of this kind.
        user_id: Only of this member; None of all.
        stream: Only of this stream; None of all.
        size: Frames that may wait.
        ended: Called when it has ended.
        smoother: Smooths the poses; None leaves them as they are.
    """

    def __init__(
        self,
        kind: FrameKind,
        user_id: str | None,
        stream: str | None,
        *,
        size: int,
        ended: Callable[[], None] = lambda: None,
        smoother: PoseSmoother | None = None,
    ) -> None:
        self.kind = kind
        self._user_id = user_id
        self._stream = stream
        self._waiting: deque[Received] = deque(maxlen=size)
        self._readers: list[asyncio.Future[None]] = []
        """Of those who wait for a frame; nearly always one."""
        self._ended = False
        self._on_end = ended
        self._smoother = smoother
        self._failure: Callable[[], BaseException] | None = None
        self._counts = Counts()

    @property
    def dropped(self) -> int:
        """Frames that waited too long for the loop."""
        return self._counts.dropped

    @property
    def late(self) -> int:
        """Frames that came after their moment and were left out; with playout ``latest`` none has one."""
        return self._counts.late

    @property
    def missing(self) -> int:
        """Moments of an even schedule that there was nothing to show at; else frames that had not come at theirs."""
        return self._counts.missing

    @property
    def delay(self) -> float:
        """Seconds that frames are shown later than the network would allow; of several streams, the most."""
        return 0.0

    def wants(self, kind: FrameKind, user_id: str, stream: str) -> bool:
        """Return whether a frame is for this loop."""
        return (
            kind == self.kind and self._user_id in (None, user_id) and self._stream in (None, stream)
        ) and not self._ended

    def put(self, received: Received) -> None:
        """Take a frame in; when full, the oldest goes. Never waits."""
        if len(self._waiting) == self._waiting.maxlen:
            self._counts.dropped += 1
        self._waiting.append(received)
        if self._readers:
            self._wake()

    def end(self, failure: Callable[[], BaseException] | None = None) -> None:
        """Deliver what waits, then stop, or raise what ``failure`` makes."""
        if not self._ended:
            self._ended = True
            self._failure = failure
            self._wake()
            self._on_end()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Frame:
        while not self._waiting:
            if self._ended:
                self._stop()
            reader = asyncio.get_running_loop().create_future()
            self._readers.append(reader)
            try:
                await reader
            finally:
                if reader in self._readers:  # cancelled
                    self._readers.remove(reader)
        # No await after this line: a frame leaves the queue only by being returned.
        got = self._waiting.popleft()
        now = clock.now()
        if now - got.arrived > got.stats.render_lag:
            got.stats.render_lag = now - got.arrived
        return Frame(
            user_id=got.user_id,
            kind=got.kind,
            stream=got.stream,
            seq=got.seq,
            timestamp=got.timestamp,
            age=now - got.timestamp,
            size=got.size,
            pose=got.pose if self._smoother is None else self._smoothed(got, got.pose, got.timestamp),
            audio=got.audio,
        )

    def _stop(self) -> NoReturn:
        if self._failure is not None:
            raise self._failure()
        raise StopAsyncIteration

    def _smoothed(self, got: Received, pose: PoseData | None, timestamp: float) -> PoseData | None:
        if self._smoother is None or pose is None:
            return pose
        return self._smoother.smooth(got.user_id, got.stream, pose, timestamp)

    def _wake(self) -> None:
        # All of them: the one that is woken may be cancelled before it has its turn.
        readers, self._readers = self._readers, []
        for reader in readers:
            if not reader.done():
                reader.set_result(None)

    async def aclose(self) -> None:
        """Stop collecting. Does not wait."""
        self._waiting.clear()
        self.end()
