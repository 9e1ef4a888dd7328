"""What `resume` makes of what sessions saw."""

from __future__ import annotations

from benchmarks.reconnect.figures import BAR_MS, row_of, spread
from benchmarks.reconnect.messages import Back
from benchmarks.reconnect.seen import Seen, room_of

MS = 1_000_000


def back(milliseconds: float) -> Back:
    at = 1000 * MS + int(milliseconds * MS)
    return Back(connected_ns=at, room_ns=at, first_ns=at, all_ns=at, resumed=True)


def test_times_count_from_the_networks_return_in_each_round() -> None:
    row = row_of("posewire", "refused", [(1000 * MS, [back(10), back(20)]), (900 * MS, [back(10)])])
    assert row.sessions == row.resumed == 3
    assert row.steps["room"].p50 == 20
    assert row.steps["room"].worst == 110
    assert row.held


def test_the_bar_is_for_the_95th_of_a_hundred() -> None:
    slow = BAR_MS + 1
    assert row_of("posewire", "refused", [(1000 * MS, [back(1)] * 97 + [back(slow)] * 3)]).held
    assert not row_of("posewire", "refused", [(1000 * MS, [back(1)] * 93 + [back(slow)] * 7)]).held


def test_who_is_not_back_misses_the_bar() -> None:
    row = row_of("posewire", "refused", [(1000 * MS, [back(1)] * 99 + [Back(connected_ns=1001 * MS)])])
    assert row.steps["room"].came == 99
    assert not row.held
    assert spread([]).p50 is None


def test_a_session_notes_what_comes_after_it_was_armed() -> None:
    seen = Seen(2)
    seen.note("room_ns")
    seen.heard("ann")
    assert seen.back() == Back()
    seen.arm()
    seen.note("connected_ns")
    seen.heard("ann")
    first = seen.back()
    seen.heard("ann")
    assert (first.first_ns > 0, first.all_ns, seen.back()) == (True, 0, first)
    seen.note("room_ns")
    seen.heard("bob")
    done = seen.back()
    assert done.complete
    assert done.first_ns == first.first_ns <= done.all_ns
    seen.arm()
    assert seen.back() == Back()


def test_what_the_old_server_sent_does_not_count() -> None:
    seen = Seen(1, elsewhere=True)
    seen.arm()
    seen.heard("ann")
    assert seen.back() == Back()
    seen.note("connected_ns")
    seen.heard("ann")
    assert seen.back().all_ns


def test_rooms_are_of_ten() -> None:
    assert [room_of(index) for index in (0, 9, 10, 49)] == ["room0", "room0", "room1", "room4"]
