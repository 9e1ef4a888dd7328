"""How much may be under way on a connection: the gate of late binding."""

from __future__ import annotations

import math
from collections import deque
from typing import Final

import msgspec

INITIAL_WINDOW: Final = 4096
"""Bytes, until the first acknowledgement."""
_LARGEST_WINDOW: Final = 1 << 20
_RECENT: Final = 8
"""Round trips that tell how it is now, at least."""
_RECENT_SECONDS: Final = 0.5
"""And all of so many seconds: on a link that jitters most packets are slow, but not all."""
_MOST_RECENT: Final = 256
_JUDGED_SECONDS: Final = 0.5
"""For so long, a round trip at least, must even the quickest packets wait before the window shrinks."""
_LONGEST_EPOCH: Final = 1.0
"""Seconds after which one that proves nothing is begun anew."""
_QUEUED: Final = 2.0
"""Times the queueing target that those wait then."""
_MUCH: Final = 4.0
"""Times the queueing target beyond that, from which on a few packets are enough."""
_FEW: Final = 3
_RATE_SECONDS: Final = 0.3
_RATE_ROUND_TRIPS: Final = 4
"""How long the best rate counts: the longer of the two, so that a link that became slow is believed."""
_FORGOTTEN: Final = 0.97
"""Of the size of the largest packet, with each packet after it."""
_CLEAR_SECONDS: Final = 0.005
_PATIENCE: Final = 0.02
"""Seconds that an acknowledgement may be late because somebody was busy."""
_LEAST_SECONDS: Final = 10.0
"""When for so long no packet was about as quick, the least round trip is measured anew on an empty link: routes change.
"""
_MEASURED_ALONE: Final = 0.2
"""Up to this round trip by a packet that nothing goes behind, for the acknowledgement would be of both."""


class _Sent(msgspec.Struct, gc=False):
    """A packet under way, and what was delivered when it left."""

    total: int
    at: float
    delivered: int
    delivered_at: float
    alone: bool
    """Whether it measures the empty link: nothing goes behind it until it is acknowledged."""
    full: bool
    """Whether no other one would have gone behind it: how long it took tells whether the window is right."""


class _Took:
    """How many packets came, and what the quickest and the slowest took."""

    def __init__(self) -> None:
        self.count = 0
        self.quickest = math.inf
        self.slowest = 0.0

    def note(self, seconds: float) -> None:
        self.count += 1
        self.quickest = min(self.quickest, seconds)
        self.slowest = max(self.slowest, seconds)

    def slower_than(self, seconds: float, much: float) -> bool:
        """Return whether all of them were, and they are enough to say so: fewer when they were ``much`` slower."""
        return self.quickest > seconds and self.count >= (_RECENT if self.quickest < seconds + much else _FEW)


class CreditWindow:
    """Keeps the bytes sent and not yet acknowledged within what the link takes without a queue to speak of.

    ``window = delivered rate x (least round trip + time the other end may hold an acknowledgement + queueing target)``
    when even the quickest packets of a while queued: then that rate is the link's. Else it is only what was sent, and
    the window may become larger but not smaller; and it grows by a packet when something had to wait for it and one
    that filled it did not queue. One packet may always go when nothing is under way. Pure: the caller says what time
    it is.

    Rate and least round trip are measured as BBR does: N. Cardwell et al., "BBR: Congestion-Based Congestion Control",
    ACM Queue 14 (2016); Y. Cheng et al., draft-cheng-iccrg-delivery-rate-estimation.

    Args:
        queueing_target: Seconds a packet may wait on the link behind others of ours.
        ack_delay: Seconds the other end may hold an acknowledgement.
    """

    def __init__(self, *, queueing_target: float = 0.03, ack_delay: float = 0.02) -> None:
        self.window = float(INITIAL_WINDOW)
        """Bytes that may be under way."""
        self.rate = 0.0
        """Bytes a second that were delivered lately, at best; 0 before the first acknowledgement."""
        self.sent_bytes = 0
        """All that was sent."""
        self.acknowledged_bytes = 0
        """All that is known to have come."""
        self._target = queueing_target
        self._ack_delay = ack_delay
        self._under_way: deque[_Sent] = deque()
        self._delivered_at = 0.0
        self._rates: deque[tuple[float, float]] = deque()
        self._recent: deque[tuple[float, float]] = deque(maxlen=_MOST_RECENT)
        self._quickest = self._slowest = 0.0
        """Of the recent ones, and of the last few."""
        self._slowest_usual = 0.0
        self._least = math.inf
        self._least_at = 0.0
        self._least_ever = math.inf
        self._measuring = False
        self._packet = 0.0
        self._most = 0
        self._begin(0.0)

    @property
    def in_flight(self) -> int:
        """Bytes sent and not yet acknowledged."""
        return self.sent_bytes - self.acknowledged_bytes

    @property
    def round_trip(self) -> float:
        """Seconds from a packet's leaving to its coming, and back, least of the last few; 0 before the first."""
        return self._quickest

    @property
    def least_round_trip(self) -> float:
        """The least round trip of the last ten seconds; 0 before the first."""
        return self._least if self._recent else 0.0

    @property
    def queueing(self) -> float:
        """Seconds that even the quickest of the last packets waited on the link."""
        return max(0.0, self.round_trip - self.least_round_trip)

    @property
    def _overdue(self) -> float:
        """Seconds after which a packet should have been acknowledged: the slowest was, when last not all queued."""
        return max(self._least + self._target, self._slowest_usual) + self._ack_delay + _PATIENCE

    @property
    def clear(self) -> bool:
        """Whether not even the slowest of the last packets took noticeably longer than any ever did.

        Then the link is faster than it has to be, for on one that is just fast enough a large packet takes longer.
        """
        return self._slowest < 1.25 * self._least_ever + _CLEAR_SECONDS if self._recent else True

    @property
    def congested(self) -> bool:
        """Whether even the quickest of the last packets took noticeably longer than the quickest ever: they queue.

        A link that loses packets is not congested for that: those that are not behind a lost one are as quick as ever.
        """
        return self.round_trip > 1.1 * self._least_ever + _CLEAR_SECONDS if self._recent else False

    def oldest(self, now: float) -> float:
        """Return for how many seconds the oldest packet under way has not been acknowledged; 0 when none is."""
        return now - self._under_way[0].at if self._under_way else 0.0

    def takes(self, size: int, now: float, *, urgent: bool = False) -> bool:
        """Return whether a packet of ``size`` bytes may go at ``now``, monotonic seconds.

        An urgent one, of sound, may go behind a packet that is larger than the window, instead of after its
        acknowledgement, and half a window further.
        """
        in_flight = self.sent_bytes - self.acknowledged_bytes
        if not in_flight:
            return True
        if self._measuring or (now - self._least_at > _LEAST_SECONDS and self._recent):
            self._measuring = True  # until the link is empty once, which shows how long it takes then
            return False
        if not urgent and self._recent and now - self._under_way[0].at > self._overdue:
            return False  # the link has just become slow, or lost something: nothing is gained by adding to it
        # Half full will do: a large packet must not wait for ever behind small ones that always fit.
        window = max(self.window, self._packet) + self.window / 2 if urgent else self.window
        if in_flight + size <= window or in_flight <= self.window / 2:
            return True
        self._limited = True
        return False

    def sent(self, size: int, now: float) -> None:
        """Count a packet that leaves at ``now``."""
        alone = False
        if self.sent_bytes == self.acknowledged_bytes:
            # Idle time says nothing about the link.
            self._delivered_at = now
            alone = self._measuring
            if alone and self._least > _MEASURED_ALONE:
                alone = self._measuring = False
                self._least = math.inf
        self._packet = max(float(size), _FORGOTTEN * self._packet)
        self.sent_bytes += size
        acknowledged = self.acknowledged_bytes
        self._most = max(self._most, self.sent_bytes - acknowledged)
        full = self.sent_bytes - acknowledged > max(self.window - self._packet, self.window / 2)
        self._under_way.append(_Sent(self.sent_bytes, now, acknowledged, self._delivered_at, alone, full))

    def acknowledged(self, total: int, now: float, held: float = 0.0) -> bool:
        """Take in an acknowledgement; False when it is of more than was sent.

        Args:
            total: Bytes that the other end has had, of all that was ever sent.
            now: When the acknowledgement came.
            held: Seconds the other end kept it back since the last of these bytes came.
        """
        if total > self.sent_bytes:
            return False
        newest = None
        while self._under_way and self._under_way[0].total <= total:
            newest = self._under_way.popleft()
        self.acknowledged_bytes = max(total, self.acknowledged_bytes)
        if newest is None:
            return True
        came = max(now - max(held, 0.0), newest.at + 1e-6)
        round_trip = came - newest.at
        if newest.alone:
            self._measuring, self._least = False, math.inf
        if round_trip <= 1.1 * self._least + _CLEAR_SECONDS:
            self._least_at = now  # as good as the least: it need not be measured anew
            self._least = min(round_trip, self._least)
            self._least_ever = min(round_trip, self._least_ever)
        self._note_round_trip(round_trip, now)
        elapsed = max(came - newest.delivered_at, round_trip)
        self._note_rate((self.acknowledged_bytes - newest.delivered) / elapsed, now)
        self._delivered_at = max(came, self._delivered_at)
        if newest.at >= self._begun:
            self._any.note(round_trip)
            if newest.full:
                self._full.note(round_trip)
        self._adapt(now)
        return True

    def _begin(self, now: float) -> None:
        """Begin an epoch: the window shrinks only by what packets that were sent in it have told."""
        self._begun = now
        self._limited = False
        self._most = self.in_flight
        self._any, self._full = _Took(), _Took()

    def _adapt(self, now: float) -> None:
        lasted = now - self._begun
        window = self.rate * (self._least + self._ack_delay + self._target)
        queued = self._least + _QUEUED * self._target
        much = _MUCH * self._target
        judged = lasted >= max(_JUDGED_SECONDS, self._least)
        ends = True
        if self._limited and self._full.quickest <= self._least + self._target / 2:
            window = max(window, self.window + self._packet)
        elif judged and (self._full.slower_than(queued, much) or self._any.slower_than(queued, much)):
            pass
        elif judged and not self._limited:
            # What nobody needs would be a queue as soon as the link is slower.
            window = max(window, min(self.window, self._most + self._packet))
        else:
            window = max(window, self.window)
            ends = lasted >= _LONGEST_EPOCH + self._least and self._any.count >= _RECENT
        self.window = min(window, _LARGEST_WINDOW)
        if ends:
            if judged and self._any.quickest <= queued:
                self._slowest_usual = self._any.slowest
            self._begin(now)

    def _note_round_trip(self, round_trip: float, now: float) -> None:
        recent = self._recent
        recent.append((now, round_trip))
        while len(recent) > _RECENT and now - recent[0][0] > _RECENT_SECONDS:
            recent.popleft()
        each = [one for _, one in recent]
        self._quickest, self._slowest = min(each), max(each[-_RECENT:])

    def _note_rate(self, rate: float, now: float) -> None:
        rates = self._rates
        # Only what may still become the best is kept, so the first is the best.
        while rates and rates[-1][1] <= rate:
            rates.pop()
        rates.append((now, rate))
        oldest = now - max(_RATE_SECONDS, _RATE_ROUND_TRIPS * self.round_trip)
        while rates[0][0] < oldest:
            rates.popleft()
        self.rate = rates[0][1]
