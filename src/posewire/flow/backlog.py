"""What was written to a connection and has not been taken at its other end: seen by looking, not told."""

from __future__ import annotations

import math
from collections import deque
from typing import Final

import msgspec

_TRIAL_SECONDS: Final = 1.0
"""For so long must everything be taken in time, and be nearly all there is, before a link counts as clear again."""
_NEARLY_ALL: Final = 0.9
_QUEUEING: Final = 0.03
"""Seconds a packet may wait on a link that is not clear behind others of ours."""
_JUDGED_SECONDS: Final = 0.2
"""For so long, a round trip at least, must even the quickest packets wait before they are believed to queue."""
_JUDGED_MARKS: Final = 3
_SEVERAL: Final = 3
_QUICK: Final = 0.75
"""Of what a packet takes alone: one that is quicker behind others shows that they were not in its way."""
_LONGEST_EPOCH: Final = 1.0
"""Seconds after which one that proves nothing is begun anew."""
_ALONE: Final = 9
"""Packets that had the link to themselves, of which the middle one tells how long one takes."""
_ALONE_SECONDS: Final = 10.0
"""For so long they tell it."""
_LONGEST: Final = 0.5
"""Seconds beyond the round trip that are in time at most."""
_MARK_SECONDS: Final = 0.005
_LARGEST_WINDOW: Final = 1 << 20


class _Mark(msgspec.Struct, gc=False):
    """Bytes that had been written by the end of a moment."""

    at: float
    total: int
    full: bool
    """Whether no other one would have gone behind it: how long it took tells whether the window is right."""
    large: bool
    """Whether as much as a large packet was under way."""
    alone: bool
    """Whether it is one packet, and nothing else was."""


class _Took:
    """How many packets came, and what the quickest took."""

    def __init__(self) -> None:
        self.count = 0
        self.quickest = math.inf

    def note(self, seconds: float) -> None:
        """Take one in."""
        self.count += 1
        self.quickest = min(self.quickest, seconds)


class Backlog:
    """Lets a recipient have everything for as long as its link takes everything in time, else what fits a window.

    In time is a round trip and `grace`, and what the link is known to jitter. A link on which something took longer is
    not clear. Then nothing is added while the oldest byte is late, and no more than the window is under way; one packet
    always, when nothing is. The window goes by what it does to the packets: in each epoch it stays as it is, and ends
    up

    - larger, when something had to wait for it and a packet that filled it was quick: the next step is twice as large.
      A rate that is measured meanwhile is that of the window, not of the link, so none is;
    - ``rate x (round trip + grace + 30 ms)``, when even the quickest packet took longer than one does alone: now the
      rate is the link's. One that goes alone is awaited then;
    - what was under way at most, when nothing had to wait.

    The quickest, because packets on a link that jitters are late too, but not all of them. When for a second nothing
    was late though nearly all there was went out, the link is clear again. For the side that is not told what came, but
    can ask its kernel what was not confirmed yet. Pure: the caller looks.

    Args:
        grace: Seconds a confirmation may take beyond the round trip: kernels that have nothing to send keep it back for
            40 ms.
    """

    def __init__(self, *, grace: float = 0.05) -> None:
        self.written = 0
        """All bytes that were written."""
        self.outstanding = 0
        """Of them, not confirmed at the last look, or written since."""
        self.offered = 0
        """Bytes there were to write while the link was not clear, whether they were written or not."""
        self.rate = 0.0
        """Bytes a second that the link takes; 0 before it was ever the link that was in the way."""
        self.window = 0.0
        """Bytes that may be under way while it is not clear."""
        self.progress_at = 0.0
        """When something was last seen to be taken, or nothing was left to take; monotonic seconds."""
        self.clear = True
        """Whether everything is taken in time."""
        self._grace = grace
        self._alone: deque[tuple[float, float]] = deque(maxlen=_ALONE)
        self._quick = self._in_time = self._overdue = grace
        self._measuring = False
        self._late = False
        self._taken = 0
        self._left = 0
        """Outstanding at the last look."""
        self._marks: deque[_Mark] = deque()
        self._step = self._packet = 0.0
        self._trial: tuple[float, int, int] = (0.0, 0, 0)
        """When the current trial began, what was offered and what was written by then."""
        self._judged_window = self._judged_from = 0.0
        self._most = 0
        self._begin(0.0)

    def takes(self, size: int, *, urgent: bool = False) -> bool:
        """Return whether ``size`` bytes may be written, by the last look.

        Urgent ones, of sound, may go behind a packet that is larger than the window, and half a window further.
        """
        outstanding = self.outstanding
        if self.clear or not outstanding:
            return True
        if self._late or self._measuring:
            return False
        # Half full will do: a large packet must not wait for ever behind small ones that always fit.
        window = max(self.window, self._packet) + self.window / 2 if urgent else self.window
        if outstanding + size <= window or outstanding <= self.window / 2:
            return True
        self._limited = True
        return False

    def wrote(self, size: int, now: float) -> None:
        """Count what is written at ``now``, monotonic seconds."""
        self.written += size
        self.outstanding += size
        marks = self._marks
        if marks and now - marks[-1].at < _MARK_SECONDS:
            marks[-1].total, marks[-1].alone = self.written, False
        else:
            marks.append(_Mark(now, self.written, full=False, large=False, alone=self.outstanding == size))
        if not self.clear:
            self._packet = max(float(size), 0.9 * self._packet)
            self._most = max(self._most, self.outstanding)
            marks[-1].full = self.outstanding > max(self.window - self._packet, self.window / 2)
            # A small packet alone shows nothing about what a large one would do.
            marks[-1].large = self.outstanding >= self._packet

    def look(self, now: float, outstanding: int, round_trip: float) -> None:
        """Take in a look at ``now``: bytes not confirmed yet, and the link's least round trip in seconds."""
        taken = self.written - outstanding
        # What was written since then has had no time yet.
        if not outstanding or not self._left or taken > self._taken:
            self.progress_at = now
        self.outstanding, self._left, self._taken = outstanding, outstanding, taken
        marks = self._marks
        while marks and marks[0].total <= taken:
            self._came(marks.popleft(), now, round_trip)
        self._late = bool(marks) and now - marks[0].at > round_trip + self._overdue
        if self._late and self.clear:
            self.clear = False
            self.window, self._step = float(outstanding), self._packet
            self._begin(now)
        if not self.clear:
            self._adapt(now, round_trip)
            self._try(now)

    def _begin(self, now: float) -> None:
        """Begin an epoch: the window stays as it is until packets that were written since have told how it does."""
        if self.window != self._judged_window:
            self._judged_window, self._judged_from = self.window, now
        self._begun, self._taken_before = now, self._taken
        self._limited = False
        self._most = self.outstanding
        self._any, self._full, self._large = _Took(), _Took(), _Took()

    def _came(self, mark: _Mark, now: float, round_trip: float) -> None:
        if mark.at < self._judged_from or self.clear:
            return
        waited = max(0.0, now - mark.at - round_trip)
        self._any.note(waited)
        if mark.full:
            self._full.note(waited)
            if mark.large:
                self._large.note(waited)
        if mark.alone:
            self._measuring = False
            self._learn(now, waited)

    def _learn(self, now: float, waited: float) -> None:
        """Take in how long a packet took that waited behind none of ours: on a slow link, or one that jitters, long."""
        alone = self._alone
        while alone and now - alone[0][0] > _ALONE_SECONDS:
            alone.popleft()
        alone.append((now, min(waited, _LONGEST)))
        took = sorted(each for _, each in alone)
        usual = took[len(took) // 2]
        self._quick = max(self._grace, _QUICK * usual)
        self._in_time = max(self._grace, usual + _QUEUEING)
        self._overdue = max(self._grace, took[-1] + _QUEUEING)

    def _adapt(self, now: float, round_trip: float) -> None:
        lasted = now - self._begun
        if self._limited and self._large.quickest <= self._quick:
            step = max(self._step, self._packet, self.window / 4)
            self.window = min(self.window + step, 2 * self.window + self._packet, _LARGEST_WINDOW)
            self._step = 2 * step
        elif lasted < max(_JUDGED_SECONDS, round_trip):
            return
        elif self._slow(now - round_trip, enough=1 if lasted > _LONGEST_EPOCH + round_trip else _JUDGED_MARKS):
            self.rate = (self._taken - self._taken_before) / lasted
            self.window, self._step = self.rate * (round_trip + self._grace + _QUEUEING), 0.0
            self._measuring = True
        elif lasted < _LONGEST_EPOCH + round_trip:
            return
        elif not self._limited:
            # What nobody needs would be a queue as soon as the link is slower.
            self.window = min(self.window, self._most + self._packet)
        elif self._full.count and self.window > _SEVERAL * self._packet:
            # Neither quick nor slow: a little more is no risk where that is not a packet more than one.
            self.window = min(1.25 * self.window, _LARGEST_WINDOW)
        self._begin(now)

    def _slow(self, now: float, *, enough: int) -> bool:
        """Whether all packets were slow, or all that filled the window, and there were enough to say so."""
        # Those that have not come yet count too, or an epoch would be judged by its quick ones only.
        late = now - self._in_time
        waiting = sum(mark.full and self._judged_from <= mark.at < late for mark in self._marks)
        return (self._any.count >= enough and self._any.quickest > self._in_time) or (
            self._full.count + waiting >= enough and self._full.quickest > self._in_time
        )

    def _try(self, now: float) -> None:
        begun, offered, written = self._trial
        if not self._late:
            if now - begun < _TRIAL_SECONDS:
                return
            went, there_was = self.written - written, self.offered - offered
            self.clear = there_was > 0 and went >= _NEARLY_ALL * there_was
        self._trial = (now, self.offered, self.written)
