"""How streams come through, told to whom it concerns, at most ten times a second, whatever others report."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from typing import Any

import pytest

from posewire.protocol import control
from posewire.protocol.control import StreamReport
from posewire.server import reports as reports_module
from tests.unit.server.house import Guest, House


@pytest.fixture
async def house(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    house = House(monkeypatch)
    yield house
    house.close()


def about(publisher: Guest, stream: int = 1, **figures: Any) -> StreamReport:
    return StreamReport(member=publisher.connection.number, stream=stream, **{"seq": 10, "frames": 30, **figures})


def told(guest: Guest) -> list[control.SenderReport]:
    return [control.from_plain(data, control.SenderReport, what="report") for data in guest.heard("report")]


async def test_a_sender_hears_the_worst_of_each_figure_and_how_many_are_behind(house: House) -> None:
    alice, carol = house.publisher("alice", "one", "two"), house.publisher("carol")
    bob, dave = house.join("bob"), house.join("dave")
    one: dict[str, Any] = {
        "seq": 90,
        "frames": 30,
        "lost": 0,
        "age_p50": 9.0,
        "age_p99": 12.0,
        "queueing": 60.0,
        "render_lag": 1.0,
    }
    two: dict[str, Any] = {
        "seq": 99,
        "frames": 20,
        "lost": 5,
        "age_p50": 5.0,
        "age_p99": 90.0,
        "queueing": 3.0,
        "render_lag": 8.0,
    }
    bob.report(about(alice, **one), about(alice, 2), about(carol))
    for guest in (alice, carol):
        guest.written.clear()
    house.time += 0.1
    dave.report(about(alice, **two))
    (report,) = told(alice)
    assert told(carol) == [], "it is about nothing of hers"
    assert (report.receivers, report.behind) == (3, 1), "carol gets alice's streams too, and keeps up"
    worst = about(alice, seq=90, frames=20, lost=5, age_p50=9.0, age_p99=90.0, queueing=60.0, render_lag=8.0)
    assert report.streams == [worst, about(alice, 2)]


@pytest.mark.parametrize("late", [False, True])
async def test_at_most_once_a_second_while_all_keep_up_ten_times_while_somebody_does_not(
    house: House, late: bool
) -> None:
    alice, bob = house.publisher("alice"), house.join("bob")
    alice.written.clear()
    times = []
    for _ in range(500):
        bob.report(about(alice, queueing=50.0 if late else 49.9))
        times += [house.time] * len(told(alice))
        house.time += 1 / 128  # sums of it are exact
    apart = {later - earlier for earlier, later in itertools.pairwise(times)}
    # Reports come every 1/128 s.
    assert apart == {13 / 128 if late else 130 / 128}


@pytest.mark.parametrize(("frames", "lost", "behind"), [(80, 20, 0), (79, 21, 1), (0, 1, 1), (0, 0, 0)])
async def test_who_misses_more_than_a_fifth_is_behind(house: House, frames: int, lost: int, behind: int) -> None:
    alice, bob = house.publisher("alice"), house.join("bob")
    alice.written.clear()
    bob.report(about(alice, frames=frames, lost=lost))
    assert [report.behind for report in told(alice)] == [behind]


async def test_who_does_not_report_keeps_up_unless_something_waits_for_it(house: House) -> None:
    """Or the one who does could have everybody's quality reduced."""
    alice, mallory, stock = house.publisher("alice"), house.join("mallory"), house.join("stock")
    alice.written.clear()
    mallory.report(about(alice, queueing=1e9))
    (report,) = told(alice)
    assert (report.receivers, report.behind) == (2, 1)
    stock.stick((alice, 1))
    alice.written.clear()
    house.time += 1.0
    mallory.report(about(alice, queueing=1e9))
    (report,) = told(alice)
    assert (report.receivers, report.behind) == (2, 2)


async def test_what_was_said_long_ago_or_by_who_left_does_not_count(house: House) -> None:
    alice, bob, carol, dave = house.publisher("alice"), house.join("bob"), house.join("carol"), house.join("dave")
    bob.report(about(alice, queueing=500.0))
    carol.report(about(alice, queueing=400.0))
    house.time += 1.5
    carol.report(about(alice, queueing=400.0))
    house.rooms.leave(carol.connection, "left")
    house.time += 1.5
    alice.written.clear()
    dave.report(about(alice))
    (report,) = told(alice)
    assert (report.receivers, report.behind) == (2, 0)
    assert report.streams == [about(alice)]
    house.rooms.leave(alice.connection, "left")
    assert house.room().reports == {}


async def test_of_a_stream_that_nobody_reported_lately_nothing_is_said(house: House) -> None:
    alice, bob = house.publisher("alice", "one", "two"), house.join("bob")
    bob.report(about(alice, 1), about(alice, 2))
    house.time += 3.0
    alice.written.clear()
    bob.report(about(alice, 2))
    (report,) = told(alice)
    assert report.streams == [about(alice, 2)]


# Members that mean no good -------------------------------------------------------------------------------------------


async def test_reports_about_nothing_reach_nobody_and_nothing_is_kept_of_them(house: House) -> None:
    alice, mallory = house.publisher("alice"), house.publisher("mallory")
    elsewhere = house.publisher("erin", room="stage")
    for guest in house.guests:
        guest.written.clear()
    mallory.report(
        about(mallory, queueing=1e9),  # herself
        about(alice, 2),  # a stream that is not open
        StreamReport(member=0, stream=1),
        StreamReport(member=77, stream=1),
        StreamReport(member=0xFFFF, stream=0xFF),
    )
    stranger = house.connect("stranger")
    stranger.report(about(alice, queueing=1e9))
    # A room of one: nobody of the first one is known there by that number.
    elsewhere.report(about(elsewhere), StreamReport(member=mallory.connection.number, stream=1))
    assert [guest.written for guest in house.guests] == [[]] * 4
    assert house.room().reports == {}
    assert house.room("stage").reports == {}


async def test_who_may_not_subscribe_has_nothing_to_report(house: House) -> None:
    alice, mallory = house.publisher("alice"), house.join("mallory", subscribe=False)
    alice.written.clear()
    mallory.report(about(alice, queueing=1e9))
    assert alice.written == []
    assert house.room().reports == {}


@pytest.mark.parametrize(
    "data",
    [
        None,
        b"\xff",
        [],
        {},
        {"streams": None},
        {"streams": [None]},
        {"streams": [{}]},
        {"streams": [{"stream": 1, "member": 1, "queueing": float("nan")}]},
        {"streams": [{"stream": 1, "member": 1, "age_p99": float("inf")}]},
        {"streams": [{"stream": 1, "member": 1, "age_p50": -1e10}]},
        {"streams": [{"stream": 1, "member": 1, "lost": -1}]},
        {"streams": [{"stream": 1, "member": 1, "frames": 1 << 60}]},
        {"streams": [{"stream": 1, "member": 1, "seq": 1 << 32}]},
        {"streams": [{"stream": 1 << 8, "member": 1}]},
        {"streams": [{"stream": 1, "member": 1 << 16}]},
        {"streams": [{"stream": 1, "member": 1}] * 257},
    ],
)
async def test_a_report_that_is_none_harms_nobody_and_says_nothing_about_its_sender(house: House, data: Any) -> None:
    alice, mallory = house.publisher("alice"), house.join("mallory")
    assert alice.connection.number == 1
    alice.written.clear()
    house.desk.report(mallory.connection, data)
    assert alice.written == []
    assert house.room().reports == {}
    assert not mallory.connection.outlet._reports, "it did not say that it reads"


async def test_the_same_again_and_again_is_kept_once(house: House) -> None:
    alice, mallory = house.publisher("alice", "one", "two"), house.join("mallory")
    for _ in range(10):
        mallory.report(*[about(alice, 1 + number % 2, lost=number) for number in range(256)])
    assert {stream: len(reports) for stream, reports in house.room().reports.items()} == {(1, 1): 1, (1, 2): 1}


@pytest.mark.parametrize("late", [False, True])
async def test_a_flood_costs_one_look_in_a_tenth_of_a_second(
    house: House, monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    alice, mallory = house.publisher("alice"), house.join("mallory")
    looks = 0
    worst = reports_module._worst

    def counted(reports: Any) -> StreamReport:
        nonlocal looks
        looks += 1
        return worst(reports)

    monkeypatch.setattr(reports_module, "_worst", counted)
    alice.written.clear()
    for _ in range(1024):
        mallory.report(about(alice, queueing=1000.0 if late else 0.0))
        house.time += 1 / 1024
    assert looks <= 10
    assert len(told(alice)) == (10 if late else 1)


async def test_a_sender_whose_link_takes_nothing_is_not_filled_with_reports(house: House) -> None:
    alice, bob = house.publisher("alice"), house.join("bob")
    alice.written.clear()
    alice.get_write_buffer_size = lambda: 65 << 10  # type: ignore[method-assign]
    for _ in range(20):
        bob.report(about(alice, queueing=1000.0))
        house.time += 0.1
    assert alice.written == []
    assert alice.connection.waiting == 0


async def test_who_reports_reads(house: House) -> None:
    alice, bob = house.publisher("alice"), house.join("bob")
    for seq in range(20 * 8):
        alice.send(seq)
        house.time += 1 / 8
        if seq % 8 == 0:
            bob.report(about(alice))
    assert len(bob.heard("frame")) == 160
    assert bob.connection.waiting == 0
