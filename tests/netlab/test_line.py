"""The pure line under a virtual clock."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from benchmarks.netlab import Line, Path
from benchmarks.netlab.line import RETRANSMISSION_TIMEOUT
from hypothesis import given
from hypothesis import strategies as st

Offers = list[tuple[float, int]]
"""Seconds since the one before, bytes."""

OFFERS = st.lists(st.tuples(st.floats(0, 0.5), st.integers(20, 1500)), min_size=1, max_size=60)
RATES = st.floats(8_000, 10e6)
PATHS = st.builds(
    Path,
    rate=st.none() | RATES,
    delay=st.floats(0, 0.3),
    jitter=st.floats(0, 0.3),
    loss=st.floats(0, 1),
    buffer=st.floats(0, 1),
)

Came = list[tuple[float, int]]
"""When, and number of the packet."""


def near(*came: tuple[float, int]) -> list[tuple[Any, int]]:
    return [(pytest.approx(moment), number) for moment, number in came]


def run(line: Line[int], offers: Offers, change: Callable[[int, float], None] = lambda *_: None) -> tuple[Came, Came]:
    """Offer packets at their times, and take them out when the line says; returns what was taken and what came out."""
    now = 0.0
    taken: Came = []
    came: Came = []

    def drain(until: float) -> None:
        while (moment := line.next_time()) is not None and moment <= until:
            came.extend((moment, number) for number in line.take(moment))

    for number, (gap, size) in enumerate(offers):
        drain(now + gap)
        now += gap
        change(number, now)
        if line.offer(now, size, number):
            taken.append((now, number))
    drain(1e9)
    return taken, came


@given(OFFERS, RATES, st.floats(0, 0.3), st.floats(0, 1))
def test_the_rate_is_never_exceeded(offers: Offers, rate: float, delay: float, buffer: float) -> None:
    _, came = run(Line(Path(rate=rate, delay=delay, buffer=buffer), seed=1), offers)
    for first, last in itertools.combinations(range(len(came)), 2):
        # Everything after the first packet's last bit went over the line by the time the last one came.
        bits = sum(8 * offers[number][1] for _, number in came[first + 1 : last + 1])
        assert bits <= rate * (came[last][0] - came[first][0]) * (1 + 1e-9) + 1e-3


@given(OFFERS, PATHS)
def test_order_is_kept_unless_asked_otherwise(offers: Offers, path: Path) -> None:
    _, came = run(Line(path, seed=1), offers)
    assert [number for _, number in came] == sorted(number for _, number in came)


def test_jitter_may_reorder_when_asked() -> None:
    offers = [(0.001, 100)] * 200
    _, came = run(Line(Path(jitter=0.05, reorder=True), seed=1), offers)
    numbers = [number for _, number in came]
    assert numbers != sorted(numbers)
    assert sorted(numbers) == list(range(200))


@given(OFFERS, RATES, st.integers(0, 20_000))
def test_no_more_waits_than_the_buffer_holds(offers: Offers, rate: float, capacity: int) -> None:
    line: Line[int] = Line(Path(rate=rate, buffer_bytes=capacity), seed=1)
    taken, came = run(line, offers)
    # One packet always finds an idle line.
    largest = max(size for _, size in offers)
    assert line.stats.queued_bytes_max <= max(capacity, largest)
    for (start, number), (end, same) in zip(taken, came, strict=True):
        assert number == same
        assert end - start <= 8 * max(capacity, largest) / rate * (1 + 1e-9) + 1e-6
    assert line.stats.dropped_full == len(offers) - len(taken)


@given(OFFERS, PATHS, st.integers())
def test_the_same_seed_decides_the_same(offers: Offers, path: Path, seed: int) -> None:
    first, second = Line[int](path, seed=seed), Line[int](path, seed=seed)
    assert run(first, offers) == run(second, offers)
    assert first.stats == second.stats


@given(OFFERS, PATHS, st.booleans())
def test_every_packet_is_accounted_for(offers: Offers, path: Path, stream: bool) -> None:
    line: Line[int] = Line(path, seed=3, stream=stream)
    _, came = run(line, offers)
    stats = line.stats
    lost = 0 if stream else stats.dropped_loss
    assert stats.offered_packets == len(offers)
    assert stats.packets == len(came) == len(offers) - stats.dropped_full - lost
    assert stats.bytes == sum(offers[number][1] for _, number in came)


@given(OFFERS, PATHS)
def test_how_often_it_is_looked_at_changes_nothing(offers: Offers, path: Path) -> None:
    """A forwarder that wakes late sends late, and catches up: the serialiser does not drift."""
    lazy: Line[int] = Line(path, seed=1)
    now, came = 0.0, []
    for number, (gap, size) in enumerate(offers):
        now += gap
        lazy.offer(now, size, number)
    came = lazy.take(1e9)
    assert came == [number for _, number in run(Line(path, seed=1), offers)[1]]


def test_delay_and_serialisation_add_up() -> None:
    _, came = run(Line(Path(rate=8_000, delay=0.25), seed=1), [(1.0, 100), (0.0, 100)])
    assert came == near((1.35, 0), (1.45, 1))


def test_seeds_and_shares_of_loss() -> None:
    offers = [(0.001, 100)] * 20_000
    lost = {}
    for seed in (1, 2):
        came = {number for _, number in run(Line(Path(loss=0.02), seed=seed), offers)[1]}
        lost[seed] = set(range(20_000)) - came
        assert 0.017 < len(lost[seed]) / 20_000 < 0.023
    assert lost[1] != lost[2]


def test_another_rate_does_not_shift_the_chance_of_loss() -> None:
    offers = [(0.1, 100)] * 500
    fast = run(Line(Path(loss=0.1), seed=1), offers)[1]
    slow = run(Line(Path(loss=0.1, rate=64_000), seed=1), offers)[1]
    assert [number for _, number in fast] == [number for _, number in slow]


def test_loss_does_not_shift_the_chance_of_jitter() -> None:
    offers = [(0.1, 100)] * 500
    whole = {number: moment for moment, number in run(Line(Path(jitter=0.05), seed=1), offers)[1]}
    came = run(Line(Path(jitter=0.05, loss=0.3), seed=1), offers)[1]
    assert 250 < len(came) < 450
    # At least 50 ms between packets: none holds up the next.
    assert [whole[number] for _, number in came] == [moment for moment, _ in came]


def test_a_change_of_rate_counts_for_what_waits() -> None:
    line: Line[int] = Line(Path(rate=8_000, buffer=10), seed=1)
    for number in range(3):
        assert line.offer(0.0, 1000, number)
    # Half of the first packet has left; the other half goes ten times as fast.
    line.change(0.5, Path(rate=80_000, buffer=10))
    times = []
    while (moment := line.next_time()) is not None:
        times += [(moment, number) for number in line.take(moment)]
    assert times == near((0.55, 0), (0.65, 1), (0.75, 2))
    line.offer(1.0, 1000, 3)
    line.change(1.0, Path())
    assert line.take(1.0) == [3]


def test_an_outage_loses_what_comes_waits_and_is_under_way() -> None:
    line: Line[int] = Line(Path(rate=8_000, delay=1, buffer=10), seed=1)
    for number in range(3):
        line.offer(0.0, 100, number)
    line.change(0.15, Path(outage=True))
    assert line.next_time() is None
    assert not line.offer(0.2, 100, 3)
    line.change(0.3, Path())
    assert line.take(100.0) == []
    assert line.offer(100.0, 100, 4)
    assert line.take(100.0) == [4]
    assert msgspec.structs.asdict(line.stats) | {"dropped_outage": 4, "packets": 1} == msgspec.structs.asdict(
        line.stats
    )


def test_a_stream_waits_out_an_outage() -> None:
    line: Line[int] = Line(Path(rate=8_000), seed=1, stream=True)
    line.offer(0.0, 100, 0)
    line.change(0.05, Path(rate=8_000, outage=True))
    assert line.next_time() is None
    assert not line.has_room(1.0, 100)
    assert line.take(5.0) == []
    line.change(5.0, Path(rate=8_000))
    assert line.next_time() == pytest.approx(5.05)
    assert line.take(5.06) == [0]


def test_a_loss_stalls_a_stream_for_one_timeout() -> None:
    seed = next(seed for seed in range(100) if _first_is_lost(seed))
    line: Line[int] = Line(Path(loss=0.2), seed=seed, stream=True)
    _, came = run(line, [(0.0, 100), (0.01, 100)])
    assert came == near((RETRANSMISSION_TIMEOUT, 0), (RETRANSMISSION_TIMEOUT, 1))
    assert line.stats.dropped_loss == 1


def _first_is_lost(seed: int) -> bool:
    chance = random.Random(seed)
    first, _, second = chance.random(), chance.random(), chance.random()
    return first < 0.2 <= second


@given(OFFERS, PATHS, st.lists(PATHS, min_size=60, max_size=60))
def test_changes_lose_nothing_but_in_an_outage(offers: Offers, path: Path, paths: list[Path]) -> None:
    line: Line[int] = Line(path, seed=1)
    _, came = run(line, offers, lambda number, now: line.change(now, paths[number]))
    numbers = [number for _, number in came]
    assert numbers == sorted(numbers)
    assert len(came) == len(offers) - line.stats.dropped_full - line.stats.dropped_loss
    assert [moment for moment, _ in came] == sorted(moment for moment, _ in came)
