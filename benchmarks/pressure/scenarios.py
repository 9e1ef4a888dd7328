"""What is played: the rows of the table of issue 4, as links, phases and streams."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from benchmarks.netlab import Path, Step, parse_path

FAST_SUBSCRIBERS: Final = 7
NOMINAL_SECONDS: Final = 30.0
"""Length of the long phase of scenario a; the others' are in proportion."""

OURS: Final = "posewire"
STOCK: Final = "socketio-default"
LOOPS: Final = {OURS: "uvloop", STOCK: "asyncio"}
"""Event loops: Posewire's is what its command line takes when it is installed."""


class Phase(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of a case.

    Attributes:
        name: Shown in tables.
        seconds: How long.
        up: What changes on the way from the far side when it begins, as `parse_path` reads it.
        down: The same on the way to it.
        bad: Whether it is shaded in the picture.
        stopped: Whether the far side's process is stopped (SIGSTOP) meanwhile.
    """

    name: str
    seconds: float
    up: str = ""
    down: str = ""
    bad: bool = False
    stopped: bool = False


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One run of one system."""

    scenario: str
    title: str
    system: str
    variant: str = ""
    up: Path = Path()
    down: Path = Path()
    phases: list[Phase]
    streams: list[str]
    far: Literal["publisher", "subscriber"] = "publisher"
    subscribers: int = 1
    """At this side of the link."""
    audio: bool = False
    audio_apart: bool = False
    events: bool = False
    check_quality: bool = False
    grace: float = 1.0

    @property
    def name(self) -> str:
        """Short, unlike any other's."""
        return " ".join(filter(None, (self.scenario, self.variant, self.system)))

    @property
    def seconds(self) -> float:
        """How long is published."""
        return sum(phase.seconds for phase in self.phases)

    def begins(self, index: int) -> float:
        """Return when a phase begins, seconds after the start."""
        return sum(phase.seconds for phase in self.phases[:index])

    def steps(self) -> list[Step]:
        """Return the link's schedule."""
        steps = []
        for index, phase in enumerate(self.phases):
            at = self.begins(index)
            steps += [Step(at=at, side="up", settings=phase.up)] if phase.up else []
            steps += [Step(at=at, side="down", settings=phase.down)] if phase.down else []
        return steps


def _cut(system: str) -> Case:
    return Case(
        scenario="a",
        title="uplink cut to 128 kbit/s; holistic 30 fps and 24 kbit/s audio",
        system=system,
        up=parse_path("delay=5ms"),
        down=parse_path("delay=5ms"),
        phases=[
            Phase(name="clear", seconds=8),
            Phase(name="cut", seconds=30, up="rate=128kbit", bad=True),
            Phase(name="back", seconds=10, up="rate=none"),
        ],
        streams=["holistic"],
        audio=True,
        check_quality=True,
    )


def _narrow(system: str) -> Case:
    return Case(
        scenario="b",
        title="uplink 64 kbit/s, 50 ms RTT; pose33 30 fps",
        system=system,
        up=parse_path("rate=64kbit,delay=25ms"),
        down=parse_path("delay=25ms"),
        phases=[Phase(name="start", seconds=3, bad=True), Phase(name="steady", seconds=22, bad=True)],
        streams=["pose33"],
        check_quality=True,
    )


def _slow_reader(system: str, *, stopped: bool) -> Case:
    down = "" if stopped else "rate=32kbit,buffer=2s"
    back = "" if stopped else "rate=none"
    return Case(
        scenario="c",
        title="7 subscribers of a pose33 and a holistic stream and an eighth that "
        + ("does not read (SIGSTOP)" if stopped else "has 32 kbit/s"),
        system=system,
        variant="stopped" if stopped else "32 kbit/s",
        up=parse_path("delay=5ms"),
        down=parse_path("delay=5ms"),
        phases=[
            Phase(name="warm-up", seconds=2),
            Phase(name="without", seconds=10),
            # What is under way when a link becomes slow is late by itself; it is shown, and judged apart.
            *([] if stopped else [Phase(name="onset", seconds=3, down=down, bad=True)]),
            Phase(name="with", seconds=20, stopped=stopped, bad=True),
            Phase(name="after", seconds=8, down=back),
        ],
        streams=["pose33", "holistic"],
        far="subscriber",
        subscribers=FAST_SUBSCRIBERS,
    )


def _lossy(system: str, *, lanes: int) -> Case:
    return Case(
        scenario="d",
        title="2 % loss, 60 ms RTT; pose33 30 fps and audio, "
        + ("one lane" if lanes == 1 else "audio on a lane of its own"),
        system=system,
        variant=f"{lanes} lane{'s' if lanes > 1 else ''}",
        up=parse_path("delay=30ms,loss=2%"),
        down=parse_path("delay=30ms,loss=2%"),
        phases=[Phase(name="start", seconds=3, bad=True), Phase(name="steady", seconds=27, bad=True)],
        streams=["pose33"],
        audio=True,
        audio_apart=lanes > 1,
    )


def _outage(system: str) -> Case:
    return Case(
        scenario="e",
        title="5 s outage both ways; pose33 30 fps and reliable events",
        system=system,
        up=parse_path("delay=5ms"),
        down=parse_path("delay=5ms"),
        phases=[
            Phase(name="clear", seconds=6),
            Phase(name="outage", seconds=5, up="outage=on", down="outage=on", bad=True),
            Phase(name="back", seconds=12, up="outage=off", down="outage=off"),
        ],
        streams=["pose33"],
        events=True,
        grace=2.0,
    )


def _dip(system: str) -> Case:
    return Case(
        scenario="f",
        title="a subscriber 25 ms away, pose33 30 fps and 24 kbit/s audio; its link has 32 kbit/s for 3 s",
        system=system,
        up=parse_path("delay=25ms"),
        down=parse_path("delay=25ms,buffer=2s"),
        phases=[
            Phase(name="clear", seconds=2),
            Phase(name="without", seconds=5),
            Phase(name="with", seconds=3, down="rate=32kbit", bad=True),
            Phase(name="back", seconds=3, down="rate=none"),
            Phase(name="after", seconds=7),
        ],
        streams=["pose33"],
        audio=True,
        far="subscriber",
    )


def _jitter(system: str) -> Case:
    return Case(
        scenario="g",
        title="20 ms and 0 to 80 ms of jitter each way, order kept; holistic 30 fps and 24 kbit/s audio",
        system=system,
        up=parse_path("delay=20ms,jitter=80ms"),
        down=parse_path("delay=20ms,jitter=80ms"),
        phases=[Phase(name="start", seconds=5, bad=True), Phase(name="steady", seconds=20, bad=True)],
        streams=["holistic"],
        audio=True,
        check_quality=True,
    )


SCENARIOS: Final[dict[str, list[Case]]] = {
    "a": [_cut(OURS), _cut(STOCK)],
    "b": [_narrow(OURS), _narrow(STOCK)],
    "c": [_slow_reader(system, stopped=stopped) for stopped in (False, True) for system in (OURS, STOCK)],
    "d": [_lossy(OURS, lanes=1), _lossy(OURS, lanes=2)],
    "e": [_outage(OURS)],
    "f": [_dip(OURS)],
    "g": [_jitter(OURS)],
}
"""Cases of one scenario follow each other, so that drift of the machine is in both halves of a comparison."""


def scaled(case: Case, factor: float) -> Case:
    """Return a case whose phases last ``factor`` times as long; for a quick look only."""
    phases = [msgspec.structs.replace(phase, seconds=phase.seconds * factor) for phase in case.phases]
    return msgspec.structs.replace(case, phases=phases)


def cases(names: Sequence[str], systems: Sequence[str], factor: float) -> list[Case]:
    """Return what to run for the scenarios ``names``."""
    return [scaled(case, factor) for name in names for case in SCENARIOS[name] if case.system in systems]
