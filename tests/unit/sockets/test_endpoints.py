"""Which server comes next."""

from __future__ import annotations

from typing import Any

import pytest

from posewire.errors import ConfigurationError, SecurityError
from posewire.sockets.endpoints import Endpoints

A, B, C = "http://a:1", "http://b:2", "https://c"


def three() -> Endpoints:
    endpoints = Endpoints(A)
    endpoints.set([A, B, C])
    return endpoints


def tried(endpoints: Endpoints, now: float, works: str = "") -> list[str]:
    """Make a round of attempts, in which one server works; returns who was tried."""
    urls = []
    for endpoint in endpoints.candidates(now):
        urls.append(endpoint.url)
        if endpoint.url == works:
            endpoints.arrived(endpoint)
            break
        endpoint.failed(now)
    return urls


def test_the_current_one_first_then_the_others_round_the_list() -> None:
    endpoints = three()
    assert tried(endpoints, 0.0, works=B) == [A, B]
    assert endpoints.current.url == B
    assert endpoints.next(0.0) == C
    assert tried(endpoints, 0.0) == [B, C, A]


def test_one_that_fails_three_times_is_left_out_for_a_while() -> None:
    endpoints = three()
    for _ in range(3):
        assert tried(endpoints, 0.0, works=B)[-1] == B
        endpoints.set([A, B, C])
    # B is the current one; A failed once. Let B and A fail until they are left out.
    for _ in range(3):
        tried(endpoints, 0.0, works=C)
        endpoints._current = endpoints._known[0]
    assert tried(endpoints, 0.5, works=C) == [C]
    usage = endpoints.usage(0.5)
    assert [usage[url].breaker for url in (A, B, C)] == ["open", "open", "closed"]
    assert usage[A].retry_in == 0.5
    assert usage[C].current
    assert not usage[A].current
    assert usage[C].uses == 4
    assert endpoints.usage(1.0)[A].breaker == "half_open"
    assert tried(endpoints, 1.0) == [C, A, B]


def test_when_all_are_left_out_the_one_that_is_soonest_due_is_tried() -> None:
    endpoints = three()
    for now in (0.0, 0.1, 0.2):
        assert tried(endpoints, now) == [A, B, C]
    assert tried(endpoints, 0.3) == [A]
    assert endpoints.usage(0.3)[A].failures == 4


def test_a_single_one_is_always_tried() -> None:
    endpoints = Endpoints(A)
    assert [tried(endpoints, 0.0) for _ in range(9)] == [[A]] * 9
    assert endpoints.next(0.0) == A


def test_next_prefers_one_that_is_not_left_out() -> None:
    endpoints = three()
    endpoints.arrived(endpoints.current)
    for _ in range(3):
        endpoints._known[1].failed(0.0)
    assert endpoints.next(0.0) == C
    assert endpoints.next(2.0) == B


def test_what_is_known_of_one_that_stays_is_kept() -> None:
    endpoints = three()
    tried(endpoints, 0.0, works=B)
    endpoints.set([C, B + "/"])
    assert endpoints.urls == (C, B)
    assert endpoints.usage(0.0)[B].uses == 1
    assert endpoints.current.url == B
    endpoints.set([C])
    assert endpoints.current.url == B, "until it is lost"
    assert tried(endpoints, 0.0, works=C) == [C]
    assert endpoints.current.url == C


def test_a_session_that_is_nowhere_yet_begins_with_the_first() -> None:
    endpoints = Endpoints(B)
    endpoints.set([A, B])
    assert tried(endpoints, 0.0) == [A, B]


@pytest.mark.parametrize(
    "urls",
    [
        [],
        "http://a:1",
        [A, A],
        [A, A + "/"],
        [A, "ftp://b"],
        [A, "b:2"],
        [A, 7],
        None,
        [f"http://h{number}" for number in range(65)],
        {A},
    ],
)
def test_a_list_that_cannot_be_leaves_the_old_one(urls: Any) -> None:
    endpoints = three()
    with pytest.raises(ConfigurationError, match="expected"):
        endpoints.set(urls)
    assert endpoints.urls == (A, B, C)


def test_one_that_is_not_allowed_leaves_the_old_list() -> None:
    def allowed(url: str) -> None:
        if url == C:
            raise SecurityError("plain-text link", url)

    endpoints = Endpoints(A)
    endpoints.allowed = allowed
    with pytest.raises(SecurityError):
        endpoints.set([B, C])
    assert endpoints.urls == (A,)
