"""A recipient behind a link that exists only on paper, and a sender that goes by what its kernel has confirmed."""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Callable
from typing import Final

import msgspec

from posewire.flow import Backlog

LOOK: Final = 0.01
"""Seconds between two looks while something waits, as the flusher does it."""
HELD: Final = 0.04
"""Seconds the other kernel keeps confirmations back while it has nothing to send."""
SOUND_EVERY: Final = 0.02
SOUND_AGE: Final = 1.0
POSE_EVERY: Final = 1 / 30
_STEP: Final = 0.001
_HEADERS: Final = 52
"""Of TCP and IP, around what is written."""


class Came(msgspec.Struct, gc=False):
    """A message that came: when it was made and how old it was then, seconds."""

    at: float
    age: float


class _Packet(msgspec.Struct, gc=False):
    size: int
    at: float
    to: list[Came]


class VirtualRecipient:
    """Sound in order within its age, then the newest pose: what a mailbox does, without its references.

    Args:
        rate: Bytes a second of the link down, by seconds since the start; 0 is an outage.
        delay: Seconds each way.
        jitter: Seconds a packet may take longer, each way; none overtakes another.
        sound: Bytes of a chunk of sound every 20 ms; 0 for none.
        pose: Bytes of a pose, 30 times a second.
    """

    def __init__(
        self, rate: Callable[[float], float], delay: float, *, jitter: float = 0.0, sound: int = 0, pose: int = 150
    ) -> None:
        self.backlog = Backlog()
        self.poses: list[Came] = []
        self.sounds: list[Came] = []
        self.expired = 0
        self.now = 0.0
        self._rate, self._delay, self._jitter = rate, delay, jitter
        self._sound, self._pose = sound, pose
        self._chance = random.Random(7)
        self._line: deque[_Packet] = deque()
        self._left_of_head = 0.0
        self._flight: deque[tuple[float, _Packet]] = deque()
        self._last_arrival = 0.0
        self._came = self._confirmed = 0
        self._held_since: float | None = None
        self._confirmations: deque[tuple[float, int]] = deque()
        self._waiting_sound: deque[float] = deque()
        self._waiting_pose: float | None = None
        self._next_sound = self._next_pose = 0.0
        self._next_look = 0.0
        self._sound_since = 0

    def spend(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now + seconds
        while self.now < end:
            if self._sound and self.now >= self._next_sound:
                self._waiting_sound.append(self.now)
                self._next_sound += SOUND_EVERY
                self._offer(self._sound)
            if self.now >= self._next_pose:
                self._waiting_pose = self.now
                self._next_pose += POSE_EVERY
                self._offer(self._pose)
            if self.now >= self._next_look and (self._waiting_sound or self._waiting_pose is not None):
                self._flush()
            self._carry()
            self.now += _STEP

    def fps(self, start: float, end: float) -> float:
        """Return how many poses a second came of those made between two times."""
        return sum(start <= pose.at < end for pose in self.poses) / (end - start)

    def age(self, start: float, end: float, share: float = 1.0) -> float:
        """Return the age that this share of those poses was below, seconds; infinite when none came."""
        ages = sorted(pose.age for pose in self.poses if start <= pose.at < end)
        return ages[min(len(ages) - 1, int(share * len(ages)))] if ages else math.inf

    def back(self, start: float) -> float:
        """Return for how many seconds after ``start`` less than 28 poses a second came, or later than it must be."""
        late = 2 * self._jitter + self._delay + 0.1
        fine = sorted(pose.at for pose in self.poses if pose.at >= start and pose.age <= late)
        for first, last in zip(fine, fine[27:], strict=False):
            if last - first <= 1.0:
                return first - start
        return math.inf

    def _offer(self, size: int) -> None:
        if not self.backlog.clear:
            self.backlog.offered += size
        self._flush()

    def _flush(self) -> None:
        self._next_look = self.now + LOOK
        while True:
            while self._waiting_sound and self.now - self._waiting_sound[0] > SOUND_AGE:
                self._waiting_sound.popleft()
                self.expired += 1
            if not self._waiting_sound and self._waiting_pose is None:
                return
            self.backlog.look(self.now, self.backlog.written - self._confirmed, 2 * self._delay)
            turn = self._waiting_pose is not None and self._sound_since >= 2 * self._pose
            sound = bool(self._waiting_sound) and not turn
            size = self._sound if sound else self._pose
            if not self.backlog.takes(size, urgent=sound):
                return
            self._sound_since = self._sound_since + size if sound else 0
            if sound:
                at, to = self._waiting_sound.popleft(), self.sounds
            else:
                assert self._waiting_pose is not None
                at, to = self._waiting_pose, self.poses
                self._waiting_pose = None
            self.backlog.wrote(size, self.now)
            self._line.append(_Packet(size, at, to))

    def _carry(self) -> None:
        budget = self._rate(self.now) * _STEP
        while self._line and budget > 0:
            if self._left_of_head <= 0:
                self._left_of_head = float(self._line[0].size + _HEADERS)
            part = min(budget, self._left_of_head)
            self._left_of_head -= part
            budget -= part
            if self._left_of_head <= 1e-9:
                self._left_of_head = 0.0
                self._last_arrival = max(self._last_arrival, self.now + self._delay + self._extra())
                self._flight.append((self._last_arrival, self._line.popleft()))
        while self._flight and self._flight[0][0] <= self.now:
            _, packet = self._flight.popleft()
            packet.to.append(Came(packet.at, self.now - packet.at))
            self._came += packet.size
            if self._held_since is None:
                self._held_since = self.now
        if self._held_since is not None and self.now - self._held_since >= HELD:
            last = self._confirmations[-1][0] if self._confirmations else 0.0
            self._confirmations.append((max(last, self.now + self._delay + self._extra()), self._came))
            self._held_since = None
        while self._confirmations and self._confirmations[0][0] <= self.now:
            self._confirmed = self._confirmations.popleft()[1]

    def _extra(self) -> float:
        return self._jitter * self._chance.random() if self._jitter else 0.0
