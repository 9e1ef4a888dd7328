"""Plays a plan: a real server, real sockets, members with traffic, and everything that goes wrong."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from contextlib import AsyncExitStack
from typing import Any, Final

import msgspec

import posewire
from benchmarks.chaos.census import growth
from benchmarks.chaos.door import Door
from benchmarks.chaos.fault_link import FaultLink
from benchmarks.chaos.history import History
from benchmarks.chaos.invariants import judge, pending
from benchmarks.chaos.member import Member, Surroundings
from benchmarks.chaos.plan import Plan, Step
from benchmarks.chaos.server_messages import Look
from benchmarks.chaos.server_process import ServerNursery, ServerProcess
from benchmarks.chaos.stall_watch import StallWatch
from posewire.lifetime import cancel_and_wait, failure_of
from posewire.server import TokenAuthority

SPEED: Final = 40.0
"""How many times faster than its own time a schedule is played."""
_SETTLE_SECONDS: Final = 6.0
"""Real seconds after which everybody must be back and everything must have come: this is for a slow machine."""
_STALL_SECONDS: Final = 0.03
"""A third of the time that is left for a new token."""
_LOOK_SECONDS: Final = 0.02
_ADVERSE: Final = ("freeze", "slow", "latency", "half_open")
"""What holds up what passes."""
_GRACE: Final = 20.0
"""Seconds of the schedule, as all that `_settings` says."""
_SECRET: Final = "chaos" * 10
MAY_GROW: Final = {
    "RoomRegistry.drops": "counts by reason",
    "Relay.drops": "counts by reason",
    "_EngineIO.drops": "counts by reason",
    "Door.drops": "counts by reason",
    "RevocationList.entries": "a kick holds for as long as a token from before it could",
    "Admission.addresses": "bounded; forgetting them at once would give whoever comes back all of the burst again",
    "Admission.members": "the same",
}
"""What may have more in it after all members are gone, and why."""


async def play(plan: Plan, nursery: ServerNursery) -> tuple[History, list[str]]:
    """Play a plan and judge it; takes its seconds divided by `SPEED`, and a little. Nothing is left behind.

    Wants `steppable_clocks` around it, and no other task that comes and goes meanwhile.

    Returns:
        What happened, and what was wrong with it.
    """
    before = asyncio.all_tasks()
    world = World(plan, nursery)
    await world.run()
    await asyncio.sleep(0)
    history = world.around.history
    left = sorted(task.get_name() for task in asyncio.all_tasks() - before if not task.done())
    history.wrong += [f"leaked: task {name}" for name in left]
    return history, judge(history, grace=_GRACE / SPEED, must_resume=plan.journal >= 1 << 16)


def settings(plan: Plan) -> posewire.Config:
    """Return the settings of a plan, client's and server's: what is a time is divided by `SPEED`."""
    sections = _settings(plan)
    known = {
        # What a section does not have yet is left out: the suite is older than some settings.
        name: {key: value for key, value in values.items() if key in _fields(name)}
        for name, values in sections.items()
    }
    return msgspec.convert(known, posewire.Config)


def _fields(section: str) -> tuple[str, ...]:
    kind = next(field.type for field in msgspec.structs.fields(posewire.Config) if field.name == section)
    return tuple(kind.__struct_fields__)


def _settings(plan: Plan) -> dict[str, dict[str, Any]]:
    def milliseconds(seconds: float) -> int:
        return round(seconds * 1000 / SPEED)

    return {
        "socket": {
            "reconnect_attempts": 100_000,
            "reconnect_delay": milliseconds(1),
            "reconnect_delay_max": milliseconds(3),
            "heartbeat_interval": milliseconds(5),
            "connect_timeout": milliseconds(10),
            "request_timeout": milliseconds(8),
            "ping_interval": 8 / SPEED,
            "ping_timeout": 8 / SPEED,
            "clock_exchanges": 1,
            "max_connections": 1000,
        },
        "security": {"secret_key": _SECRET},
        "server": {
            "resume_grace": milliseconds(_GRACE),
            "recipient_timeout": milliseconds(15),
            "recipient_limit": plan.journal,
            "drain_timeout": milliseconds(3),
        },
        # Limits by the second, of seconds that are shorter.
        "admission": {
            name: value * SPEED
            for name, value in msgspec.structs.asdict(posewire.Config().admission).items()
            if name.endswith(("frames", "bytes", "requests", "connects", "rooms"))
        },
    }


class World:
    """One playing of one plan."""

    def __init__(self, plan: Plan, nursery: ServerNursery) -> None:
        self.plan = plan
        self.members: list[Member] = []
        self.links: dict[str, FaultLink] = {}
        self._began = 0.0
        self._config = settings(plan)
        self._tokens = TokenAuthority(_SECRET.encode(), lifetime=3600)
        self._lifetimes = {person.name: person.token_seconds for person in plan.people}
        self._dry: Counter[str] = Counter()
        self._adverse: Counter[str] = Counter()
        """Users whose link holds up what passes."""
        self._tasks: set[asyncio.Task[None]] = set()
        self.server = ServerProcess(nursery, _settings_of(self._config))
        self.around = Surroundings(History(), self.server, self._config, self._now)
        if plan.sealed:
            self.around.room_key = hashlib.sha256(str(plan.seed).encode()).digest()
        self._door = Door(self.around, self.members)

    async def run(self) -> None:
        """Play it; the history has everything afterwards."""
        history = self.around.history
        async with AsyncExitStack() as stack:
            watch = await stack.enter_async_context(StallWatch())
            await stack.enter_async_context(self.server)
            fresh = await self._warm_up()
            users = {*self._lifetimes, *(step.user for step in self.plan.steps if step.user)}
            for user in sorted(users):
                self.links[user] = await stack.enter_async_context(FaultLink(self.server.port))
            self._began = asyncio.get_running_loop().time()
            try:
                for person in self.plan.people:
                    self.enter(person.name, person.room)
                await asyncio.gather(*(member.entered.wait() for member in self.members))
                self._began = asyncio.get_running_loop().time()
                await self._play_steps()
                self.around.quiet.set()
                await self._settle()
                await asyncio.gather(*(member.leave() for member in self.members))
                self._excuse_stalls(watch.longest + (await self.server.look()).stall)
                history.wrong += await self._kept()
                history.wrong += await self._grown(fresh)
            finally:
                for task in list(self._tasks):
                    await cancel_and_wait(task)
                for member in self.members:
                    await member.abort()

    async def _warm_up(self) -> Look:
        """Return a server that has had a member already: what is made once, by the first, is no growth."""
        patient = msgspec.structs.replace(
            self._config,
            socket=msgspec.structs.replace(self._config.socket, connect_timeout=10_000, request_timeout=10_000),
        )
        async with posewire.connect(self.server.url, token=self._issue("nobody"), room="nowhere", config=patient):
            pass
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _SETTLE_SECONDS
        while True:
            look = await self.server.look()
            if not look.connections or loop.time() > deadline:
                return look
            await asyncio.sleep(_LOOK_SECONDS)

    def enter(self, user: str, room: str) -> None:
        """Let a user begin a session, unless it has one."""
        if any(member.user == user and member.alive for member in self.members):
            self.around.note(f"{user} is there already")
            return
        number = sum(member.user == user for member in self.members) + 1
        index = len(self.members)
        label = f"{user}.{number}"
        member = Member(
            self.around,
            label,
            index,
            self.links[user],
            room,
            lambda: self._token(user),
            tokens_end=bool(self._lifetimes.get(user)),
        )
        self.around.history.indices[index] = label
        self._door.excuse_newcomer(member)
        self._excuse_late_tokens(member)
        self.members.append(member)
        member.start()

    async def _token(self, user: str) -> str:
        if self._dry[user]:
            raise posewire.ConnectionError("the token service is down")
        return self._issue(user)

    def _issue(self, user: str) -> str:
        lifetime = self._lifetimes.get(user, 0.0)
        return self._tokens.issue(user, ttl=lifetime / SPEED if lifetime else 3600)

    def _now(self) -> float:
        return (asyncio.get_running_loop().time() - self._began) * SPEED

    # The schedule ----------------------------------------------------------------------------------------------------

    async def _play_steps(self) -> None:
        for step in self.plan.steps:
            await self._until(step.at)
            self.around.history.faults[step.action] += 1
            task = asyncio.get_running_loop().create_task(self._step(step), name=f"chaos.step.{step.action}")
            self._tasks.add(task)
            task.add_done_callback(self._step_over)
        await self._until(self.plan.seconds)

    def _step_over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if (error := failure_of(task)) is not None:
            self.around.history.wrong.append(f"a bug: {task.get_name()}: {type(error).__name__}: {error}")

    async def _until(self, at: float) -> None:
        await asyncio.sleep(max(0.0, self._began + at / SPEED - asyncio.get_running_loop().time()))

    async def _for(self, seconds: float) -> None:
        await asyncio.sleep(seconds / SPEED)

    async def _step(self, step: Step) -> None:
        self.around.note(f"--- {step.action} {step.user} {step.room} {step.seconds or ''}")
        member = next((one for one in self.members if one.user == step.user and one.alive), None)
        match step.action:
            case "kill":
                await self.server.kill()
                await self._for(step.seconds)
                await self.server.start()
                self.around.note(f"the server is there again, for the {self.server.generation}. time")
            case "dry":
                if self._lifetimes.get(step.user) and member is not None:
                    self.around.history.excuse(member.label, "AuthError")
                self._dry[step.user] += 1
                await self._for(step.seconds)
                self._dry[step.user] -= 1
            case "join":
                self.enter(step.user, step.room)
            case "kick" if member is not None:
                await self._door.kick(member, step.seconds / SPEED, self._issue(step.user))
            case "lock":
                await self._door.lock(step.room, step.seconds / SPEED)
            case "leave" if member is not None:
                await member.leave()
            case "move" if member is not None:
                await member.move(step.room)
            case "wall_step" if member is not None:
                member.clocks.wall += step.amount
            case "clock_step" if member is not None:
                member.clocks.capture += step.amount
            case "cut" | "reset" | "blackhole" | "half_open" | "freeze" | "slow" | "latency":
                await self._link_fault(step, self.links[step.user], member)

    async def _link_fault(self, step: Step, link: FaultLink, member: Member | None) -> None:
        if step.action in _ADVERSE:
            self._adverse[step.user] += 1
        if member is not None and step.action in _ADVERSE:
            member.adverse_since = member.adverse_since or asyncio.get_running_loop().time()
            self._excuse_late_tokens(member)
        await self._fault(step, link)
        if step.action in _ADVERSE:
            self._adverse[step.user] -= 1

    def _excuse_late_tokens(self, member: Member) -> None:
        """Note that what tells a member of its token's end, or brings the new one, may be on the way for longer."""
        if self._adverse[member.user] and self._lifetimes.get(member.user):
            self.around.history.excuse(member.label, "AuthError")

    async def _fault(self, step: Step, link: FaultLink) -> None:
        match step.action:
            case "cut":
                link.cut()
                link.shut()
                await self._for(step.seconds)
                link.restore()
            case "reset":
                link.reset()
                link.refusing = True
                await self._for(step.seconds)
                link.refusing = False
            case "blackhole":
                link.reset()
                link.blackhole()
                await self._for(step.seconds)
                link.restore()
            case "half_open":
                link.swallowing = True
                link.half_open()
                await self._for(step.seconds)
                link.swallowing = False
            case "freeze":
                link.freeze()
                await self._for(step.seconds)
                link.thaw()
            case "slow":
                link.rate = step.amount
                await self._for(step.seconds)
                link.rate = None
            case "latency":
                link.latency = step.amount
                await self._for(step.seconds)
                link.latency = 0.0

    # Afterwards ------------------------------------------------------------------------------------------------------

    async def _settle(self) -> None:
        """Wait until everybody is where it should be and everything has come; what does not is found by the judge."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _SETTLE_SECONDS
        while loop.time() < deadline:
            if not self._tasks and not any(member.alive and member.busy for member in self.members):
                await self._look(self.around.history)
                if not pending(self.around.history):
                    return
            await asyncio.sleep(_LOOK_SECONDS)
        await self._look(self.around.history)
        stuck = [task.get_name() for task in self._tasks]
        stuck += [member.label for member in self.members if member.alive and member.busy]
        self.around.history.wrong += [f"stuck: {name} still waits at the end" for name in stuck]

    async def _look(self, history: History) -> None:
        history.rooms = (await self.server.look()).rooms
        history.views = [member.view() for member in self.members if member.alive]
        self._door.check(history)

    def _excuse_stalls(self, seconds: float) -> None:
        """Note that a machine that stood still may have been late with new tokens."""
        self.around.history.stall = seconds
        for label in self.around.history.indices.values():
            if seconds > _STALL_SECONDS and self._lifetimes.get(label.partition(".")[0]):
                self.around.history.excuse(label, "AuthError")

    async def _kept(self) -> list[str]:
        """Return whose seats are still held, though they said goodbye; long before a seat is given up for lost."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _GRACE / SPEED / 2
        gone = {member.user for member in self.members if member.said_goodbye}
        # A session that ended while its link was down has a seat until it is given up, whatever a later one said.
        gone -= {member.user for member in self.members if not member.said_goodbye}
        while True:
            rooms = (await self.server.look()).rooms.values()
            kept = gone & {one["id"] for room in rooms for one in room["members"]}
            if not kept or loop.time() > deadline:
                return [f"kept a seat: {user} said goodbye" for user in sorted(kept)]
            await asyncio.sleep(_LOOK_SECONDS)

    async def _grown(self, fresh: Look) -> list[str]:
        """Return what the server still has of members that are gone; waits until the last seats are given up."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _GRACE / SPEED + _SETTLE_SECONDS
        while True:
            look = await self.server.look()
            found = [f"growth: {line}" for line in growth(fresh.census, look.census, MAY_GROW)]
            if len(look.tasks) > len(fresh.tasks):
                found.append(f"growth: {len(fresh.tasks)} tasks, then {', '.join(look.tasks)}")
            if look.descriptors > fresh.descriptors:
                found.append(f"growth: {fresh.descriptors} descriptors, then {look.descriptors}")
            if not found or loop.time() > deadline:
                return found
            await asyncio.sleep(_LOOK_SECONDS)


def _settings_of(config: posewire.Config) -> dict[str, dict[str, object]]:
    plain: dict[str, dict[str, object]] = msgspec.to_builtins(config)
    return plain
