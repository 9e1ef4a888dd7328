"""One loop's view of what arrives, each frame at its moment."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Final, Literal

import msgspec

from posewire import clock
from posewire.config import ReceiverConfig
from posewire.errors import InvalidDataError
from posewire.receiver.alignment import Alignment
from posewire.receiver.clock_skew import ClockSkew
from posewire.receiver.frame import Frame, FrameKind
from posewire.receiver.playout_buffer import EARLY, PlayoutBuffer, Release, Timeline
from posewire.receiver.playout_delay import PlayoutDelay
from posewire.receiver.pose_resampler import PoseResampler
from posewire.receiver.pose_smoother import PoseSmoother
from posewire.receiver.received import Received
from posewire.receiver.subscription import Subscription
from posewire.values import is_number, plain, shown

MAX_DELAY: Final = 10.0
"""Seconds."""
_FORGET_SECONDS: Final = 10.0
"""Seconds without a frame after which a stream is forgotten."""
_MAX_STREAMS: Final = 256
"""Streams that are held at once; then the one heard longest ago is forgotten."""
_LEAST_WAIT: Final = 0.0005
"""Seconds: a timer that is a trifle early is not set again and again."""


class Playout(msgspec.Struct, frozen=True, kw_only=True):
    """How frames are released; see `Session.frames`. ``latest`` has no delay, and no buffer of this kind."""

    mode: Literal["smooth", "timecode"]
    delay: float | None = None
    """Seconds; None follows the jitter."""
    delay_max: float = 0.5
    """Seconds."""
    fps: float | None = None

    @classmethod
    def chosen(
        cls, config: ReceiverConfig, kind: str, mode: str | None, delay: float | None, fps: float | None
    ) -> Playout | None:
        """Return what the arguments of `Session.frames` say, else the settings; None for ``latest``.

        Raises:
            InvalidDataError: A value that cannot be, or that the mode has no use for.
        """
        mode, delay, fps = config.playout if mode is None else mode, plain(delay), plain(fps)
        if not isinstance(mode, str) or mode not in ("latest", "smooth", "timecode"):
            raise InvalidDataError(f"playout {shown(mode)}: expected 'latest', 'smooth' or 'timecode'")
        if fps is not None and (kind != "pose" or mode != "smooth"):
            raise InvalidDataError(f"fps {shown(fps)}: expected None unless poses are released by playout 'smooth'")
        if fps is not None and not (is_number(fps) and 1 <= fps <= 1000):
            raise InvalidDataError(f"fps {shown(fps)}: expected 1 to 1000 releases a second")
        if delay is not None and mode == "latest":
            raise InvalidDataError(f"delay {shown(delay)}: expected None with playout 'latest', which has none")
        if delay is not None and not (is_number(delay) and 0 < delay <= MAX_DELAY):
            raise InvalidDataError(f"delay {shown(delay)}: expected seconds, more than 0 and at most {MAX_DELAY:g}")
        if mode == "latest":
            return None
        return cls(
            mode="smooth" if mode == "smooth" else "timecode",
            delay=(config.playout_delay / 1000 or None) if delay is None else delay,
            delay_max=config.playout_delay_max / 1000,
            fps=fps,
        )

    def new_delay(self) -> PlayoutDelay:
        """Return a time line that nothing is known of yet."""
        return PlayoutDelay(delay=self.delay, delay_max=self.delay_max)


class PlayoutSubscription(Subscription):
    """A `Subscription` that releases each frame at its moment instead of as it comes.

    Nothing runs while nobody waits for a frame; what waits is bounded by ``size`` for each stream. After the session
    has ended what is here is still released at its time, within the delay.

    Args:
        kind: Only frames of this kind.
        user_id: Only of this member; None of all.
        stream: Only of this stream; None of all.
        size: Frames of one stream that may wait.
        playout: How they are released.
        timeline: Returns what the streams of a member share.
        aligned: Told when a stream cannot be held on its time line any more, or again.
        ended: Called when it has ended.
        smoother: Smooths the poses; None leaves them as they are.
        now: Seconds on the scale of ``time.time()``.
    """

    def __init__(
        self,
        kind: FrameKind,
        user_id: str | None,
        stream: str | None,
        *,
        size: int,
        playout: Playout,
        timeline: Callable[[str], Timeline] | None = None,
        aligned: Callable[[Received, Alignment], None] | None = None,
        ended: Callable[[], None] = lambda: None,
        smoother: PoseSmoother | None = None,
        now: Callable[[], float] = clock.now,
    ) -> None:
        super().__init__(kind, user_id, stream, size=size, ended=ended, smoother=smoother)
        self._size = size
        self._playout = playout
        self._timeline = timeline
        self._aligned = aligned
        self._now = now
        self._buffers: dict[tuple[str, str], PlayoutBuffer] = {}
        self._tidied = -math.inf
        self._alarm = math.inf
        """The time that the waiting readers wait for."""

    @property
    def delay(self) -> float:
        """Seconds that the streams are shown later than the network would allow; of several, the most."""
        return max((buffer.delay for buffer in self._buffers.values()), default=0.0)

    def put(self, received: Received) -> None:
        """Take a frame in; when too many of its stream wait, the oldest goes. Never waits."""
        now = self._now()
        self._tidy(now)
        key = (received.user_id, received.stream)
        buffer = self._buffers.get(key)
        if buffer is None:
            if len(self._buffers) >= _MAX_STREAMS:
                del self._buffers[min(self._buffers, key=lambda each: self._buffers[each].heard)]
            buffer = self._buffers[key] = self._new_buffer(received)
        buffer.put(received, now)
        due = buffer.next_time()
        if due is not None and due < self._alarm:
            self._alarm = due
            self._wake()

    async def __anext__(self) -> Frame:
        while True:
            now = self._now()
            self._tidy(now)
            due, key = min(
                ((due, key) for key, buffer in self._buffers.items() if (due := buffer.next_time()) is not None),
                key=lambda each: each[0],
                default=(math.inf, None),
            )
            if key is None:
                if self._ended:
                    self._stop()
            elif due <= now + EARLY:
                # No await after this line: a frame leaves its buffer only by being returned.
                if (release := self._buffers[key].take(now)) is not None:
                    got = release.received
                    got.stats.render_lag = max(got.stats.render_lag, now - max(due, got.arrived))
                    return self._frame(release, now)
                if self._ended:
                    del self._buffers[key]  # nothing more will come to be shown
                continue
            self._alarm = due
            await self._wait(max(_LEAST_WAIT, min(due - now, _FORGET_SECONDS)) if self._buffers else None)

    async def aclose(self) -> None:
        """Stop collecting. Does not wait."""
        self._buffers.clear()
        await super().aclose()

    async def _wait(self, seconds: float | None) -> None:
        """Wait until something that is due sooner came, or for ``seconds``; it may be less."""
        loop = asyncio.get_running_loop()
        reader = loop.create_future()
        self._readers.append(reader)
        alarm = None if seconds is None else loop.call_later(seconds, _ring, reader)
        try:
            await reader
        finally:
            if alarm is not None:
                alarm.cancel()
            if reader in self._readers:  # cancelled, or the time is over
                self._readers.remove(reader)

    def _frame(self, release: Release, now: float) -> Frame:
        got = release.received
        return Frame(
            user_id=got.user_id,
            kind=got.kind,
            stream=got.stream,
            seq=got.seq,
            timestamp=release.timestamp,
            age=now - release.timestamp,
            size=got.size,
            pose=self._smoothed(got, release.pose, release.timestamp),
            audio=got.audio,
            interpolated=release.interpolated,
        )

    def _new_buffer(self, received: Received) -> PlayoutBuffer:
        timeline = Timeline(self._playout.new_delay()) if self._timeline is None else self._timeline(received.user_id)
        if self.kind == "pose" and self._playout.mode == "smooth":
            return PoseResampler(timeline, self._counts, size=self._size, fps=self._playout.fps)
        return PlayoutBuffer(timeline, self._counts, size=self._size, aligned=self._aligned)

    def _tidy(self, now: float) -> None:
        """Forget the streams that fell silent, once a second."""
        if now - self._tidied < 1.0:
            return
        self._tidied = now
        for key in [key for key, buffer in self._buffers.items() if now - buffer.heard > _FORGET_SECONDS]:
            del self._buffers[key]


def _ring(reader: asyncio.Future[None]) -> None:
    if not reader.done():
        reader.set_result(None)


def new_timeline(playout: Playout) -> Timeline:
    """Return the time line of a member whose sound and poses are shown together."""
    return Timeline(playout.new_delay(), ClockSkew())
