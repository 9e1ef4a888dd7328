"""What a session says of itself when it comes back, and how soon the server may forget what has come."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posewire.protocol import control
from posewire.sockets.resumption import Resumption


class Told(list[int]):
    """Notes what the server is told."""

    def __call__(self, name: str, data: Any) -> None:
        assert name == control.CONFIRM
        self.append(control.from_plain(data, control.Confirm, what="confirm").received)


@pytest.fixture
def told() -> Told:
    return Told()


def welcome(resume: str = "t", *, resumed: bool = False) -> control.Welcome:
    return control.Welcome(
        user_id="alice",
        room=None,
        role="member",
        publish=True,
        subscribe=True,
        server="0.1",
        resume=resume,
        resumed=resumed,
    )


def test_a_session_that_begins_asks_for_a_seat(told: Told) -> None:
    assert Resumption(told).hello() == control.Hello(resume="", received=0)


def test_it_comes_back_with_the_newest_token_and_what_it_has(told: Told) -> None:
    resumption = Resumption(told)
    resumption.welcomed(welcome("one"))
    for _ in range(5):
        resumption.count(100)
    assert resumption.hello() == control.Hello(resume="one", received=5)
    resumption.welcomed(welcome("two", resumed=True))
    resumption.count(100)
    assert resumption.hello() == control.Hello(resume="two", received=6)


def test_another_session_counts_from_the_first(told: Told) -> None:
    resumption = Resumption(told)
    resumption.welcomed(welcome("one"))
    resumption.count(100)
    resumption.welcomed(welcome("two"))
    assert (resumption.received, resumption.hello().received) == (0, 0)
    assert told[-1] == 0, "it says that it has its new token"


def test_the_server_knows_at_once_that_the_token_has_come(told: Told) -> None:
    resumption = Resumption(told)
    resumption.welcomed(welcome("one"))
    resumption.count(1)
    resumption.welcomed(welcome("two", resumed=True))
    assert told == [0, 1]


@given(st.lists(st.integers(0, 40_000), max_size=200))
def test_no_more_than_so_many_and_so_much_is_unconfirmed(sizes: list[int]) -> None:
    told = Told()
    resumption = Resumption(told)
    resumption.welcomed(welcome())
    for index, size in enumerate(sizes, 1):
        resumption.count(size)
        since = told[-1]
        assert index - since < 16
        assert sum(sizes[since:index]) < 32 << 10
    assert resumption.received == len(sizes)
    assert told == sorted(told)


def test_it_is_not_chatty(told: Told) -> None:
    resumption = Resumption(told)
    resumption.welcomed(welcome())
    for _ in range(160):
        resumption.count(200)
    assert told == [0, *range(16, 161, 16)]


def test_a_server_that_holds_no_seats_is_told_nothing(told: Told) -> None:
    resumption = Resumption(told)
    resumption.welcomed(welcome(""))
    for _ in range(100):
        resumption.count(1000)
    assert told == []
    assert resumption.hello() == control.Hello(resume="", received=100)


def test_nothing_is_confirmed_between_hello_and_welcome(told: Told) -> None:
    """What was missed comes before the answer: a confirmation then would say that the new token has come."""
    resumption = Resumption(told)
    resumption.welcomed(welcome("one"))
    resumption.hello()
    told.clear()
    for _ in range(40):
        resumption.count(1000)
    assert told == []
    resumption.welcomed(welcome("two", resumed=True))
    assert told == [40]


def test_another_server_does_not_get_to_see_the_token(told: Told) -> None:
    resumption = Resumption(told)
    assert resumption.hello(server="a").resume == ""
    assert not resumption.elsewhere, "there is no seat anywhere"
    resumption.welcomed(welcome("one"))
    assert resumption.hello(7, server="b") == control.Hello(resume="")
    assert resumption.elsewhere
    # It did not answer: the first one still has the seat.
    assert resumption.hello(7, server="a") == control.Hello(resume="one", member=7)
    resumption.hello(server="b")
    resumption.welcomed(welcome("two"))
    assert resumption.hello(server="a").resume == ""
    assert resumption.hello(server="b").resume == "two"
