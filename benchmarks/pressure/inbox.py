"""What came to one subscriber, and when."""

from __future__ import annotations

import array
import time
from typing import Final

from benchmarks.pressure import motions
from benchmarks.pressure.messages import AUDIO, EVENTS, Got, Happened
from posewire.protocol import PoseData

_MOST_TOLD: Final = 500


class Diary:
    """Things that happened, bounded, with their time after the start."""

    def __init__(self) -> None:
        self.entries: list[Happened] = []
        self.start_ns = 0

    def note(self, who: str, what: str) -> None:
        """Add an entry."""
        if len(self.entries) < _MOST_TOLD:
            at = (time.monotonic_ns() - self.start_ns) / 1e9 if self.start_ns else 0.0
            self.entries.append(Happened(at=round(at, 3), who=who, what=what[:300]))


class _Table:
    def __init__(self) -> None:
        self.numbers = array.array("q")
        self.times = array.array("q")
        self.error_xy = array.array("f")
        self.error_z = array.array("f")
        self.unreadable = 0


class Inbox:
    """Notes each frame of one subscriber, the time first."""

    def __init__(self, user: str, diary: Diary, *, check_quality: bool) -> None:
        self.user = user
        self._diary = diary
        self._check = check_quality
        self._tables: dict[str, _Table] = {}

    def pose(self, stream: str, pose: PoseData) -> None:
        """Note a pose."""
        now = time.monotonic_ns()
        table = self._table(stream)
        number = motions.number_of(pose)
        if number is None:
            table.unreadable += 1
            return
        table.numbers.append(number)
        table.times.append(now)
        if self._check:
            xy, z = motions.errors(motions.pose(stream, number), pose)
            table.error_xy.append(xy)
            table.error_z.append(z)

    def audio(self, data: bytes) -> None:
        """Note a chunk of sound."""
        self._number(AUDIO, motions.chunk_number(data))

    def event(self, number: int) -> None:
        """Note a reliable event."""
        self._number(EVENTS, number)

    def tell(self, what: str) -> None:
        """Note something else."""
        self._diary.note(self.user, what)

    def tables(self) -> dict[str, Got]:
        """Return what came, by stream."""
        return {
            stream: Got(
                numbers=table.numbers.tobytes(),
                times=table.times.tobytes(),
                error_xy=table.error_xy.tobytes(),
                error_z=table.error_z.tobytes(),
                unreadable=table.unreadable,
            )
            for stream, table in self._tables.items()
        }

    def _number(self, stream: str, number: int) -> None:
        now = time.monotonic_ns()
        table = self._table(stream)
        table.numbers.append(number)
        table.times.append(now)

    def _table(self, stream: str) -> _Table:
        return self._tables.setdefault(stream, _Table())
