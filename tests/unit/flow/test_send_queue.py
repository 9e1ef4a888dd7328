"""The bounded priority queue against a list that is searched from end to end."""

from __future__ import annotations

import random
import weakref
from collections import Counter
from typing import NamedTuple

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from posewire.errors import QueueManagementError
from posewire.flow import QueueItem, SendOutcome, SendQueue
from posewire.protocol import Delivery, Kind


class Waiting(NamedTuple):
    """A frame of the model."""

    item: QueueItem
    arrival: int

    @property
    def turn(self) -> tuple[int, float, int]:
        """Higher priority first, then earlier timestamp, then arrival."""
        return (-self.item.priority, self.item.timestamp, self.arrival)

    @property
    def worth(self) -> tuple[int, float, int]:
        """What goes first when there is no room: the lowest priority, of these the oldest."""
        return (self.item.priority, self.item.timestamp, self.arrival)


class Model:
    """The same queue, without heaps, slots or lazy deletion."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.waiting: list[Waiting] = []
        self.drops: Counter[str] = Counter()
        self.arrivals = 0

    def put(self, item: QueueItem) -> SendOutcome:
        outcome = SendOutcome.ACCEPTED
        if item.delivery is Delivery.LATEST:
            older = [
                entry
                for entry in self.waiting
                if entry.item.delivery is Delivery.LATEST
                and (entry.item.kind, entry.item.stream) == (item.kind, item.stream)
            ]
            for entry in older:
                self.waiting.remove(entry)
                self.drops["replaced"] += 1
                outcome = SendOutcome.REPLACED
        newcomer = Waiting(item, self.arrivals)
        self.arrivals += 1
        self.waiting.append(newcomer)
        if len(self.waiting) > self.capacity:
            free = [entry for entry in self.waiting if entry.item.delivery is not Delivery.RELIABLE]
            self.waiting.remove(min(free, key=lambda entry: entry.worth) if free else newcomer)
            self.drops["queue_full"] += 1
        return outcome if newcomer in self.waiting else SendOutcome.DROPPED

    def take(self, now: float) -> QueueItem | None:
        for entry in sorted(self.waiting, key=lambda entry: entry.turn):
            self.waiting.remove(entry)
            if entry.item.expires is not None and entry.item.expires < now:
                self.drops["expired"] += 1
                continue
            return entry.item
        return None

    def best_of(self, now: float, kinds: set[Kind]) -> QueueItem | None:
        # The queue counts what is too old only where the best is looked for.
        for entry in sorted(self.waiting, key=lambda entry: entry.turn):
            if entry.item.expires is None or entry.item.expires >= now:
                break
            self.waiting.remove(entry)
            self.drops["expired"] += 1
        fresh = [each for each in self.waiting if each.item.expires is None or each.item.expires >= now]
        fitting = [entry for entry in fresh if entry.item.kind in kinds]
        return min(fitting, key=lambda entry: entry.turn).item if fitting else None

    def withdraw(self, item: QueueItem) -> None:
        self.waiting = [entry for entry in self.waiting if entry.item is not item]

    def clear(self) -> None:
        self.drops["cleared"] += len(self.waiting)
        self.waiting.clear()

    def keep_best(self, count: int) -> int:
        free = sorted((e for e in self.waiting if e.item.delivery is not Delivery.RELIABLE), key=lambda e: e.worth)
        gone = free[: max(0, len(self.waiting) - count)]
        self.waiting = [entry for entry in self.waiting if entry not in gone]
        self.drops["queue_full"] += len(gone)
        return len(gone)


class SendQueueMachine(RuleBasedStateMachine):
    """Does the same to both, and compares."""

    @initialize(capacity=st.integers(1, 6))
    def create(self, capacity: int) -> None:
        self.queue = SendQueue(capacity)
        self.model = Model(capacity)
        self.put_count = self.taken = 0

    @rule(capacity=st.integers(1, 6))
    def resize(self, capacity: int) -> None:
        # Reliable frames stay, even those that are too many now.
        self.queue.resize(capacity)
        self.model.keep_best(capacity)
        self.model.capacity = capacity

    @rule(count=st.integers(0, 6))
    def keep_best(self, count: int) -> None:
        assert self.queue.keep_best(count) == self.model.keep_best(count)

    @invariant()
    def what_waits_is_told_in_order(self) -> None:
        assert self.queue.waiting() == [e.item for e in sorted(self.model.waiting, key=lambda e: e.turn)]

    @rule(
        priority=st.integers(0, 3),
        timestamp=st.sampled_from((0.0, 1.0, 2.0, 3.0)),
        kind=st.sampled_from(Kind),
        delivery=st.sampled_from(Delivery),
        stream=st.sampled_from("ab"),
        expires=st.none() | st.integers(0, 4),
    )
    def put(
        self,
        priority: int,
        timestamp: float,
        kind: Kind,
        delivery: Delivery,
        stream: str,
        expires: int | None,
    ) -> None:
        item = QueueItem(priority, timestamp, object(), kind=kind, delivery=delivery, stream=stream, expires=expires)
        reliable = {entry.item for entry in self.model.waiting if entry.item.delivery is Delivery.RELIABLE}
        assert self.queue.put(item) is self.model.put(item)
        self.put_count += 1
        # A reliable frame goes for no other.
        assert all(waiting.waiting for waiting in reliable)

    @rule(count=st.integers(1, 60))
    def put_a_stream(self, count: int) -> None:
        # As a camera does: makes the heaps clean up behind it.
        for index in range(count):
            item = QueueItem(2, float(index), object())
            assert self.queue.put(item) is self.model.put(item)
            self.put_count += 1

    @rule(now=st.integers(0, 5))
    def take(self, now: int) -> None:
        expected = self.model.take(now)
        assert self.queue.take(now) is expected
        self.taken += expected is not None

    @rule(now=st.integers(0, 5), kinds=st.sets(st.sampled_from(Kind)))
    def take_one_that_fits(self, now: int, kinds: set[Kind]) -> None:
        expected = self.model.best_of(now, kinds)
        assert self.queue.best_of(now, lambda item: item.kind in kinds) is expected
        if expected is not None:
            self.queue.withdraw(expected)
            self.model.withdraw(expected)
            self.taken += 1

    @precondition(lambda self: len(self.model.waiting) > 2)
    @rule()
    def clear(self) -> None:
        self.queue.clear()
        self.model.clear()

    @invariant()
    def the_same_waits(self) -> None:
        assert len(self.queue) == len(self.model.waiting)
        reliable = sum(entry.item.delivery is Delivery.RELIABLE for entry in self.model.waiting)
        assert len(self.queue) <= max(self.queue.capacity, reliable)
        assert self.queue.drops == self.model.drops
        assert all(entry.item.waiting for entry in self.model.waiting)

    @invariant()
    def one_frame_of_a_latest_wins_stream(self) -> None:
        slots = Counter(
            (entry.item.kind, entry.item.stream)
            for entry in self.model.waiting
            if entry.item.delivery is Delivery.LATEST
        )
        assert max(slots.values(), default=0) <= 1

    @invariant()
    def nothing_is_lost_without_being_counted(self) -> None:
        assert self.put_count == self.taken + len(self.queue) + self.queue.drops.total()

    def teardown(self) -> None:
        if not hasattr(self, "queue"):
            return
        while (expected := self.model.take(0.0)) is not None:
            assert self.queue.take(0.0) is expected
        assert self.queue.take(0.0) is None
        assert len(self.queue) == 0


TestSendQueueAgainstModel = SendQueueMachine.TestCase
TestSendQueueAgainstModel.settings = settings(max_examples=150, stateful_step_count=40)


def frame(priority: int = 5, timestamp: float = 0.0, *, stream: str = "pose", **options: object) -> QueueItem:
    return QueueItem(priority, timestamp, object(), stream=stream, **options)  # type: ignore[arg-type]


def sound(priority: int = 5, timestamp: float = 0.0, **options: object) -> QueueItem:
    return frame(priority, timestamp, kind=Kind.AUDIO, delivery=Delivery.ORDERED, stream="voice", **options)


@pytest.mark.parametrize("capacity", [0, -1])
def test_a_queue_has_room(capacity: int) -> None:
    with pytest.raises(QueueManagementError, match="at least 1"):
        SendQueue(capacity)


def test_the_newest_pose_takes_the_place_of_the_older() -> None:
    queue = SendQueue(4)
    assert queue.put(frame(timestamp=1.0)) is SendOutcome.ACCEPTED
    newest = frame(timestamp=2.0)
    assert queue.put(newest) is SendOutcome.REPLACED
    assert len(queue) == 1
    assert queue.take(0.0) is newest
    assert queue.take(0.0) is None
    assert queue.drops == {"replaced": 1}


def test_a_newcomer_that_matters_least_is_dropped() -> None:
    queue = SendQueue(1)
    assert queue.put(sound(priority=8)) is SendOutcome.ACCEPTED
    assert queue.put(frame(priority=1)) is SendOutcome.DROPPED
    assert queue.drops == {"queue_full": 1}
    # Its slot is free again.
    assert queue.take(0.0) is not None
    assert queue.put(frame(priority=1)) is SendOutcome.ACCEPTED


def test_a_queue_full_of_reliable_frames_refuses_all() -> None:
    queue = SendQueue(2)
    kept = [frame(0, float(index), kind=Kind.EVENT, delivery=Delivery.RELIABLE, stream="events") for index in range(2)]
    for item in kept:
        assert queue.put(item) is SendOutcome.ACCEPTED
    assert queue.put(frame(priority=99)) is SendOutcome.DROPPED
    assert queue.put(sound(priority=99)) is SendOutcome.DROPPED
    late = frame(99, kind=Kind.EVENT, delivery=Delivery.RELIABLE, stream="events")
    assert queue.put(late) is SendOutcome.DROPPED
    assert [queue.take(0.0), queue.take(0.0), queue.take(0.0)] == [*kept, None]
    assert queue.drops == {"queue_full": 3}


def test_an_age_limit_counts_to_the_moment_itself() -> None:
    queue = SendQueue(4)
    first, second = sound(expires=1.0), sound(timestamp=1.0, expires=2.0)
    queue.put(first)
    queue.put(second)
    assert queue.take(1.0) is first
    assert queue.take(2.5) is None
    assert queue.drops == {"expired": 1}


def test_cleared_frames_are_counted_and_do_not_come_back() -> None:
    queue = SendQueue(4)
    items = [frame(), sound(), sound()]
    for item in items:
        queue.put(item)
    queue.clear()
    assert (len(queue), queue.take(0.0), queue.drops) == (0, None, {"cleared": 3})
    assert not any(item.waiting for item in items)
    assert queue.put(frame()) is SendOutcome.ACCEPTED


@pytest.mark.parametrize("seed", range(5))
def test_a_long_life(seed: int) -> None:
    """Thousands of steps, now half empty, now full, so that both heaps are cleaned up many times over."""
    chance = random.Random(seed)
    queue, model = SendQueue(12), Model(12)
    for step in range(2000):
        if step % 50 == 0:
            taking = chance.choice((0.0, 0.3, 0.9))
        item = QueueItem(
            chance.randrange(6),
            float(chance.randrange(50)),
            step,
            kind=chance.choice(list(Kind)),
            delivery=chance.choice((Delivery.LATEST, Delivery.ORDERED, Delivery.ORDERED, Delivery.RELIABLE)),
            stream=chance.choice("abc"),
            expires=chance.choice((None, None, step + 20.0)),
        )
        assert queue.put(item) is model.put(item)
        if chance.random() < taking:
            assert queue.take(step) is model.take(step)
        assert (len(queue), queue.drops) == (len(model.waiting), model.drops)


def test_the_lowest_priority_goes_after_a_clean_up_too() -> None:
    queue = SendQueue(20)
    queue.put(frame(0))
    middle, lowest = sound(5), sound(3)
    queue.put(middle)
    queue.put(lowest)
    # Sixty replacements of what was lowest of all leave sixty dead entries, and the clean-up two live ones.
    for index in range(60):
        queue.put(frame(9, float(index)))
    for _ in range(18):
        queue.put(sound(9))
    assert queue.drops == {"replaced": 60, "queue_full": 1}
    assert (middle.waiting, lowest.waiting) == (True, False)


class _Payload:
    """Something that can be counted while it is alive."""


def test_cleared_frames_are_let_go_of() -> None:
    queue = SendQueue(8)
    alive: weakref.WeakSet[_Payload] = weakref.WeakSet()
    for index in range(8):
        payload = _Payload()
        alive.add(payload)
        queue.put(QueueItem(5, float(index), payload, delivery=Delivery.ORDERED))
    del payload
    assert len(alive) == 8
    queue.clear()
    assert len(alive) == 0


@pytest.mark.parametrize("delivery", [Delivery.LATEST, Delivery.ORDERED])
@pytest.mark.parametrize("taking", [False, True])
def test_frames_that_are_gone_are_let_go_of(delivery: Delivery, taking: bool) -> None:
    # Lazy deletion must not become a leak, neither in a stream of replacements nor in one that is sent.
    queue = SendQueue(8)
    alive: weakref.WeakSet[_Payload] = weakref.WeakSet()
    most = 0
    for index in range(2000):
        payload = _Payload()
        alive.add(payload)
        queue.put(QueueItem(5, float(index), payload, delivery=delivery))
        del payload
        if taking:
            queue.take(0.0)
        most = max(most, len(alive))
    assert most <= 4 * queue.capacity + 40


def test_looking_at_the_best_leaves_it() -> None:
    queue = SendQueue(4)
    low, high = sound(1), sound(9)
    queue.put(low)
    queue.put(high)
    assert [queue.best(0.0), queue.best(0.0), queue.take(0.0), queue.best(0.0)] == [high, high, high, low]
    assert (len(queue), queue.drops) == (1, {})


def test_looking_drops_what_is_too_old() -> None:
    told: list[tuple[QueueItem, str]] = []
    queue = SendQueue(4, lambda item, reason: told.append((item, reason)))
    old, kept = sound(9, expires=1.0), sound(1)
    queue.put(old)
    queue.put(kept)
    assert queue.best(2.0) is kept
    assert (queue.drops, told, len(queue)) == ({"expired": 1}, [(old, "expired")], 1)
    queue.drop(kept, "refused")
    assert queue.best(2.0) is None


def test_each_drop_is_told_once_with_its_reason() -> None:
    told: list[tuple[QueueItem, str]] = []
    queue = SendQueue(2, lambda item, reason: told.append((item, reason)))
    replaced, full, refused, cleared = frame(), sound(0), sound(5), frame(timestamp=1.0)
    for item in (replaced, full, cleared, refused):
        queue.put(item)
    queue.drop(refused, "refused")
    queue.drop(refused, "refused")
    queue.clear()
    queue.clear()
    assert told == [(replaced, "replaced"), (full, "queue_full"), (refused, "refused"), (cleared, "cleared")]
    assert Counter(reason for _, reason in told) == queue.drops
    assert not any(item.waiting for item, _ in told)


def test_a_dropped_pose_leaves_its_slot() -> None:
    queue = SendQueue(2)
    first = frame()
    queue.put(first)
    queue.drop(first, "refused")
    assert queue.put(frame()) is SendOutcome.ACCEPTED
    queue.drop(first, "refused")
    assert (len(queue), queue.drops) == (1, {"refused": 1})


def test_a_clean_up_makes_room_for_many_and_keeps_the_best() -> None:
    queue = SendQueue(10)
    queue.clean_up_at(0.5, 0.2)
    assert (queue.threshold, queue.clean_up_shares) == (5, (0.5, 0.2))
    items = [sound(priority) for priority in (1, 5, 2, 4, 3)]
    for item in items:
        queue.put(item)
    assert (len(queue), queue.drops) == (5, {})
    assert queue.put(sound(0)) is SendOutcome.DROPPED
    assert [item.priority for item in queue.waiting()] == [5, 4]
    assert queue.drops == {"queue_full": 4}
    queue.resize(100)
    assert queue.threshold == 50, "a share of what there is now"


def test_a_queue_that_shrinks_drops_the_lowest_and_keeps_reliable_frames() -> None:
    queue = SendQueue(10)
    event = frame(0, kind=Kind.EVENT, delivery=Delivery.RELIABLE, stream="events")
    for item in (event, *(sound(priority) for priority in (3, 1, 2))):
        queue.put(item)
    queue.resize(2)
    assert [item.priority for item in queue.waiting()] == [3, 0]
    assert queue.keep_best(0) == 1
    assert queue.waiting() == [event]
    with pytest.raises(QueueManagementError, match="at least 1"):
        queue.resize(0)
    assert queue.capacity == 2


def test_a_frame_that_is_withdrawn_is_not_counted_and_may_come_back() -> None:
    queue = SendQueue(2)
    item = sound()
    queue.put(item)
    queue.withdraw(item)
    queue.withdraw(item)
    assert (len(queue), queue.drops, queue.take(0.0)) == (0, {}, None)
    assert queue.put(item) is SendOutcome.ACCEPTED
    assert queue.take(0.0) is item
