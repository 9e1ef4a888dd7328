"""The last hour, however often there is a line."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posewire.monitor.history import HISTORY_SECONDS, MOST_LINES, History
from posewire.monitor.performance_metrics import PerformanceMetrics, merged, thinned
from tests.unit.monitor.lines import line


def test_every_line_is_kept_for_an_hour_where_they_are_seldom_enough() -> None:
    assert HISTORY_SECONDS == 3600
    history = History()
    for index in range(4000):
        history.add(line(timestamp=index * 2.5))
    assert [each.timestamp for each in history.lines()] == [index * 2.5 for index in range(2559, 4000)]


@given(st.lists(st.tuples(st.floats(0.1, 10), st.sampled_from(["", "slow"]), st.none() | st.floats(0, 5)), min_size=1))
def test_lines_come_back_as_they_went_in(given: list[tuple[float, str, float | None]]) -> None:
    history = History(1e9, 1000)
    now = 0.0
    lines: list[PerformanceMetrics] = []
    for gap, callback, age in given:
        now += gap
        lines.append(
            line(timestamp=now, slowest_callback=callback, age_p99=age, sent=len(lines), drops={"replaced": len(lines)})
        )
        history.add(lines[-1])
    assert history.lines() == lines
    assert history.ends(0.0) == (lines[0], lines[-1])
    assert history.ends(now + 1) is None


def test_memory_is_the_same_from_the_beginning() -> None:
    history = History()
    size = history._lines._table.nbytes
    for index in range(3 * MOST_LINES):
        history.add(line(timestamp=index * 2.1))
    assert history._lines._table.nbytes == size < 1e6
    assert len({id(words) for words in history._lines._words}) == 1, "the same words are one object"


@pytest.mark.parametrize("gap", [0.005, 0.05, 0.4, 0.9])
def test_the_hour_is_whole_at_any_rate(gap: float) -> None:
    # A fortieth of everything, so that the test is quick.
    history = History(HISTORY_SECONDS / 40, MOST_LINES // 40)
    most = 0
    for index in range(int(HISTORY_SECONDS / 20 / gap)):
        history.add(line(timestamp=index * gap))
        most = max(most, len(history))
    times = [each.timestamp for each in history.lines()]
    assert most <= MOST_LINES // 40
    assert times[-1] - times[0] == pytest.approx(HISTORY_SECONDS / 40, abs=6)
    assert max(after - before for before, after in itertools.pairwise(times)) < 8
    assert times[-1] == (int(HISTORY_SECONDS / 20 / gap) - 1) * gap


@given(st.lists(st.floats(0, 400), max_size=150))
def test_lines_are_in_order_bounded_and_not_too_old(gaps: list[float]) -> None:
    history = History(1000.0, 10)
    now = 0.0
    for gap in gaps:
        now += gap
        history.add(line(timestamp=now))
        times = [each.timestamp for each in history.lines()]
        assert times == sorted(times)
        assert times[-1] == now
        assert times[0] >= now - 1000
        assert len(times) <= 10


def test_since() -> None:
    history = History()
    for second in (1.0, 2.0, 3.0):
        history.add(line(timestamp=second))
    assert [each.timestamp for each in history.since(2.0)] == [2.0, 3.0]
    assert history.since(3.5) == []
    assert len(history.since(0)) == len(history) == 3


def test_of_two_lines_the_worse_of_what_has_peaks() -> None:
    older = line(
        timestamp=1.0,
        cpu_usage=50.0,
        loop_lag=0.3,
        slowest_callback="older",
        age_p50=0.01,
        age_p99=0.2,
        quality_level=2,
        quality="coarse",
        sent=10,
        drops={"replaced": 1},
    )
    newer = line(
        timestamp=2.0, cpu_usage=5.0, loop_lag=0.1, slowest_callback="newer", age_p99=0.1, latency_p99=0.5, sent=20
    )
    both = merged(older, newer)
    assert (both.timestamp, both.sent, both.drops) == (2.0, 20, {})
    assert (both.cpu_usage, both.age_p99, both.latency_p99) == (50.0, 0.2, 0.5)
    assert (both.loop_lag, both.slowest_callback) == (0.3, "older")
    assert (both.quality_level, both.quality) == (2, "coarse")
    assert both.age_p50 == 0.01
    assert merged(newer, line(timestamp=3.0, latency_p99=0.9)).loop_lag == 0.1


def test_a_line_that_is_worse_in_nothing_changes_nothing() -> None:
    newer = line(timestamp=2.0)
    assert merged(line(timestamp=1.0), newer) is newer


def test_half_as_many() -> None:
    assert [each.timestamp for each in thinned([line(timestamp=float(n)) for n in range(5)])] == [1, 3, 4]
    assert [each.timestamp for each in thinned([line(timestamp=float(n)) for n in range(4)])] == [1, 3]
    assert thinned([]) == []


def test_spacing_of_a_sample_a_second_is_what_the_documentation_says() -> None:
    history = History()
    for second in range(1, 10_001):
        history.add(line(timestamp=float(second)))
        if second in (1800, 3600, 10_000):
            times = [each.timestamp for each in history.lines()]
            gaps = [after - before for before, after in itertools.pairwise(times)]
            if second == 1800:
                assert set(gaps) == {1.0}
            elif second == 3600:
                assert (set(gaps[:898]), set(gaps[901:])) == ({2.0}, {4.0})
            else:
                assert set(gaps) == {4.0}


def test_words_that_are_the_same_are_kept_once() -> None:
    """A loop has few slowest callbacks, in turns; each line with strings of its own would grow for an hour."""
    history = History()
    for index in range(300):
        name = "".join(["callback ", str(index % 3)])  # a new string each time
        history.add(line(timestamp=index * 2.5, slowest_callback=name, drops={"late": index // 100}))
    lines = history.lines()
    assert {each.slowest_callback for each in lines} == {"callback 0", "callback 1", "callback 2"}
    assert len({id(each.slowest_callback) for each in lines}) <= 9
    assert [each.drops for each in lines[::100]] == [{"late": 0}, {"late": 1}, {"late": 2}]
