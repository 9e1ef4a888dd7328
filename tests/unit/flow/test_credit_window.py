"""The credit window, on links that exist only on paper."""

from __future__ import annotations

import functools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posewire.flow import CreditWindow
from posewire.flow.credit_window import INITIAL_WINDOW
from tests.unit.flow.virtual_link import VirtualLink


def steady(rate: float, delay: float) -> VirtualLink:
    return VirtualLink(lambda _: rate, delay)


def test_the_first_packets_go_until_the_initial_window_is_full() -> None:
    window = CreditWindow()
    sent = 0
    while window.takes(1000, 0.0):
        window.sent(1000, 0.0)
        sent += 1000
    assert INITIAL_WINDOW - 1000 < sent <= INITIAL_WINDOW
    assert window.in_flight == sent


def test_one_packet_of_any_size_goes_when_nothing_is_under_way() -> None:
    window = CreditWindow()
    assert window.takes(10_000_000, 0.0)
    window.sent(10_000_000, 0.0)
    assert not window.takes(1, 0.0)
    assert window.acknowledged(10_000_000, 1.0)
    assert window.takes(10_000_000, 1.0)


def test_an_acknowledgement_of_more_than_was_sent_is_refused_and_changes_nothing() -> None:
    window = CreditWindow()
    window.sent(100, 0.0)
    assert not window.acknowledged(101, 0.1)
    assert (window.in_flight, window.round_trip, window.rate) == (100, 0.0, 0.0)


def test_old_and_partial_acknowledgements_are_taken_as_they_are() -> None:
    window = CreditWindow()
    window.sent(100, 0.0)
    window.sent(100, 0.0)
    assert window.acknowledged(150, 0.1)
    assert window.in_flight == 50
    assert window.acknowledged(100, 0.2)  # overtaken by the one before
    assert window.in_flight == 50


def test_the_time_an_acknowledgement_was_held_is_not_the_links() -> None:
    window = CreditWindow()
    window.sent(100, 0.0)
    assert window.acknowledged(100, 0.060, held=0.010)
    assert window.round_trip == pytest.approx(0.050)


def test_what_is_held_longer_than_the_way_took_cannot_be() -> None:
    window = CreditWindow()
    window.sent(100, 0.0)
    assert window.acknowledged(100, 0.060, held=5.0)
    assert 0 < window.round_trip <= 0.060


@pytest.mark.parametrize(("rate", "delay"), [(16_000, 0.001), (8_000, 0.025), (4_000, 0.05), (125_000, 0.03)])
def test_on_a_link_that_is_too_slow_the_age_stays_small_and_the_link_busy(rate: float, delay: float) -> None:
    link = steady(rate, delay)
    size = 600
    link.stream(60.0, size, interval=size / rate / 3)  # three times what it takes
    late = [delivery for delivery in link.deliveries if delivery.left > link.start + 2]
    ages = sorted(delivery.age for delivery in late)
    # The way, a packet's own time and the one before it, the target, and what waited for an acknowledgement.
    assert ages[int(0.99 * len(ages))] < delay + 2 * size / rate + 0.03 + 0.02 + size / rate / 3
    carried = sum(delivery.size for delivery in late) / 58
    assert carried > 0.75 * rate


def test_a_stream_that_fits_is_never_held_up() -> None:
    link = steady(125_000, 0.025)
    link.stream(40.0, 115, interval=1 / 30)
    assert len(link.deliveries) >= 40 * 30 - 3
    # Beyond the way itself at most a few looks: but for the packets that measured the empty link.
    late = [delivery for delivery in link.deliveries if delivery.left - delivery.due > 0.005]
    assert len(late) <= 8


def test_a_link_that_became_slow_is_believed_and_one_that_became_fast_is_found_out() -> None:
    link = VirtualLink(lambda t: 16_000 if 10 <= t < 40 else 1_250_000, 0.005)
    link.stream(50.0, 667, interval=1 / 30)
    for delivery in link.deliveries:
        assert delivery.age < 0.25, (delivery.left - link.start, delivery.age)
    during = [d for d in link.deliveries if 12 < d.left - link.start < 40]
    assert len(during) > 0.8 * 28 * 16_000 / 667
    after = [d for d in link.deliveries if d.left - link.start > 41]
    assert len(after) > 0.97 * 9 * 30


def test_an_outage_leaves_no_more_under_way_than_the_window() -> None:
    link = VirtualLink(lambda t: 1e-3 if 10 <= t < 15 else 125_000, 0.02)
    link.stream(10.0, 667, interval=1 / 30)
    for _ in range(4000):
        if link.window.takes(667, link.now):
            link.window.sent(667, link.now)
        link.now += 0.001
    assert link.window.in_flight <= max(link.window.window, 667)
    assert link.window.oldest(link.now) > 3.5


def test_the_least_round_trip_is_measured_anew_when_the_way_became_longer() -> None:
    link = steady(1_250_000, 0.01)
    link.stream(3.0, 500, interval=0.01)
    assert link.window.least_round_trip < 0.03
    link.delay = 0.1
    link.stream(25.0, 500, interval=0.01)
    assert link.window.least_round_trip > 0.19
    assert link.window.queueing < 0.01


def _always(rate: float, _: float) -> float:
    return rate


@settings(max_examples=25, deadline=None)
@given(st.floats(2_000, 1e6), st.floats(0.0005, 0.15), st.integers(60, 3000), st.floats(0.005, 0.1), st.data())
def test_whatever_the_link_does_what_is_under_way_is_within_the_window_or_one_packet(
    rate: float, delay: float, size: int, interval: float, data: st.DataObject
) -> None:
    link = steady(rate, delay)
    rates = data.draw(st.lists(st.floats(1_000, 1e6), min_size=1, max_size=3))
    for new in rates:
        link.rate = functools.partial(_always, new)
        for _ in range(300):
            if link.window.takes(size, link.now):
                before = link.window.in_flight
                link.send(size, link.now)
                assert link.window.in_flight <= link.window.window or before == 0
            link.step()
    link.stream(3 + 20 * size / min(rates), size, interval)
    assert link.deliveries  # it never stops for good
    assert link.window.acknowledged_bytes <= link.window.sent_bytes


@pytest.mark.parametrize("delay", [0.001, 0.02, 0.1])
@pytest.mark.parametrize("size", [150, 660])
def test_a_link_that_jitters_is_not_taken_for_a_slow_one(delay: float, size: int) -> None:
    """Its rate is what was sent, for nothing more was; a window made from it would shrink, and what is sent with it."""
    link = VirtualLink(lambda _: 1e7, delay, jitter=0.08)
    link.stream(30.0, size, interval=1 / 30)
    late = sorted(delivery.age for delivery in link.deliveries if delivery.due > link.start + 5)
    assert len(late) >= 0.95 * 25 * 30
    assert late[int(0.99 * len(late))] <= delay + 0.08 + 0.03
    assert link.window.queueing < 0.09


def test_a_window_that_nobody_needs_becomes_smaller() -> None:
    """Or it would be a queue as soon as the link is slower."""
    link = steady(1_250_000, 0.005)
    link.stream(3.0, 100, interval=0.02)
    assert link.window.window <= 1000


def test_a_window_that_was_too_large_for_a_link_that_became_slow_is_left_soon() -> None:
    link = VirtualLink(lambda t: 1e7 if t < 8 else 8_000, 0.005)
    link.stream(30.0, 660, interval=1 / 30)
    onset = [delivery.age for delivery in link.deliveries if 8 < delivery.left - link.start < 10]
    assert max(onset) < 0.4
    late = sorted(delivery.age for delivery in link.deliveries if delivery.left - link.start > 10)
    assert late[int(0.99 * len(late))] < 0.4


def test_a_link_whose_least_is_seen_now_and_then_is_not_emptied_to_measure_it() -> None:
    link = steady(1_250_000, 0.3)
    link.stream(40.0, 150, interval=1 / 30)
    assert max(delivery.left - delivery.due for delivery in link.deliveries if delivery.due > link.start + 2) < 0.005
