"""What is under way to a recipient, by looking."""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posewire.flow import Backlog
from tests.unit.flow.virtual_recipient import VirtualRecipient

STEP = 0.005


class Recipient:
    """A link of some rate and delay, and a sender that writes when the backlog says so."""

    def __init__(self, rate: Callable[[float], float], *, held: float = 0.04) -> None:
        self.rate = rate
        self.held = held
        """Seconds its kernel keeps confirmations back."""
        self.backlog = Backlog()
        self.now = self.start = 50.0
        self.ages: list[tuple[float, float]] = []
        """When each packet was offered, and its age when it came."""
        self.most = 0
        self._under_way: deque[list[float]] = deque()
        self._confirmed = 0.0
        self._acks: deque[tuple[float, float]] = deque()
        self._came = 0.0

    def spend(self, seconds: float, *, size: int, interval: float) -> None:
        end, due, newest = self.now + seconds, self.now, None
        while self.now < end:
            while self.now >= due:
                newest, due = due, due + interval
                self.backlog.offered += 0 if self.backlog.clear else size
            self._carry()
            self.backlog.look(self.now, round(self.backlog.written - self._confirmed), 0.01)
            if newest is not None and self.backlog.takes(size):
                self.backlog.wrote(size, self.now)
                self._under_way.append([float(size), newest])
                newest = None
            self.most = max(self.most, self.backlog.outstanding)
            self.now += STEP

    def _carry(self) -> None:
        budget = self.rate(self.now - self.start) * STEP
        while self._under_way and budget > 0:
            packet = self._under_way[0]
            part = min(packet[0], budget)
            packet[0] -= part
            budget -= part
            self._came += part
            if packet[0] <= 1e-9:
                self.ages.append((packet[1] - self.start, self.now - packet[1]))
                self._under_way.popleft()
        self._acks.append((self.now + self.held, self._came))
        while self._acks and self._acks[0][0] <= self.now:
            self._confirmed = self._acks.popleft()[1]


@pytest.mark.parametrize(("size", "interval"), [(115, 1 / 30), (115, 1 / 120), (640, 1 / 30), (9000, 1 / 60)])
def test_one_that_keeps_up_gets_everything_at_once(size: int, interval: float) -> None:
    recipient = Recipient(lambda _: 1e7)
    recipient.spend(5.0, size=size, interval=interval)
    assert recipient.backlog.clear
    assert max(age for _, age in recipient.ages) <= 2 * STEP + 1e-6


@pytest.mark.parametrize("rate", [4_000.0, 16_000.0, 64_000.0])
def test_a_slow_one_gets_about_a_packet_at_a_time(rate: float) -> None:
    size = 600
    recipient = Recipient(lambda _: rate)
    recipient.spend(15.0, size=size, interval=size / rate / 3)
    late = sorted(age for when, age in recipient.ages if when > 2)
    assert late[int(0.99 * len(late))] <= 2.5 * size / rate + 0.1
    # The rest is waiting for confirmations, which come 40 ms late; a fast link waits more of its time.
    assert len(late) * size / 13 >= 0.55 * rate
    assert recipient.backlog.rate == pytest.approx(rate, rel=0.5)


def test_a_link_that_becomes_slow_is_noticed_and_one_that_is_clear_again_too() -> None:
    recipient = Recipient(lambda t: 4_000.0 if 5 <= t < 15 else 1e6)
    recipient.spend(25.0, size=640, interval=1 / 30)
    assert max(age for _, age in recipient.ages) < 0.7
    during = [age for when, age in recipient.ages if 6 < when < 15]
    assert max(during) < 0.5
    assert len(during) >= 3 * 9
    after = [age for when, age in recipient.ages if when > 17]
    assert len(after) >= 0.98 * 8 * 30
    assert max(after) < 0.02


def test_progress_is_something_taken_or_nothing_left_to_take() -> None:
    backlog = Backlog()
    backlog.look(10.0, 0, 0.0)
    backlog.wrote(100, 10.0)
    backlog.look(30.0, 100, 0.0)
    assert backlog.progress_at == 30.0, "what was just written cannot be late"
    backlog.look(40.0, 100, 0.0)
    assert backlog.progress_at == 30.0
    backlog.look(41.0, 60, 0.0)
    assert backlog.progress_at == 41.0
    backlog.wrote(50, 41.0)
    backlog.look(50.0, 110, 0.0)
    assert backlog.progress_at == 41.0


@given(st.lists(st.tuples(st.floats(0.001, 0.3), st.integers(0, 5000), st.floats(0, 1)), max_size=60))
def test_it_never_counts_less_than_nothing_nor_more_than_was_written(steps: list[tuple[float, int, float]]) -> None:
    backlog = Backlog()
    now = 1.0
    for gap, size, share in steps:
        now += gap
        backlog.wrote(size, now)
        backlog.look(now, int(backlog.outstanding * share), 0.01)
        assert 0 <= backlog.outstanding <= backlog.written
        assert backlog.rate >= 0
        assert backlog.outstanding or backlog.takes(1 << 30)


# With sound ----------------------------------------------------------------------------------------------------------

DELAYS = (0.001, 0.005, 0.015, 0.025, 0.05, 0.1, 0.3)
SOUND, POSE, HOLISTIC = 110, 150, 660


def always_fast(_: float) -> float:
    return 1e7


def dips(now: float) -> float:
    return 4_000.0 if 5 <= now < 8 else 1e7


def pauses(now: float) -> float:
    return 0.0 if 5 <= now < 8 else 1e7


def slow_from_2(rate: float, now: float) -> float:
    return 1e7 if now < 2 else rate


@pytest.mark.parametrize("fault", [dips, pauses])
@pytest.mark.parametrize("delay", DELAYS)
@pytest.mark.parametrize(("sound", "pose"), [(0, POSE), (SOUND, POSE), (0, HOLISTIC), (SOUND, HOLISTIC)])
def test_after_a_bad_time_all_of_it_comes_again(
    fault: Callable[[float], float], delay: float, sound: int, pose: int
) -> None:
    """What goes through a small window is no rate of the link: it would stay small for ever."""
    recipient = VirtualRecipient(fault, delay, sound=sound, pose=pose)
    recipient.spend(20.0)
    assert recipient.back(8.0) <= 2.0 + 10 * delay
    assert recipient.fps(15, 19) >= 29
    assert recipient.age(15, 19) <= delay + 0.02


@pytest.mark.parametrize("delay", DELAYS)
@pytest.mark.parametrize("sound", [0, SOUND])
def test_who_joins_gets_everything(delay: float, sound: int) -> None:
    recipient = VirtualRecipient(always_fast, delay, sound=sound, pose=HOLISTIC)
    recipient.spend(5.0)
    assert recipient.back(0.0) == 0.0
    assert recipient.expired == 0


@pytest.mark.parametrize("delay", [0.001, 0.005, 0.015, 0.025, 0.05])
@pytest.mark.parametrize(("sound", "pose"), [(0, POSE), (SOUND, POSE), (0, HOLISTIC)])
def test_a_link_that_jitters_is_not_taken_for_a_slow_one(delay: float, sound: int, pose: int) -> None:
    recipient = VirtualRecipient(always_fast, delay, jitter=0.08, sound=sound, pose=pose)
    recipient.spend(25.0)
    assert recipient.fps(10, 24) >= 24
    assert recipient.age(10, 24, 0.99) <= delay + 0.08 + 0.03


@pytest.mark.parametrize("delay", [0.001, 0.005, 0.015, 0.025])
@pytest.mark.parametrize(
    ("rate", "pose", "fps"), [(4_000.0, HOLISTIC, 3.5), (16_000.0, HOLISTIC, 12), (4_000.0, POSE, 10)]
)
def test_on_a_slow_link_poses_stay_fresh(rate: float, pose: int, fps: float, delay: float) -> None:
    recipient = VirtualRecipient(functools.partial(slow_from_2, rate), delay, pose=pose)
    recipient.spend(20.0)
    assert recipient.fps(5, 19) >= fps
    assert recipient.age(5, 19, 0.97) <= delay + 2 * (pose + 52) / rate + 0.1


@pytest.mark.parametrize("delay", [0.001, 0.005, 0.015, 0.025, 0.05])
def test_sound_that_does_not_fit_leaves_something_for_poses(delay: float) -> None:
    """Sound is 8.1 kB a second, and goes first."""
    recipient = VirtualRecipient(functools.partial(slow_from_2, 8_000.0), delay, sound=SOUND)
    recipient.spend(20.0)
    assert recipient.fps(5, 19) >= 3
    assert recipient.age(5, 19, 0.99) <= 0.5
    sounds = [sound for sound in recipient.sounds if 5 <= sound.at < 19]
    assert len(sounds) >= 0.35 * 14 * 50
