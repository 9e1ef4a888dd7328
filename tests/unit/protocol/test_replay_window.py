"""Each frame once, in whatever order they come."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posewire.protocol.replay_window import WINDOW, ReplayWindow, TimeWindow

near = st.integers(0, 3 * WINDOW)
anywhere = st.integers(0, 0xFFFF_FFFF)


class Model:
    """A window that remembers everything."""

    def __init__(self) -> None:
        self.seen: set[int] = set()

    def accept(self, seq: int) -> bool:
        new = seq not in self.seen and seq > max(self.seen, default=-1) - WINDOW
        self.seen |= {seq} if new else set()
        return new


@given(st.lists(near | anywhere, max_size=200))
def test_it_is_a_set_of_bounded_memory(seqs: list[int]) -> None:
    window, model = ReplayWindow(), Model()
    assert [window.accept(seq) for seq in seqs] == [model.accept(seq) for seq in seqs]


@given(st.lists(st.integers(0, WINDOW - 1), unique=True, min_size=1), st.randoms(use_true_random=False))
def test_any_order_within_the_window_once(seqs: list[int], rng: object) -> None:
    window = ReplayWindow()
    assert all(window.accept(seq) for seq in seqs)
    assert not any(window.accept(seq) for seq in seqs)


@pytest.mark.parametrize(("behind", "taken"), [(0, False), (1, True), (WINDOW - 1, True), (WINDOW, False)])
def test_how_late_a_frame_may_be(behind: int, taken: bool) -> None:
    window = ReplayWindow()
    assert window.accept(5000)
    assert window.accept(5000 - behind) is taken
    assert not window.accept(5000 - behind)


@pytest.mark.parametrize("start", [0, 7, 0xFFFF_FFFF])
def test_it_starts_anywhere(start: int) -> None:
    window = ReplayWindow()
    assert window.accept(start)
    assert not window.accept(start)


def test_a_jump_over_all_numbers_costs_nothing() -> None:
    window = ReplayWindow()
    tracemalloc.start()
    for seq in range(0, 0xFFFF_FFFF, 0x0FFF_FFFF):
        assert window.accept(seq)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10_000


@given(st.lists(st.integers(0, 5000), max_size=300))
def test_times_are_good_for_one_message(times: list[int]) -> None:
    window = TimeWindow()
    assert [window.accept(time) for time in times] == [time not in times[:index] for index, time in enumerate(times)]


def test_only_the_newest_times_are_kept() -> None:
    window = TimeWindow()
    assert all(window.accept(time) for time in range(10, 3 * WINDOW))
    oldest = 2 * WINDOW
    assert not window.accept(oldest - 1), "too old to know"
    assert not window.accept(oldest)
    assert len(window._times) == WINDOW
    assert window.accept(5 * WINDOW)


@given(st.lists(near | anywhere, max_size=200), st.lists(near | anywhere, max_size=50))
def test_is_new_tells_what_accept_would_and_notes_nothing(seqs: list[int], asked: list[int]) -> None:
    window = ReplayWindow()
    for seq in seqs:
        before = (window._newest, window._seen)
        assert all(window.is_new(each) is window.is_new(each) for each in asked)
        told = window.is_new(seq)
        assert (window._newest, window._seen) == before
        assert window.accept(seq) is told
        assert not window.is_new(seq)
