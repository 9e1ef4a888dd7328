"""One heartbeat that is missed is forgiven, two in a row are not."""

from __future__ import annotations

import asyncio

import pytest

from posewire.config import ConnectionConfig
from posewire.errors import ConnectionError
from posewire.sockets.heartbeat import Heartbeat


class Rig:
    """A heartbeat whose server answers as a script says: True for an answer; it ends with the script."""

    def __init__(self, answers: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.script = iter(answers)
        self.log: list[str] = []
        self.now = 1000.0
        self.heartbeat = Heartbeat(ask=self._ask, config=ConnectionConfig(heartbeat_interval=5000), missed=self._missed)
        monkeypatch.setattr("posewire.sockets.heartbeat.asyncio.sleep", self._sleep)
        monkeypatch.setattr("posewire.sockets.heartbeat.clock.now", lambda: self.now)

    async def _sleep(self, seconds: float) -> None:
        assert seconds == 5.0
        self.log.append("sleep")

    async def _ask(self) -> int:
        answer = next(self.script, None)
        if answer is None:
            raise asyncio.CancelledError  # as who runs it does
        self.now += 0.25
        self.log.append("ask")
        if answer == "-":
            raise ConnectionError("no answer")
        return round((self.now + 7) * 1e6)

    async def _missed(self) -> None:
        self.log.append("missed")

    async def run(self) -> list[str]:
        with pytest.raises(asyncio.CancelledError):
            await self.heartbeat.run()
        return self.log


@pytest.mark.parametrize(
    ("answers", "log"),
    [
        ("++", "sleep ask sleep ask sleep"),
        ("-+-+", "sleep ask ask sleep ask ask sleep"),
        ("--", "sleep ask ask missed sleep"),
        ("----+", "sleep ask ask missed sleep ask ask missed sleep ask sleep"),
        ("---+", "sleep ask ask missed sleep ask ask sleep"),
    ],
)
async def test_two_in_a_row_are_told_once(monkeypatch: pytest.MonkeyPatch, answers: str, log: str) -> None:
    assert await Rig(answers, monkeypatch).run() == log.split()


async def test_an_answer_tells_when_and_how_far(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig("+-", monkeypatch)
    await rig.run()
    assert (rig.heartbeat.last, rig.heartbeat.round_trip) == (1000.25, 0.25)


async def test_the_clock_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig("+++-", monkeypatch)
    await rig.heartbeat.time.begin(3)
    assert rig.heartbeat.clock.to_server(2000.0) == pytest.approx(2007.0, abs=0.2)
    with pytest.raises(ConnectionError):
        await rig.heartbeat.time.begin(1)


async def test_a_heartbeat_is_an_exchange_of_times_too(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig("+", monkeypatch)
    await rig.run()
    assert rig.heartbeat.clock.offset == pytest.approx(7.125)
