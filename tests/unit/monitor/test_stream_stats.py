"""Figures of a received stream."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posewire.monitor import StreamFigures, StreamStats
from posewire.monitor.stream_stats import StreamInterval


def observe(stats: StreamStats, *seqs: int, member: int = 0, gap: float = 0.1) -> None:
    for seq in seqs:
        stats.observe(now=100.0 + stats.frames * gap, age=0.05, size=100, seq=seq, member=member)


def test_before_the_first_packet() -> None:
    assert StreamStats("alice", "pose").figures(now=5.0) == StreamFigures(
        user_id="alice",
        stream="pose",
        frames=0,
        lost=0,
        fps=0.0,
        mean_fps=0.0,
        bytes_per_frame=0.0,
        age_p50=0.0,
        age_p95=0.0,
        age_p99=0.0,
    )


def test_figures() -> None:
    stats = StreamStats("alice", "pose")
    for index in range(101):
        stats.observe(now=50 + index / 10, age=index / 1000, size=100 + index, seq=index)
    figures = stats.figures(now=60.0)
    assert (figures.user_id, figures.stream, figures.frames, figures.lost) == ("alice", "pose", 101, 0)
    assert figures.bytes_per_frame == 150
    assert (figures.age_p50, figures.age_p95, figures.age_p99) == pytest.approx((0.05, 0.095, 0.099))
    assert figures.fps == pytest.approx(10)


def test_ages_are_of_the_window() -> None:
    stats = StreamStats("alice", "pose", window=3)
    for age in (9.0, 9.0, 1.0, 1.0, 1.0):
        stats.observe(now=0.0, age=age, size=1, seq=0)
    assert stats.figures(now=0.0).age_p99 == 1.0


def test_figures_are_frozen() -> None:
    figures = StreamStats("alice", "pose").figures(now=0.0)
    with pytest.raises(AttributeError):
        figures.lost = 1  # type: ignore[misc]


def test_fps_falls_when_the_stream_stops_and_is_0_at_one_moment() -> None:
    stats = StreamStats("alice", "pose")
    observe(stats, 0)
    assert stats.figures(now=100.0).fps == 0
    observe(stats, *range(1, 11))
    assert stats.figures(now=101.0).fps == pytest.approx(10)
    assert stats.figures(now=110.0).fps == pytest.approx(1)


def test_fps_forgets_an_old_rate() -> None:
    stats = StreamStats("alice", "pose")
    observe(stats, *range(100), gap=10.0)
    for seq in range(100, 200):
        stats.observe(now=2000 + seq / 30, age=0.0, size=1, seq=seq)
    assert stats.figures(now=2000 + 199 / 30).fps == pytest.approx(30)


@given(st.integers(0, 1000), st.lists(st.booleans(), max_size=60))
def test_lost_is_what_is_missing_between_two_that_came(start: int, came: list[bool]) -> None:
    seqs = [start] + [start + 1 + index for index, there in enumerate(came) if there]
    stats = StreamStats("alice", "pose")
    observe(stats, *seqs)
    assert stats.lost == seqs[-1] - start + 1 - len(seqs)
    assert stats.frames == len(seqs)


def test_who_joins_late_has_lost_nothing() -> None:
    stats = StreamStats("alice", "pose")
    observe(stats, 5000, 5001)
    assert stats.lost == 0


def test_a_sender_that_came_back_starts_anew() -> None:
    stats = StreamStats("alice", "pose")
    observe(stats, 0, 1, 2, member=1)
    observe(stats, 40, 41, member=2)
    observe(stats, 0, 3, member=3)
    assert (stats.lost, stats.frames) == (2, 7)


def test_an_old_or_repeated_number_loses_nothing() -> None:
    stats = StreamStats("alice", "pose")
    observe(stats, 5, 6, 6, 3, 7)
    assert stats.lost == 0


def test_a_packet_that_overtook_another_has_not_lost_it() -> None:
    # Once: "numbers that never came": 1 came, after 2, and is counted as lost all the same.
    stats = StreamStats("alice", "pose")
    observe(stats, 0, 2, 1, 3)
    assert stats.lost == 0


def test_a_repeated_packet_does_not_make_up_for_a_lost_one() -> None:
    # Once: any old number takes one off what was lost, also one that was never missing.
    stats = StreamStats("alice", "pose")
    observe(stats, 0, 2, 2, 3, 0)
    assert stats.lost == 1


@pytest.mark.parametrize(("behind", "lost"), [(64, 99), (65, 100)])
def test_a_packet_that_is_far_too_late_stays_lost(behind: int, lost: int) -> None:
    stats = StreamStats("alice", "pose")
    observe(stats, 0, 101)
    assert stats.lost == 100
    observe(stats, 102 - behind)
    assert stats.lost == lost


def test_mean_rate_outlives_the_stream_and_lies_do_not_count() -> None:
    stats = StreamStats("alice", "pose")
    for index in range(11):
        stats.observe(now=index / 10, age=0.01, size=1, seq=index)
    figures = stats.figures(now=100.0)
    assert figures.mean_fps == pytest.approx(10)
    assert figures.fps < 1
    for age in (1.8e9, -7e9):
        stats.observe(now=1.1, age=age, size=1, seq=2**32 - 1)
    assert stats.figures(now=2.0).age_p99 == pytest.approx(0.01)
    assert stats.lost == 0


def test_a_packet_out_of_a_jump_takes_nothing_off() -> None:
    stats = StreamStats("alice", "pose")
    observe(stats, 0, 200_000, 199_999)
    assert stats.lost == 0


def test_an_interval_is_since_the_last_look() -> None:
    stats = StreamStats("alice", "pose", number=3)
    assert stats.interval() == StreamInterval(
        member=0, number=3, seq=0, frames=0, lost=0, age_p50=0, age_p99=0, queueing=0, render_lag=0
    )
    for seq, age in ((0, 0.9), (1, 0.9), (4, 0.1)):
        stats.observe(now=100.0 + seq, age=age, size=1, seq=seq, member=9)
    first = stats.interval()
    assert (first.member, first.seq, first.frames, first.lost, first.age_p50) == (9, 4, 3, 2, 0.9)
    for seq in (5, 6):
        stats.observe(now=105.0, age=0.2, size=1, seq=seq, member=9)
    stats.render_lag = 0.5
    second = stats.interval()
    assert (second.frames, second.lost, second.age_p50, second.render_lag) == (2, 0, 0.2, 0.5)
    assert (stats.interval().frames, stats.interval().render_lag) == (0, 0.0)


def test_one_that_comes_after_all_makes_no_loss_below_zero() -> None:
    stats = StreamStats("alice", "pose")
    observe(stats, 0, 2)
    assert stats.interval().lost == 1
    observe(stats, 1)
    assert stats.interval().lost == 0


def test_queueing_is_the_quickest_of_the_last_four_over_the_least() -> None:
    stats = StreamStats("alice", "pose")
    assert stats.queueing == 0
    ages = (0.05, 0.25, 0.25, 0.25)
    for seq, age in enumerate(ages):
        stats.observe(now=100.0, age=age, size=1, seq=seq)
    assert stats.queueing == 0, "one of the last four was quick"
    stats.observe(now=100.1, age=0.15, size=1, seq=4)
    assert stats.queueing == pytest.approx(0.1)


def test_a_new_session_is_measured_by_itself() -> None:
    """Its camera may take longer than the one before; that is no queue."""
    stats = StreamStats("alice", "pose")
    for seq in range(5):
        stats.observe(now=100.0 + seq, age=0.05, size=1, seq=seq, member=1)
    for seq in range(5):
        stats.observe(now=105.0 + seq, age=0.25, size=1, seq=seq, member=2)
    assert (stats.queueing, stats.newest_queueing) == (0.0, 0.0)


def test_the_least_age_is_forgotten_in_five_to_ten_seconds() -> None:
    # A clock that drifts, a route that changed: what is longer for good is no queue.
    stats = StreamStats("alice", "pose")
    stats.observe(now=100.0, age=0.05, size=1, seq=0)
    queueing = {}
    for tenth in range(1, 130):
        stats.observe(now=100 + tenth / 10, age=0.15, size=1, seq=tenth)
        queueing[tenth / 10] = stats.queueing
    assert queueing[4.9] == pytest.approx(0.1)
    assert queueing[10.1] == pytest.approx(0)


def test_a_wrong_clock_is_no_queue() -> None:
    stats = StreamStats("alice", "pose")
    stats.observe(now=100.0, age=-1e6, size=1, seq=0)
    stats.observe(now=100.1, age=0.1, size=1, seq=1)
    assert stats.queueing == 0
    assert stats.interval().frames == 2


def test_ages_are_handed_out_once() -> None:
    stats = StreamStats("alice", "pose", window=4)
    assert stats.take_ages() == []
    for seq, age in enumerate((0.1, 0.3, -100.0, 0.2)):  # one of a clock that is wrong
        stats.observe(now=seq / 10, age=age, size=10, seq=seq)
    assert stats.take_ages() == [0.2, 0.3, 0.1]
    assert stats.take_ages() == []
    for seq in range(4, 14):
        stats.observe(now=seq / 10, age=seq / 100, size=10, seq=seq)
    assert stats.take_ages() == [0.13, 0.12, 0.11, 0.1]  # of very many, those of the window
    assert stats.take_ages() == []
    assert stats.bytes == 140


def test_jitter_of_ages() -> None:
    stats = StreamStats("alice", "pose")
    for seq, age in enumerate((0.1, 0.13, 0.11, 0.11)):
        stats.observe(now=seq / 10, age=age, size=10, seq=seq)
    assert stats.figures(now=1.0).jitter == pytest.approx(0.05 / 3)
