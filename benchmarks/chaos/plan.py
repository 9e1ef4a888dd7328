"""What goes wrong, and when: a seed makes a plan, always the same."""

from __future__ import annotations

import random
from typing import Final, Literal

import msgspec

Action = Literal[
    "cut",
    "reset",
    "blackhole",
    "half_open",
    "freeze",
    "slow",
    "latency",
    "kill",
    "wall_step",
    "clock_step",
    "dry",
    "leave",
    "join",
    "move",
    "kick",
    "lock",
]

SECONDS: Final = 30.0
"""Length of a schedule."""
_FIRST: Final = 2.0
_QUIET: Final = 4.0
"""At the end: what goes wrong is over by then."""
_USERS: Final = ("ann", "bob", "cem", "dan", "eva", "fay", "gus")
_ROOMS: Final = ("red", "green", "blue")
_MANY: Final = 6
"""Odds of a link fault, of which there are several in a schedule, against one of the rest."""


class Step(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that happens at a time; all times in seconds of the schedule.

    | action | what |
    |---|---|
    | ``cut`` | the user's link is closed (FIN both ways), new connections are refused for ``seconds`` |
    | ``reset`` | the link is reset (RST), new connections are taken and reset, as by a gateway with nothing behind it |
    | ``blackhole`` | the link is reset, and nobody answers new connections' SYNs |
    | ``half_open`` | the open connections swallow everything for good, new ones for ``seconds``; none is closed |
    | ``freeze`` | nothing passes for ``seconds``, then all of it |
    | ``slow`` | the user reads ``amount`` bytes a second (of real time) |
    | ``latency`` | what passes is ``amount`` seconds (of real time) late |
    | ``kill`` | the server is killed (SIGKILL) and starts again on its port after ``seconds`` |
    | ``wall_step`` | the user's wall clock, ``time.time()``, is stepped by ``amount`` real seconds |
    | ``clock_step`` | the user's capture clock, ``posewire.clock.now()``, leaps, as that of a machine that was paused |
    | ``dry`` | the user's token provider fails for ``seconds`` |
    | ``leave``, ``join``, ``move`` | the user ends its session; begins one in ``room``; goes over to ``room`` |
    | ``kick`` | the host of its room throws the user out, with a ban of ``seconds``; its old token is tried at once |
    | ``lock`` | the host of ``room`` locks it, and unlocks it after ``seconds`` |
    """

    at: float
    action: Action
    user: str = ""
    room: str = ""
    seconds: float = 0.0
    amount: float = 0.0


class Person(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who is there from the beginning."""

    name: str
    room: str
    token_seconds: float = 0.0
    """How long a token is good for, in seconds of the schedule; 0 is longer than the schedule."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule."""

    seed: int
    seconds: float
    people: list[Person]
    steps: list[Step]
    sealed: bool
    """Whether the members have a room key."""
    journal: int
    """``server.recipient_limit``: small ones cannot hold what a member misses."""

    def render(self) -> str:
        """Return it as lines of text."""
        head = (
            f"seed {self.seed}: {self.seconds:g} s, {'sealed' if self.sealed else 'MAC only'}, journal {self.journal}"
        )
        return "\n".join(
            [
                head,
                *(
                    f"  {person.name} in {person.room}, tokens of {person.token_seconds or '∞'} s"
                    for person in self.people
                ),
                *(f"  {step.at:5.2f} s  {_words(step)}" for step in self.steps),
            ]
        )


def make_plan(seed: int, seconds: float = SECONDS) -> Plan:
    """Return the plan of a seed: pure."""
    return _Planner(seed, seconds).plan()


class _Planner:
    def __init__(self, seed: int, seconds: float) -> None:
        self._seed = seed
        self._seconds = seconds
        self._chance = random.Random(f"chaos {seed}")
        names = list(_USERS[: self._chance.randint(4, 6)])
        self._rooms = list(_ROOMS[: self._chance.randint(2, 3)])
        self._spare = names.pop()
        self._people = [
            Person(
                name=name,
                room=self._chance.choice(self._rooms[:2]),
                token_seconds=self._chance.choice([0.0, 0.0, 0.0, 20.0]),
            )
            for name in names
        ]
        self._here = names
        """Who may be picked on; the others left, or were kicked."""
        self._steps: list[Step] = []

    def plan(self) -> Plan:
        chance = self._chance
        count = chance.randint(5, 9)
        times = sorted(round(chance.uniform(_FIRST, self._seconds - _QUIET), 2) for _ in range(count))
        once = ["kill", "kick", "leave", "join", "lock", "move", "move", "dry"]
        chance.shuffle(once)
        for at in times:
            if once and chance.random() < len(once) / (len(once) + _MANY):
                self._once(once.pop(), at)
            else:
                self._link(at)
        self._steps.sort(key=lambda step: step.at)
        return Plan(
            seed=self._seed,
            seconds=self._seconds,
            people=self._people,
            steps=self._steps,
            sealed=chance.random() < 0.5,
            journal=4096 if chance.random() < 0.1 else 1 << 20,
        )

    def _link(self, at: float) -> None:
        chance = self._chance
        action: Action = chance.choice(
            ["cut", "reset", "blackhole", "half_open", "freeze", "slow", "latency", "wall_step", "clock_step"]
        )
        # Short, long, and longer than a seat is held (20 s).
        span = chance.choice([0.0, round(chance.uniform(0.5, 4), 2), round(chance.uniform(4, 12), 2), 22.0])
        seconds = min(span, max(0.0, round(self._seconds - _QUIET - at, 2)))
        amount = 0.0
        if action == "slow":
            amount = float(chance.choice([2000, 20_000]))
        elif action == "latency":
            amount = chance.choice([0.005, 0.02, 0.05])
        elif action in ("wall_step", "clock_step"):
            # The capture clock is carried on by the monotonic one: it may leap, but never goes back.
            amounts = (1.0, 30.0, 3600.0) if action == "clock_step" else (-3600.0, -30.0, -1.0, 1.0, 30.0, 3600.0)
            amount, seconds = chance.choice(amounts), 0.0
        self._add(at, action, user=chance.choice(self._here), seconds=seconds, amount=amount)

    def _once(self, action: str, at: float) -> None:
        chance = self._chance
        room = chance.choice(self._rooms)
        match action:
            case "kill":
                self._add(at, "kill", seconds=round(chance.uniform(0.5, 6), 2))
            case "kick" if len(self._here) > 2:
                victim = self._gone()
                self._add(at, "kick", user=victim, seconds=3.0)
                if at + 6 < self._seconds - _QUIET and chance.random() < 0.5:
                    self._add(at + 6, "join", user=victim, room=room)
            case "leave" if len(self._here) > 2:
                leaver = self._gone()
                self._add(at, "leave", user=leaver)
                if at + 2 < self._seconds - _QUIET and chance.random() < 0.5:
                    self._add(at + 2, "join", user=leaver, room=room)
            case "join":
                self._add(at, "join", user=self._spare, room=room)
            case "lock":
                self._add(at, "lock", room=room, seconds=round(chance.uniform(1, 5), 2))
            case "dry":
                self._add(at, "dry", user=chance.choice(self._here), seconds=round(chance.uniform(1, 6), 2))
            case _:
                self._add(at, "move", user=chance.choice(self._here), room=room)

    def _gone(self) -> str:
        return self._here.pop(self._chance.randrange(len(self._here)))

    def _add(
        self, at: float, action: Action, *, user: str = "", room: str = "", seconds: float = 0.0, amount: float = 0.0
    ) -> None:
        seconds = min(seconds, round(self._seconds - at, 2))
        self._steps.append(Step(at=at, action=action, user=user, room=room, seconds=seconds, amount=amount))


def _words(step: Step) -> str:
    words = [step.action, step.user, step.room]
    words += [f"for {step.seconds:g} s"] if step.seconds else []
    words += [f"by {step.amount:g}"] if step.amount else []
    return " ".join(word for word in words if word)
