"""Which frames of a video are looked at, and when: on a clock that only the tracker and the pauses move."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from posewire.errors import DataValidationError, PoseError
from posewire.protocol import PoseData, body_v2
from posewire.sources.backend import Track
from posewire.sources.messages import Ended, Job, Message, Opened, Seen
from posewire.sources.watching import watch

WAKING = 2.0
"""Seconds that the first frame takes."""


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds


class Film:
    """A backend, and the capture of it: frames at ``times``; looking at one takes ``effort`` seconds."""

    width, height, fps = 640, 360, 10.0

    def __init__(
        self, clock: Clock, times: Sequence[float], *, effort: float = 0.0, claims: int = 0, bad: Sequence[int] = ()
    ) -> None:
        self.frames = claims
        self.opened = self.closed = 0
        self.looked: list[int] = []
        self._clock = clock
        self._times = times
        self._effort = effort
        self._bad = bad
        self._grabbed: Iterator[tuple[int, float]] = iter(())
        self._at = 0

    def open_capture(self, job: Job) -> Film:
        self.opened += 1
        self._grabbed = iter(enumerate(self._times))
        return self

    def open_tracker(self, job: Job) -> Track:
        def track(image: int) -> PoseData:
            self._clock.now += self._effort if self.looked else WAKING
            self.looked.append(image)
            return PoseData(np.full((33, 4), image, dtype=np.float32))

        return track

    def grab(self) -> float | None:
        self._at, at = next(self._grabbed, (-1, None))
        return at

    def image(self) -> Any:
        return None if self._at in self._bad else self._at

    def close(self) -> None:
        self.closed += 1


def watched(film: Film, clock: Clock, *, go: Callable[[], bool] = lambda: True, **job: Any) -> list[Message]:
    told: list[Message] = []
    watch(Job(video="film", backend="", **job), film, told.append, go=go, monotonic=clock, pause=clock.pause)
    return told


def seen(told: list[Message]) -> list[Seen]:
    return [message for message in told if isinstance(message, Seen)]


def captured(told: list[Message]) -> list[float]:
    """Capture times, from that of the first frame."""
    times = [message.captured for message in seen(told)]
    return [round(time - times[0], 6) for time in times]


def tenths(count: int) -> list[float]:
    return [index / 10 for index in range(count)]


def test_a_quick_tracker_sees_every_frame_at_its_time() -> None:
    clock = Clock()
    film = Film(clock, tenths(5), effort=0.03, claims=5)
    told = watched(film, clock)
    assert told[0] == Opened(640, 360, 10.0, 5)
    assert told[-1] == Ended(0)
    assert film.looked == [0, 1, 2, 3, 4]
    assert captured(told) == tenths(5)
    # The clock starts when the first frame has been looked at, and its capture time is then: it is not two seconds old.
    assert seen(told)[0].captured == 1000 + WAKING
    assert clock.now == pytest.approx(1000 + WAKING + 0.4 + 0.03)
    assert [round(message.tracking, 6) for message in seen(told)] == [WAKING, 0.03, 0.03, 0.03, 0.03]
    assert body_v2.decode_pose(seen(told)[3].body, timestamp=0) == PoseData(np.full((33, 4), 3, dtype=np.float32))


def test_a_slow_tracker_sees_the_newest_that_is_due_and_the_others_are_counted() -> None:
    clock = Clock()
    film = Film(clock, tenths(20), effort=0.33)
    told = watched(film, clock)
    # When the one at 0.1 s is done it is 0.43 s: that at 0.4 s is the newest. Then it is 0.76 s, and so on.
    assert film.looked == [0, 1, 4, 7, 10, 14, 17]
    assert told[-1] == Ended(13)
    assert seen(told)[-1].skipped == 11
    # The stamps stay those of the file, however late they were looked at.
    assert captured(told) == [index / 10 for index in film.looked]


def test_times_of_a_variable_rate_are_kept() -> None:
    clock = Clock()
    times = [5.0, 5.01, 5.5, 5.6, 7.0]
    film = Film(clock, times, effort=0.001)
    assert captured(watched(film, clock)) == [0.0, 0.01, 0.5, 0.6, 2.0]
    assert clock.now == pytest.approx(1000 + WAKING + 2.001)
    assert captured(watched(Film(clock, times), clock, fps=2)) == [0.0, 0.5, 1.0, 1.5, 2.0]


def test_rounds_follow_each_other_one_step_apart() -> None:
    clock = Clock()
    film = Film(clock, tenths(3), effort=0.01)
    told = watched(film, clock, loop=True, seconds=0.75)
    assert film.looked == [0, 1, 2, 0, 1, 2, 0, 1]
    assert captured(told) == tenths(8)
    assert (film.opened, film.closed) == (3, 2)


def test_every_frame_means_every_frame_and_no_pause() -> None:
    clock = Clock()
    film = Film(clock, tenths(5), effort=0.35)
    told = watched(film, clock, every_frame=True)
    assert film.looked == [0, 1, 2, 3, 4]
    assert captured(told) == tenths(5)
    clock = Clock()
    film = Film(clock, tenths(5), effort=0.001)
    watched(film, clock, every_frame=True)
    assert clock.now == pytest.approx(1000 + WAKING + 0.004)


def test_a_frame_that_cannot_be_decoded_is_left_out() -> None:
    clock = Clock()
    film = Film(clock, tenths(4), bad=[1, 2])
    told = watched(film, clock)
    assert film.looked == [0, 3]
    assert told[-1] == Ended(2)


@pytest.mark.parametrize(("there", "claims", "words"), [(0, 0, "0.00 s of 0.00 s"), (8, 10, "0.80 s of 1.00 s")])
def test_a_file_that_ends_too_early_is_damaged(there: int, claims: int, words: str) -> None:
    clock = Clock()
    with pytest.raises(DataValidationError, match=f"Invalid video: film - damaged: it ends after {words}"):
        watched(Film(clock, tenths(there), claims=claims), clock)
    # Containers count roughly.
    assert watched(Film(clock, tenths(9), claims=10), clock)[-1] == Ended(0)


def test_a_container_that_guesses_its_frames_is_not_damaged() -> None:
    clock = Clock()
    # Six frames in two seconds; Matroska says 30 frames a second, so OpenCV says 20 frames at 10.
    told = watched(Film(clock, [0.0, 0.01, 0.5, 0.6, 0.633, 2.0], claims=20), clock)
    assert told[-1] == Ended(0)


def test_nothing_is_looked_at_before_somebody_asks() -> None:
    clock = Clock()
    film = Film(clock, tenths(5))
    assert watched(film, clock, go=lambda: False) == [Opened(640, 360, 10.0, 0)]
    assert film.looked == []


class LiveFilm(Film):
    """A camera: its images come one a second of the clock, without end or until ``times`` is over."""

    def grab(self) -> float | None:
        at = super().grab()
        return None if at is None else 0.0


def test_a_camera_that_stops_is_an_error() -> None:
    clock = Clock()
    told: list[Message] = []
    with pytest.raises(PoseError, match="camera 2 delivers no more images"):
        watch(Job(camera=2, backend=""), LiveFilm(clock, tenths(3)), told.append, go=lambda: True, monotonic=clock)
    # The reading thread runs ahead as it likes; what it replaced is counted, and nothing is lost without being counted.
    looked = [body_v2.decode_pose(message.body, timestamp=0) for message in seen(told)]
    assert looked


def test_a_camera_for_some_time() -> None:
    ticks = itertools.count()

    def clock() -> float:
        return float(next(ticks))

    told: list[Message] = []
    film = LiveFilm(Clock(), [0.0] * 1_000_000)
    watch(Job(camera=0, backend="", seconds=100), film, told.append, go=lambda: True, monotonic=clock)
    times = [message.captured for message in seen(told)]
    assert times == sorted(times)
    assert times[-1] - times[0] < 100
    assert isinstance(told[-1], Ended)
    assert told[-1].skipped >= seen(told)[-1].skipped
