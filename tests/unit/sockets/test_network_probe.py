"""How soon a server that is back is noticed, by virtual time and a network that a test makes up."""

from __future__ import annotations

import asyncio
import random
from types import SimpleNamespace
from typing import Any

import pytest

from posewire.sockets.network_probe import NetworkProbe
from tests.unit.sockets.virtual_loop import run


class Network:
    """A server that answers, refuses or is not there, as a script says, by time.

    Attributes:
        up: When it answers: from, to.
        dials: When somebody tried, and whom.
        cut: Connections that were ended.
    """

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, *up: tuple[float, float], silent: bool = False, takes: float = 0.0
    ) -> None:
        self.up = up
        self.silent = silent
        self.takes = takes
        self.dials: list[float] = []
        self.addresses: set[tuple[Any, Any]] = set()
        self.cut = 0
        monkeypatch.setattr("posewire.sockets.network_probe.asyncio.open_connection", self._open)

    async def _open(self, host: Any, port: Any) -> tuple[None, Any]:
        now = asyncio.get_running_loop().time()
        self.dials.append(now)
        self.addresses.add((host, port))
        if not any(begin <= now < end for begin, end in self.up):
            await asyncio.sleep(1e9 if self.silent else 0.0)
            raise ConnectionRefusedError("refused")
        await asyncio.sleep(self.takes)
        return None, SimpleNamespace(transport=SimpleNamespace(abort=self._abort))

    def _abort(self) -> None:
        self.cut += 1


def waits(seconds: float, *, url: str = "http://host:5000", round_trip: float = 0.0, again: int = 0) -> list[float]:
    """Wait that long, and again; returns how long each took."""

    async def main() -> list[float]:
        probe = NetworkProbe(url, random.Random(7))
        probe.lost()
        loop, took = asyncio.get_running_loop(), []
        for _ in range(again + 1):
            begun = loop.time()
            await probe.wait(seconds, round_trip=round_trip)
            took.append(loop.time() - begun)
        return took

    return run(main())


@pytest.mark.parametrize(("silent", "least"), [(False, 10.0), (True, 10.0)])
def test_without_a_server_it_waits_all_the_time(monkeypatch: pytest.MonkeyPatch, silent: bool, least: float) -> None:
    network = Network(monkeypatch, silent=silent)
    (took,) = waits(10.0)
    # The last look may be under way when the time is over.
    assert least <= took <= least + 0.25
    assert len(network.dials) >= 10.0 / (0.45 if silent else 0.2) - 1
    assert network.cut == 0


def test_a_server_that_is_back_ends_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network(monkeypatch, (3.0, 99.0))
    (took,) = waits(10.0)
    assert 3.0 <= took <= 3.2
    assert network.cut == 1
    gaps = [later - sooner for sooner, later in zip(network.dials, network.dials[1:], strict=False)]
    assert all(0.1 <= gap <= 0.2 + 1e-9 for gap in gaps)


@pytest.mark.parametrize(("takes", "noticed"), [(0.9, True), (2.9, True), (3.1, False)])
def test_one_whose_answer_takes_long_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, takes: float, noticed: bool
) -> None:
    network = Network(monkeypatch, (0.0, 999.0), takes=takes)
    (took,) = waits(10.0, round_trip=1.0)
    assert took == pytest.approx(takes if noticed else 10.0, abs=0.3)
    assert network.cut == noticed
    # It does not wait for one answer before it asks again: the first question may have been lost.
    gaps = [later - sooner for sooner, later in zip(network.dials, network.dials[1:], strict=False)]
    assert all(0.1 <= gap <= 0.2 + 1e-9 for gap in gaps[:-1])


def test_one_that_answers_and_lets_nobody_in_is_no_reason_to_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    Network(monkeypatch, (0.0, 999.0))
    first, *others = waits(5.0, again=2)
    assert first <= 0.2
    assert all(took == pytest.approx(5.0, abs=0.01) for took in others)


def test_one_that_goes_and_comes_again_is(monkeypatch: pytest.MonkeyPatch) -> None:
    Network(monkeypatch, (0.0, 2.0), (4.0, 999.0))
    first, second = waits(9.0, again=1)
    assert first <= 0.2
    assert 4.0 <= first + second <= 4.25


def test_no_time_no_look(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network(monkeypatch)
    assert waits(0.0) == [0.0]
    assert network.dials == []


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://host:5000", ("host", 5000)),
        ("http://host", ("host", 80)),
        ("https://host", ("host", 443)),
        ("https://[::1]:8443", ("::1", 8443)),
    ],
)
def test_where_it_looks(monkeypatch: pytest.MonkeyPatch, url: str, address: tuple[str, int]) -> None:
    network = Network(monkeypatch, (0.0, 99.0))
    waits(1.0, url=url)
    assert network.addresses == {address}


def test_cancelling_is_safe(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network(monkeypatch, silent=True)

    async def main() -> None:
        probe = NetworkProbe("http://host:5000", random.Random(7))
        task = asyncio.get_running_loop().create_task(probe.wait(10.0, round_trip=0.0), name="test.wait")
        await asyncio.sleep(0.25)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())
    assert len(network.dials) >= 1
