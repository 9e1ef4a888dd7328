"""Reports: every frame within a second, a fifth of one while they come late, never more than ten a second."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from posewire.errors import ConnectionError
from posewire.monitor import StreamStats
from posewire.protocol import control
from posewire.receiver.reporter import Reporter
from tests.unit.receiver.test_receiver import Path
from tests.unit.sender.fakes import FakeLane, FakeSocket


class Lane(FakeLane):
    def __init__(self) -> None:
        super().__init__()
        self.told: list[control.ReceiverReport] = []
        self.confirmed = 0
        self.gone = False

    def tell(self, event: str, data: Any) -> None:
        if self.gone:
            raise ConnectionError("gone")
        assert event == control.REPORT
        self.told.append(control.from_plain(data, control.ReceiverReport, what="report"))

    def confirm_now(self) -> None:
        self.confirmed += 1


class Timer:
    def __init__(self, at: float, callback: Callable[[], None]) -> None:
        self.at = at
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Rig:
    """Frames at 30 a second, on a clock of its own that also runs the timers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self.lane = Lane()
        self.timers: list[Timer] = []
        socket = FakeSocket()
        socket.fake_lane = self.lane
        self.socket = socket
        self.stats: dict[tuple[str, str], StreamStats] = {}
        self.reporter = Reporter(socket, self.stats)
        self.seq = 0
        self.chance = 1.0
        monkeypatch.setattr("posewire.receiver.reporter.random.random", lambda: self.chance)
        monkeypatch.setattr("posewire.receiver.reporter.asyncio.get_running_loop", lambda: self)

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        self.timers.append(Timer(self.now + delay, callback))
        return self.timers[-1]

    def wait(self, seconds: float) -> None:
        self.now += seconds
        for timer in self.timers:
            if not timer.cancelled and timer.at <= self.now:
                timer.cancelled = True
                timer.callback()

    def frame(self, age: float = 0.01, stream: str = "pose") -> None:
        self.seq += 1
        stats = self.stats.setdefault(("bob", stream), StreamStats("bob", stream, number=1))
        stats.observe(now=self.now, age=age, size=100, seq=self.seq, member=2)
        self.reporter.observe(stats, self.now)

    def run(self, seconds: float, age: float = 0.01) -> None:
        for _ in range(round(30 * seconds)):
            self.wait(1 / 30)
            self.frame(age)

    @property
    def frames(self) -> int:
        return sum(stream.frames for report in self.lane.told for stream in report.streams)


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Rig:
    return Rig(monkeypatch)


def test_once_a_second_while_all_is_well(rig: Rig) -> None:
    rig.run(10)
    assert 9 <= len(rig.lane.told) <= 10
    assert rig.lane.confirmed == 0
    rig.wait(1.01)
    assert rig.frames == rig.seq, "every frame once, also the last"
    count = len(rig.lane.told)
    rig.wait(100)
    assert len(rig.lane.told) == count, "who gets nothing has nothing to report"


@pytest.mark.parametrize(("chance", "least", "most"), [(0.0, 14, 20), (1.0, 8, 10)])
def test_five_to_ten_a_second_while_they_come_late(rig: Rig, chance: float, least: int, most: int) -> None:
    rig.chance = chance
    rig.run(1)
    before = len(rig.lane.told)
    rig.run(2, age=0.2)
    reports = rig.lane.told[before:]
    assert least <= len(reports) <= most
    assert reports[-1].streams[0].queueing == pytest.approx(190)
    assert rig.lane.confirmed > 50


def test_what_a_report_says(rig: Rig) -> None:
    rig.frame()
    rig.wait(1.01)
    assert rig.lane.told[-1].streams[0].frames == 1
    rig.stats["bob", "pose"].render_lag = 0.03
    rig.seq += 2
    for age in (0.02, 0.03, 0.04):
        rig.frame(age)
    rig.wait(1.01)
    (stream,) = rig.lane.told[-1].streams
    assert (stream.member, stream.stream, stream.seq) == (2, 1, rig.seq)
    assert (stream.frames, stream.lost) == (3, 2)
    assert [stream.age_p50, stream.render_lag] == pytest.approx([30, 30])
    rig.frame()
    rig.wait(1.01)
    assert rig.lane.told[-1].streams[0].render_lag == 0, "since the last report"


def test_without_a_connection_nothing_is_raised(rig: Rig) -> None:
    rig.lane.gone = True
    rig.run(2)
    rig.socket.fake_lane = None
    rig.run(2, age=0.5)
    assert rig.lane.told == []
    rig.lane.gone = False
    rig.socket.fake_lane = rig.lane
    rig.run(1.1)
    assert rig.lane.told


def test_at_most_256_streams_a_report(rig: Rig) -> None:
    for index in range(300):
        rig.frame(stream=f"s{index}")
    rig.wait(1.01)
    assert len(rig.lane.told[-1].streams) == 256


def test_no_timer_is_left(rig: Rig) -> None:
    rig.frame()
    rig.frame()
    rig.reporter.close()
    assert all(timer.cancelled for timer in rig.timers)
    rig.reporter.close()


async def test_a_stream_that_comes_back_under_another_number_is_reported_under_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Once: the number of the first frame ever was reported for ever: the wrong stream of a member that came back.
    path = Path(monkeypatch)
    path.pose()
    (stats,) = path.receiver._stats.values()
    stats.number = 200
    path.pose()
    assert stats.interval().number == 1
    path.receiver.end()
