"""How long an attempt may take; all else of the supervisor is in tests/connect."""

from __future__ import annotations

import random
from typing import Any, cast

import pytest

from posewire.config import ConnectionConfig
from posewire.errors import ConnectionError
from posewire.sockets.network_probe import NetworkProbe
from posewire.sockets.pool_supervisor import PoolSupervisor


def supervisor(*urls: str, round_trip: float = 0.01, **settings: Any) -> PoolSupervisor:
    async def greet() -> None:
        raise AssertionError("nobody is greeted")

    def never(*_: Any) -> None:
        raise AssertionError("nothing happens")

    pool = PoolSupervisor(
        urls[0],
        ConnectionConfig(**{"connect_timeout": 10_000, "endpoint_timeout": 500, **settings}),
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


async def test_pauses_between_attempts_begin_with_the_delay_of_the_settings_and_double() -> None:
    pool = supervisor("http://127.0.0.1:9", reconnect_attempts=6, reconnect_delay=700, reconnect_delay_max=5000)
    pauses: list[float] = []

    class Nobody:
        urls: tuple[str, ...] = ()

        def lost(self) -> None:
            pass

        async def wait(self, seconds: float, *, round_trip: float) -> bool:
            pauses.append(seconds)
            return False

    pool._probe = cast(NetworkProbe, Nobody())
    assert await pool._reconnect(ConnectionError("lost")) is False
    assert len(pauses) == 6
    for pause, longest in zip(pauses, (0.7, 1.4, 2.8, 5, 5, 5), strict=True):
        assert 0.8 * longest <= pause <= longest, "a random part of a fifth is taken off"


def test_how_much_less_is_a_setting() -> None:
    pool = supervisor("http://a", "http://b", endpoint_timeout=300)
    assert [pool._seconds(attempt, last=False) for attempt in (1, 2, 3)] == [0.3, 0.6, 1.2]


def test_a_far_endpoint_has_the_time_it_takes() -> None:
    pool = supervisor("http://a", "http://b", round_trip=0.3)
    assert pool._seconds(1, last=False) == pytest.approx(2.4)
