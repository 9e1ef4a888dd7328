"""The order of frames: higher priority, then earlier timestamp, then arrival."""

from __future__ import annotations

import heapq

from hypothesis import given
from hypothesis import strategies as st

from posewire.flow import QueueItem
from posewire.protocol import Delivery, Kind


@st.composite
def items(draw: st.DrawFn) -> QueueItem:
    """Few priorities and times, so that there are many ties."""
    item = QueueItem(draw(st.integers(0, 3)), draw(st.sampled_from((0.0, 0.5, 1.7e9))), None)
    item.serial = draw(st.integers(0, 3))
    return item


def place(item: QueueItem) -> tuple[int, float, int]:
    return (-item.priority, item.timestamp, item.serial)


@given(items(), items())
def test_the_order_of_two(one: QueueItem, other: QueueItem) -> None:
    assert (one < other) == (place(one) < place(other))


@given(st.lists(items(), max_size=30))
def test_the_order_of_many(some: list[QueueItem]) -> None:
    heap = list(some)
    heapq.heapify(heap)
    popped = [heapq.heappop(heap) for _ in range(len(heap))]
    assert [place(item) for item in popped] == sorted(place(item) for item in some)


def test_as_the_specification_has_it() -> None:
    # Priority first, although the other is much older.
    assert QueueItem(8, 100.0, {}) < QueueItem(5, 1.0, {})
    assert QueueItem(5, 1.0, {}) < QueueItem(5, 2.0, {})
    assert not QueueItem(5, 1.0, {}) < QueueItem(5, 1.0, {})


def test_what_it_holds() -> None:
    item = QueueItem(5, 1.0, {"x": 1})
    assert (item.priority, item.timestamp, item.data) == (5, 1.0, {"x": 1})
    assert (item.kind, item.delivery, item.stream) == (Kind.POSE, Delivery.LATEST, "pose")
    assert (item.queued, item.expires, item.waiting) == (0.0, None, False)


def test_repr() -> None:
    item = QueueItem(8, 2.5, b"secret", kind=Kind.AUDIO, stream="voice")
    assert repr(item) == "QueueItem(audio 'voice', priority=8, t=2.5)"
