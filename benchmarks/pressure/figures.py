"""From the tables of a played case to its figures."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from benchmarks.pressure.messages import AUDIO, EVENTS, Got, Report
from benchmarks.pressure.play import Played
from benchmarks.pressure.scenarios import OURS, Case

_BIN_SECONDS: Final = 0.25
_FULL_XY: Final = 0.55
_FULL_Z: Final = 0.55
"""Default steps: half of one, and float32's rounding."""
_WINDOW_SECONDS: Final = 1.0
_SETTLED_AGE: Final = 0.25

Times = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class Arrivals(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one stream, to one or more subscribers, in order of arrival.

    Attributes:
        at: Seconds after the start.
        ages: Seconds from just before the send call to the subscriber's code.
        numbers: Of the frames.
        full: Whether they came in full quality; empty when that was not looked at.
    """

    at: Floats
    ages: Floats
    numbers: Times
    full: npt.NDArray[np.bool_]

    def between(self, start: float, end: float) -> Arrivals:
        """Return what came in a stretch of time."""
        inside = (self.at >= start) & (self.at < end)
        full = self.full[inside] if len(self.full) else self.full
        return Arrivals(at=self.at[inside], ages=self.ages[inside], numbers=self.numbers[inside], full=full)


def arrivals(played: Played, stream: str, *, user: str | None = None, skip: str | None = None) -> Arrivals:
    """Return what came of a stream to ``user``, or to all but ``skip``."""
    sent = np.frombuffer(played.publisher.sent.get(stream, b""), dtype=np.int64)
    parts = [
        _arrivals(got, sent, played.start_ns)
        for report in played.subscribers
        for name, tables in report.got.items()
        if (user is None or name == user) and name != skip and (got := tables.get(stream)) is not None
    ]
    if not parts:
        empty = np.zeros(0)
        return Arrivals(at=empty, ages=empty, numbers=empty.astype(np.int64), full=empty.astype(bool))
    order = np.argsort(np.concatenate([part.at for part in parts]), kind="stable")
    full = np.concatenate([part.full for part in parts])
    return Arrivals(
        at=np.concatenate([part.at for part in parts])[order],
        ages=np.concatenate([part.ages for part in parts])[order],
        numbers=np.concatenate([part.numbers for part in parts])[order],
        full=full[order] if len(full) else full,
    )


def _arrivals(got: Got, sent: Times, start_ns: int) -> Arrivals:
    numbers = np.frombuffer(got.numbers, dtype=np.int64)
    times = np.frombuffer(got.times, dtype=np.int64)
    full = np.zeros(0, dtype=bool)
    if got.error_xy:
        xy, z = np.frombuffer(got.error_xy, dtype=np.float32), np.frombuffer(got.error_z, dtype=np.float32)
        full = (xy <= _FULL_XY) & (z <= _FULL_Z)
    ages = (times - sent[numbers]) / 1e9
    if len(ages) and ages.min() < 0:
        raise AssertionError("a frame came before it was sent: the processes do not share a clock")
    return Arrivals(at=(times - start_ns) / 1e9, ages=ages, numbers=numbers, full=full)


def phases(case: Case) -> list[tuple[str, float, float]]:
    """Return name, begin and end of each phase, and of all of it."""
    spans = [(phase.name, case.begins(i), case.begins(i + 1)) for i, phase in enumerate(case.phases)]
    return [*spans, ("all", 0.0, case.seconds + case.grace)]


def stream_figures(came: Arrivals, case: Case, *, recipients: int = 1) -> dict[str, dict[str, Any]]:
    """Return frames a second and recipient, and ages, by phase of arrival."""
    figures = {}
    for name, start, end in phases(case):
        part = came.between(start, end)
        figures[name] = {
            "fps": round(len(part.at) / recipients / (min(end, case.seconds) - start), 2),
            **percentiles_ms(part.ages),
            **({"full": round(float(part.full.mean()), 3)} if len(part.full) else {}),
        }
    return figures


def percentiles_ms(seconds: Floats) -> dict[str, float]:
    """Return p50, p95, p99 and the most, milliseconds; nothing of nothing."""
    if not len(seconds):
        return {}
    values = np.percentile(seconds * 1e3, (50, 95, 99, 100))
    return {name: round(float(value), 2) for name, value in zip(("p50", "p95", "p99", "max"), values, strict=True)}


def lost(played: Played, stream: str, *, start: float = 0.0, end: float | None = None) -> tuple[int, int]:
    """Return how many frames sent in a stretch of time never came to the first subscriber, and how many were sent."""
    sent = np.frombuffer(played.publisher.sent.get(stream, b""), dtype=np.int64)
    at = (sent - played.start_ns) / 1e9
    counts = (sent > 0) & (at >= start) & (at < (played.case.seconds if end is None else end))
    came = np.zeros(len(sent), dtype=bool)
    came[arrivals(played, stream).numbers] = True
    return int((counts & ~came).sum()), int(counts.sum())


def back_after(came: Arrivals, moment: float, *, fps: float) -> float | None:
    """Return seconds from ``moment`` to the first second of full rate, full quality and low age; None for never."""
    after = came.between(moment, float("inf"))
    for index, begin in enumerate(after.at):
        last = int(np.searchsorted(after.at, begin + _WINDOW_SECONDS))
        if last >= len(after.at):
            return None
        enough = last - index >= 0.93 * fps * _WINDOW_SECONDS
        whole = not len(after.full) or bool(after.full[index:last].all())
        if enough and whole and float(after.ages[index:last].max()) <= _SETTLED_AGE:
            return round(float(begin - moment), 3)
    return None


def first_after(came: Arrivals, moment: float, played: Played, stream: str) -> float | None:
    """Return seconds from ``moment`` to the first arrival of a frame that was sent after it; None for never."""
    sent = np.frombuffer(played.publisher.sent[stream], dtype=np.int64)
    fresh = came.at[(sent[came.numbers] - played.start_ns) / 1e9 >= moment]
    return round(float(fresh[0] - moment), 3) if len(fresh) else None


def event_figures(played: Played) -> dict[str, Any]:
    """Return whether reliable events came exactly once, in order."""
    sent = len(played.publisher.sent.get(EVENTS, b"")) // 8
    numbers = arrivals(played, EVENTS).numbers
    outcomes = played.publisher.outcomes
    acknowledged = outcomes.get("event acknowledged", 0)
    return {
        "sent": sent,
        "acknowledged": acknowledged,
        "came": len(numbers),
        "twice": len(numbers) - len(np.unique(numbers)),
        "missing": sorted(set(range(sent)) - set(numbers.tolist())),
        "in_order": bool((np.diff(numbers) > 0).all()),
    }


def series(came: Arrivals) -> list[list[float]]:
    """Return time and greatest age of each quarter of a second, for the picture."""
    bins = (came.at / _BIN_SECONDS).astype(np.int64)
    return [
        [round(float(number * _BIN_SECONDS), 2), round(float(came.ages[bins == number].max()), 5)]
        for number in np.unique(bins)
    ]


def link_rates(played: Played) -> dict[str, list[float]]:
    """Return what came out of the link up and down in each phase, kbit/s at the size of IP packets."""
    rates = {}
    for phase, before, after in zip(played.case.phases, played.link, played.link[1:], strict=False):
        ends = ((after.up.bytes, before.up.bytes), (after.down.bytes, before.down.bytes))
        rates[phase.name] = [round((end - begin) * 8 / 1e3 / phase.seconds, 1) for end, begin in ends]
    return rates


def call_figures(publisher: Report) -> dict[str, dict[str, float]]:
    """Return what ``send_pose`` cost the capture loop, µs a call."""
    tables = {"cpu": publisher.call_ns, "own_cpu": publisher.own_ns, "waited": publisher.wall_ns}
    figures = {}
    for name, table in tables.items():
        values = np.frombuffer(table, dtype=np.int64) / 1e3
        if len(values):
            p50, p99, most = np.percentile(values, (50, 99, 100))
            over = int((values > 1000).sum())
            figures[name] = {
                "p50": round(float(p50), 1),
                "p99": round(float(p99), 1),
                "max": round(float(most), 1),
                "over_1ms": over,
                "calls": len(values),
            }
    return figures


def memory_mb(report: Report) -> list[list[float]]:
    """Return time and resident memory, MB (10⁶ bytes)."""
    return [[round(at, 1), round(size / 1e6, 2)] for at, size in report.memory]


def is_ours(case: Case) -> bool:
    """Return whether the bars are for it."""
    return case.system == OURS


def audio_lost(played: Played) -> dict[str, Any]:
    """Return the sound that was sent and never came, by the phase it was sent in."""
    return {name: list(lost(played, AUDIO, start=start, end=end)) for name, start, end in phases(played.case)}
