"""How often one may try."""

from __future__ import annotations

import itertools
from collections import defaultdict

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from posewire import SecurityConfig
from posewire.server import login_limiter
from posewire.server.login_limiter import LoginLimiter, network_of


def fail(limiter: LoginLimiter, address: str, name: str, now: float, times: int = 1) -> list[float]:
    return [limiter.attempt(address, name, now=now) for _ in range(times)]


def test_one_address_that_tries_many_names() -> None:
    limiter = LoginLimiter(address=(3, 6.0))
    waits = [limiter.attempt("10.0.0.1", f"user{n}", now=100.0) for n in range(4)]
    assert waits == [0, 0, 0, 6.0]
    assert limiter.attempt("10.0.0.2", "user9", now=100.0) == 0, "others do not notice"
    assert limiter.attempt("10.0.0.1", "user9", now=105.0) == pytest.approx(1.0)
    assert fail(limiter, "10.0.0.1", "user9", 106.0, 2) == [0, 6.0]


def test_one_address_that_tries_one_name() -> None:
    limiter = LoginLimiter(address=(100, 1.0), name=(2, 30.0))
    assert fail(limiter, "10.0.0.1", "alice", 0.0, 3) == [0, 0, 30.0]
    assert limiter.attempt("10.0.0.1", "bob", now=0.0) == 0
    assert limiter.attempt("10.0.0.2", "alice", now=0.0) == 0, "a stranger's failures are his own"


def test_many_addresses_that_try_one_name_do_not_shut_out_whom_it_knows() -> None:
    limiter = LoginLimiter(strangers=(20, 10.0))
    assert limiter.attempt("192.0.2.1", "alice", now=0.0) == 0
    limiter.succeeded("192.0.2.1", "alice")
    now = 0.0
    for n in range(1000):
        now += 1
        limiter.attempt(f"10.0.{n // 256}.{n % 256}", "alice", now=now)
    assert limiter.attempt("10.9.9.9", "alice", now=now) > 0, "all strangers together are slow"
    assert fail(limiter, "192.0.2.1", "alice", now, 6) == [0, 0, 0, 0, 0, 30.0], "her own limit holds at home"
    assert limiter.attempt("10.9.9.9", "bob", now=now) == 0


def test_one_stranger_alone_cannot_close_the_lane_of_strangers() -> None:
    limiter = LoginLimiter()
    for second in range(10_000):
        limiter.attempt("10.0.0.1", "alice", now=float(second))
    assert limiter.attempt("192.0.2.1", "alice", now=10_000.0) == 0


def test_a_success_gives_back_what_it_cost_and_no_more() -> None:
    limiter = LoginLimiter(address=(3, 6.0))
    fail(limiter, "10.0.0.1", "alice", 0.0, 2)
    for _ in range(50):
        # An attacker with an account of his own.
        assert limiter.attempt("10.0.0.1", "mallory", now=0.0) == 0
        limiter.succeeded("10.0.0.1", "mallory")
    assert fail(limiter, "10.0.0.1", "alice", 0.0, 2) == [0, 6.0]


def test_many_sessions_of_one_house_log_in_at_once() -> None:
    limiter = LoginLimiter()
    for _ in range(1000):
        assert limiter.attempt("10.0.0.1", "robot", now=0.0) == 0
        limiter.succeeded("10.0.0.1", "robot")


def test_what_is_refused_is_not_charged() -> None:
    limiter = LoginLimiter(address=(1, 6.0))
    limiter.attempt("10.0.0.1", "alice", now=0.0)
    assert set(fail(limiter, "10.0.0.1", "alice", 1.0, 100)) == {5.0}
    assert limiter.attempt("10.0.0.1", "alice", now=6.0) == 0


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("?", "?"),
        ("", ""),
    ],
)
def test_what_counts_as_one_place(address: str, network: str) -> None:
    assert network_of(address) == network


def test_settings() -> None:
    limiter = LoginLimiter.from_config(SecurityConfig(login_burst=2, login_interval=500))
    assert fail(limiter, "10.0.0.1", "alice", 0.0, 3) == [0, 0, 0.5]
    defaults = LoginLimiter.from_config(SecurityConfig())
    own = LoginLimiter()
    for lane in ("_addresses", "_pairs", "_strangers"):
        assert vars(getattr(defaults, lane)) == vars(getattr(own, lane))


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login_limiter, "MAX_KEYS", 100)
    limiter = LoginLimiter()
    for n in range(2000):
        limiter.attempt(f"10.0.{n // 256}.{n % 256}", f"user{n}", now=0.0)
        limiter.succeeded(f"10.1.{n // 256}.{n % 256}", f"user{n}")
    assert len(limiter) <= 4 * 100


def test_those_charged_longest_ago_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login_limiter, "MAX_KEYS", 100)
    limiter = LoginLimiter(address=(2, 60.0), name=(9, 60.0))
    for n in range(160):
        if n in (0, 70):
            assert limiter.attempt("192.0.2.1", "alice", now=0.0) == 0
        limiter.attempt(f"10.0.0.{n}", f"user{n}", now=0.0)
    assert limiter.attempt("192.0.2.1", "alice", now=0.0) > 0


def test_what_is_full_again_is_dropped() -> None:
    limiter = LoginLimiter()
    for n in range(500):
        limiter.attempt(f"10.0.{n // 256}.{n % 256}", f"user{n}", now=0.0)
    before = len(limiter)
    for n in range(300):
        limiter.attempt(f"10.1.{n // 256}.{n % 256}", f"user{n}x", now=1000.0)
    assert len(limiter) < before


def test_one_address_cannot_have_itself_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a table 65 times smaller than it is, an address that tries names all the time gains nothing by it."""
    monkeypatch.setattr(login_limiter, "MAX_KEYS", 1000)
    limiter = LoginLimiter()
    tries = 0
    names = itertools.count()
    for tenth in range(20_000):
        now = tenth / 10
        tries += limiter.attempt("10.0.0.1", "alice", now=now) == 0
        limiter.attempt("10.0.0.1", f"other{next(names)}", now=now)
    assert tries <= 5 + 2000 / 30 + 1


LIMITS = {"address": (3, 2.0), "pair": (2, 5.0), "name": (6, 1.5)}


class Attack(RuleBasedStateMachine):
    """However the attempts come, no lane lets more through than its burst and what flowed in since."""

    def __init__(self) -> None:
        super().__init__()
        address, pair, name = LIMITS.values()
        self.limiter = LoginLimiter(address=address, name=pair, strangers=name)
        self.now = 0.0
        self.failed: dict[tuple[str, ...], list[float]] = defaultdict(list)
        self.known: set[tuple[str, str]] = set()

    places = st.sampled_from(["10.0.0.1", "10.0.0.2", "2001:db8::1", "2001:db8::2"])
    names = st.sampled_from(["alice", "bob"])

    @rule(seconds=st.floats(0, 20))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(address=places, name=names, right=st.booleans())
    def attempt(self, address: str, name: str, right: bool) -> None:
        place = network_of(address)
        wait = self.limiter.attempt(address, name, now=self.now)
        if wait > 0:
            # Whoever waits as long as he was told gets in.
            assert self.limiter.attempt(address, name, now=self.now) == wait
            self.now += wait
            assert self.limiter.attempt(address, name, now=self.now) == 0
        if right:
            self.limiter.succeeded(address, name)
            self.known.add((place, name))
            return
        self.failed["address", place].append(self.now)
        self.failed["pair", place, name].append(self.now)
        if (place, name) not in self.known:
            self.failed["name", name].append(self.now)

    @invariant()
    def no_lane_lets_more_through(self) -> None:
        for (kind, *_), times in self.failed.items():
            burst, interval = LIMITS[kind]
            for first, last in itertools.combinations(range(len(times)), 2):
                span = times[last] - times[first]
                assert last - first + 1 <= burst + span / interval + 1e-3


TestAttack = Attack.TestCase


@given(st.text(), st.text(), st.text())
def test_any_text_is_an_address_and_a_name(address: str, name: str, other: str) -> None:
    limiter = LoginLimiter(address=(1, 1.0))
    assert limiter.attempt(address, name, now=0.0) == 0
    assert limiter.attempt(address, other, now=0.0) > 0
    assume(network_of(address) != network_of(other))
    assert limiter.attempt(other, other, now=0.0) == 0
