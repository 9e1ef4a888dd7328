"""How long after its capture a moment is shown: as long as the jitter needs. Pure: time is an argument."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Hashable
from typing import Final

QUANTILE: Final = 0.99
"""Share of the frames that come in time. NetEq takes 0.95 (`delay_manager.h`); a pose costs nothing to wait for, a
missing piece of sound is heard."""
_WINDOW_FRAMES: Final = 512
_WINDOW_SECONDS: Final = 15.0
_MARGIN: Final = 0.002
"""Seconds: the grain of the event loop's timers."""
_FIRST: Final = 30
"""Frames until the jitter seen is believed to be all there is."""
_START: Final = 0.04
"""Seconds of jitter that are expected until then."""
_SLOWER: Final = 0.5
"""Seconds a second that the delay grows: time runs at half its speed meanwhile."""
_FASTER: Final = 0.05
"""Seconds a second that it shrinks."""
_JUMP: Final = 0.5
"""Seconds of a change that is made at once."""
_LATE_FRAMES: Final = 10
_LATE_SECONDS: Final = 0.3
"""All frames late, so many and so long: what was measured before says nothing any more."""
_IDLE_SECONDS: Final = 5.0
_MAX_STREAMS: Final = 64


class _Transits:
    """Arrival less capture of the recent frames of one stream: in order of coming, and in order of size."""

    def __init__(self) -> None:
        self._times: deque[tuple[float, float]] = deque()
        self.ordered: list[float] = []
        self.lead = 0.0
        self.seen = -math.inf

    def add(self, now: float, transit: float) -> None:
        self.seen = now
        self._times.append((now, transit))
        insort(self.ordered, transit)
        while len(self._times) > _WINDOW_FRAMES or self._times[0][0] < now - _WINDOW_SECONDS:
            del self.ordered[bisect_left(self.ordered, self._times.popleft()[1])]

    def needed(self) -> float:
        """Return the transit that nearly all frames keep within, with what must have come besides."""
        count = len(self.ordered)
        transit = self.ordered[int(QUANTILE * (count - 1) + 0.5)]
        if count < _FIRST:
            transit = max(transit, self.ordered[0] + _START)
        return transit + self.lead


class PlayoutDelay:
    """The time line of one sender: what was captured at ``t`` is shown at ``t + offset``, on the receiver's clock.

    The offset is the least transit (arrival less capture) of the last seconds, which holds the network's delay and any
    error of the clocks, and the delay on top of it. A fixed delay is that. An adaptive one is a quantile of the
    transits over the least, as NetEq's `DelayManager` and `RelativeArrivalDelayTracker` have it (WebRTC,
    modules/audio_coding/neteq), of a plain window instead of a histogram that forgets. The windowed least is that of
    D. Fober, Y. Orlarey, S. Letz, "Real Time Clock Skew Estimation over Network Delays" (2005), as in GStreamer's
    rtpjitterbuffer.

    It is never stepped for small changes: time runs slower or a little faster until the offset is right. All streams
    that share a time line are shown together; the one that needs most decides.

    Args:
        delay: Seconds; None follows the jitter.
        delay_max: Most seconds that an adaptive delay grows to.
    """

    def __init__(self, *, delay: float | None = None, delay_max: float = 0.5) -> None:
        self.epoch = 0
        """Counts how often it began anew: what was scheduled before has no time any more."""
        self._fixed = delay
        self._max = delay_max
        self._streams: dict[Hashable, _Transits] = {}
        # The offset went from `_from` at `_since` towards `_target`, and is there or on its way.
        self._from = self._target = 0.0
        self._since = 0.0
        self._late = 0
        self._late_since = 0.0

    @property
    def known(self) -> bool:
        """Whether there was a frame."""
        return bool(self._streams)

    @property
    def delay(self) -> float:
        """Seconds that are added to the least transit, once the offset has got there."""
        return self._target - self._least() if self._streams else 0.0

    def observe(self, stream: Hashable, *, now: float, transit: float, lead: float = 0.0) -> None:
        """Take note of a frame.

        Args:
            stream: Whose it is.
            now: When it came, seconds.
            transit: Seconds from its capture until then.
            lead: Seconds of later frames that must be here when a moment of this stream is shown.
        """
        if not self._streams or transit < self._least() - _JUMP or self._all_late(now, transit):
            # The first frame, a clock that was set, or a way that is longer for good.
            self._streams.clear()
            self.epoch += 1
        transits = self._streams.get(stream)
        if transits is None:
            if len(self._streams) >= _MAX_STREAMS:
                del self._streams[min(self._streams, key=lambda each: self._streams[each].seen)]
            transits = self._streams[stream] = _Transits()
        first = len(self._streams) == 1 and not transits.ordered
        transits.lead = lead
        transits.add(now, transit)
        self._aim(now, at_once=first)

    def offset(self, now: float) -> float:
        """Return how many seconds after its capture a moment is shown that is shown at ``now``."""
        elapsed = max(0.0, now - self._since)
        if self._target >= self._from:
            return min(self._target, self._from + _SLOWER * elapsed)
        return max(self._target, self._from - _FASTER * elapsed)

    def due(self, timestamp: float) -> float:
        """Return when the moment ``timestamp`` is shown, as things are: the time at which ``time - offset`` is it."""
        if (at := timestamp + self._from) <= self._since:
            return at
        change = self._target - self._from
        slope = _SLOWER if change > 0 else -_FASTER
        at = self._since + (at - self._since) / (1 - slope)
        return at if at < self._since + change / slope else timestamp + self._target

    def _least(self) -> float:
        return min(transits.ordered[0] for transits in self._streams.values())

    def _all_late(self, now: float, transit: float) -> bool:
        if transit <= self.offset(now):
            self._late = 0
            return False
        if self._late == 0:
            self._late_since = now
        self._late += 1
        if self._late < _LATE_FRAMES or now - self._late_since < _LATE_SECONDS:
            return False
        self._late = 0
        return True

    def _aim(self, now: float, *, at_once: bool) -> None:
        for stream in [each for each, transits in self._streams.items() if transits.seen < now - _IDLE_SECONDS]:
            del self._streams[stream]
        least = self._least()
        if self._fixed is not None:
            target = least + self._fixed
        else:
            target = min(least + self._max, _MARGIN + max(each.needed() for each in self._streams.values()))
        current = self.offset(now)
        self._from = target if at_once or abs(target - current) > _JUMP else current
        self._since, self._target = now, target
