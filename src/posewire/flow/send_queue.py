"""The bounded priority queue in front of the encoder."""

from __future__ import annotations

import heapq
import itertools
import math
from collections import Counter
from collections.abc import Callable

from posewire.errors import QueueManagementError
from posewire.flow.queue_item import QueueItem
from posewire.flow.send_outcome import SendOutcome
from posewire.protocol import Delivery, Kind

_Slot = tuple[Kind, str]


class SendQueue:
    """Holds at most ``capacity`` frames; of a latest-wins stream at most one, the newest.

    When it is full, the frame of the lowest priority goes, of these the oldest; that may be the newcomer. Every frame
    that does not leave through `take` is counted in `drops` by reason: ``replaced``, ``queue_full``, ``expired``,
    ``cleared``; and told to ``on_drop``. Reliable frames are never dropped for another: a queue full of them refuses.
    `clean_up_at` makes room for many at once, and earlier.

    Pure and not for threads; two heaps with lazy deletion, so every step is O(log n).
    """

    def __init__(self, capacity: int, on_drop: Callable[[QueueItem, str], None] | None = None) -> None:
        if capacity < 1:
            raise QueueManagementError("create", f"capacity {capacity}: expected at least 1")
        self.capacity = capacity
        self.drops: Counter[str] = Counter()
        self._high = self._low = capacity
        self._shares = (1.0, 1.0)
        self._on_drop = on_drop
        self._best: list[QueueItem] = []
        self._worst: list[tuple[int, float, int, QueueItem]] = []
        self._slots: dict[_Slot, QueueItem] = {}
        self._serials = itertools.count()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def put(self, item: QueueItem) -> SendOutcome:
        """Take ``item`` in, if there is room for it or it matters more than another. Never waits."""
        outcome = SendOutcome.ACCEPTED
        slot = (item.kind, item.stream)
        if item.delivery is Delivery.LATEST:
            if (older := self._slots.get(slot)) is not None:
                self._remove(older)
                self._count(older, "replaced")
                outcome = SendOutcome.REPLACED
            # Set before making room: the newcomer itself may be what has to go.
            self._slots[slot] = item
        item.serial = next(self._serials)
        item.waiting = True
        self._size += 1
        heapq.heappush(self._best, item)
        if item.delivery is not Delivery.RELIABLE:
            heapq.heappush(self._worst, (item.priority, item.timestamp, item.serial, item))
        if self._size > self._high:
            self.keep_best(self._low)
            if self._size > self.capacity:
                # Only reliable frames wait, and none of them may go for another.
                self.drop(item, "queue_full")
        self._compact()
        return outcome if item.waiting else SendOutcome.DROPPED

    def best(self, now: float) -> QueueItem | None:
        """Return the best frame that is not too old at ``now``, monotonic seconds, and leave it; None if none is."""
        while self._best:
            item = self._best[0]
            if item.waiting and (item.expires is None or item.expires >= now):
                return item
            heapq.heappop(self._best)
            if item.waiting:
                self._remove(item)
                self._count(item, "expired")
        return None

    def best_of(self, now: float, fits: Callable[[QueueItem], bool]) -> QueueItem | None:
        """Return the best of those that fit, and leave it; see `best`. Looks at all if the best does not fit."""
        best = self.best(now)
        if best is None or fits(best):
            return best
        return min(
            (
                item
                for item in self._best
                if item.waiting and (item.expires is None or item.expires >= now) and fits(item)
            ),
            default=None,
        )

    def take(self, now: float) -> QueueItem | None:
        """Remove and return the best frame; see `best`."""
        item = self.best(now)
        if item is not None:
            heapq.heappop(self._best)
            self._remove(item)
        return item

    def waiting(self) -> list[QueueItem]:
        """Return what waits, the best first."""
        return sorted(item for item in self._best if item.waiting)

    def resize(self, capacity: int) -> None:
        """Hold at most ``capacity`` from now on. What is too much goes as from a full queue, except reliable frames."""
        if capacity < 1:
            raise QueueManagementError("resize", f"capacity {capacity}: expected at least 1")
        self.capacity = capacity
        self.clean_up_at(*self._shares)
        self.keep_best(capacity)

    def clean_up_at(self, threshold: float, keep: float) -> None:
        """When more than the share ``threshold`` of the capacity waits, keep the best share ``keep`` of it; 0..1."""
        self._shares = (threshold, keep)
        self._high = max(1, math.floor(threshold * self.capacity))
        self._low = max(1, min(self._high, math.floor(keep * self.capacity)))

    @property
    def clean_up_shares(self) -> tuple[float, float]:
        """What `clean_up_at` was told last."""
        return self._shares

    @property
    def threshold(self) -> int:
        """Frames that may wait before the lowest are cleaned out."""
        return self._high

    def keep_best(self, count: int) -> int:
        """Drop the lowest until ``count`` wait; returns how many went. Reliable frames stay."""
        dropped = 0
        while self._size > count and self._worst:
            item = heapq.heappop(self._worst)[-1]
            if item.waiting:
                self.drop(item, "queue_full")
                dropped += 1
        return dropped

    def withdraw(self, item: QueueItem) -> None:
        """Take a frame out, if it still waits, and count nothing: it leaves, or will be handed in again."""
        if item.waiting:
            self._remove(item)

    def drop(self, item: QueueItem, reason: str) -> None:
        """Drop a frame, if it still waits."""
        if item.waiting:
            self._remove(item)
            self._count(item, reason)

    def clear(self) -> None:
        """Drop everything that waits."""
        for item in self._best:
            if item.waiting:
                item.waiting = False
                self._count(item, "cleared")
        self._best.clear()
        self._worst.clear()
        self._slots.clear()
        self._size = 0

    def _count(self, item: QueueItem, reason: str) -> None:
        self.drops[reason] += 1
        if self._on_drop is not None:
            self._on_drop(item, reason)

    def _remove(self, item: QueueItem) -> None:
        item.waiting = False
        self._size -= 1
        if not self._size:
            # Nearly always: nothing dead is kept, nor the poses in it.
            self._best.clear()
            self._worst.clear()
        slot = (item.kind, item.stream)
        if self._slots.get(slot) is item:
            del self._slots[slot]

    def _compact(self) -> None:
        # Lazy deletion leaves dead entries behind; a stream of replacements would let the heaps grow without end.
        limit = 2 * self.capacity + 16
        if len(self._best) > limit:
            self._best = [item for item in self._best if item.waiting]
            heapq.heapify(self._best)
        if len(self._worst) > limit:
            self._worst = [entry for entry in self._worst if entry[-1].waiting]
            heapq.heapify(self._worst)
