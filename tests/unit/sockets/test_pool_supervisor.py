"""How long an attempt may take; all else of the supervisor is in tests/connect."""

from __future__ import annotations

import random
from typing import Any

import pytest

from posewire.config import ConnectionConfig
from posewire.sockets.pool_supervisor import PoolSupervisor


def supervisor(*urls: str, round_trip: float = 0.01) -> PoolSupervisor:
    async def greet() -> None:
        raise AssertionError("nobody is greeted")

    def never(*_: Any) -> None:
        raise AssertionError("nothing happens")

    pool = PoolSupervisor(
        urls[0],
        ConnectionConfig(connect_timeout=10_000, endpoint_timeout=500),
        on_frame=never,
        on_event=never,
        on_credit=never,
        greet=greet,
        notify=never,
        round_trip=lambda: round_trip,
        rng=random.Random(1),
    )
    pool.endpoints.set(urls)
    return pool


@pytest.mark.parametrize("attempt", [1, 9])
def test_the_only_endpoint_is_waited_for(attempt: int) -> None:
    assert supervisor("http://a")._seconds(attempt, last=False) == 10


def test_while_there_is_another_one_it_is_less_but_more_in_each_round() -> None:
    pool = supervisor("http://a", "http://b")
    assert [pool._seconds(attempt, last=False) for attempt in range(1, 8)] == [0.5, 1, 2, 4, 8, 10, 10]
    assert pool._seconds(10**9, last=False) == 10
    assert pool._seconds(1, last=True) == 10, "the last one of the first connection"


def test_a_far_endpoint_has_the_time_it_takes() -> None:
    pool = supervisor("http://a", "http://b", round_trip=0.3)
    assert pool._seconds(1, last=False) == pytest.approx(2.4)
