"""Marks are found once each, however the stream is cut."""

from __future__ import annotations

import itertools

from benchmarks.markers import MARK_BYTES, MarkReader, mark
from hypothesis import given
from hypothesis import strategies as st


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=20), st.lists(st.integers(1, 90), min_size=1))
def test_each_is_counted_once_wherever_reads_end(kinds: list[tuple[bool, bool]], sizes: list[int]) -> None:
    marks = (mark(3, number, counts=counts, sampled=sampled) for number, (counts, sampled) in enumerate(kinds))
    stream = b"".join(b"frame" + one + bytes(MARK_BYTES) for one in marks)
    reader, numbers, lengths = MarkReader(3), [], itertools.cycle(sizes)
    while stream:
        length = next(lengths)
        numbers += reader.feed(stream[:length])
        stream = stream[length:]
    assert reader.count == sum(counts for counts, _ in kinds)
    assert numbers == [number for number, (counts, sampled) in enumerate(kinds) if counts and sampled]


def test_another_run_is_not_counted() -> None:
    reader = MarkReader(3)
    assert reader.feed(mark(4, 1, counts=True, sampled=True) + bytes(MARK_BYTES)) == []
    assert reader.count == 0
