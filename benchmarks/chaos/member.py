"""One session from its beginning to its end, with the traffic of its application."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from typing import Any, Final

import posewire
from benchmarks.chaos.clock_steps import Clocks
from benchmarks.chaos.fault_link import FaultLink
from benchmarks.chaos.history import Comeback, End, History, Received, Sent, Stay, View
from benchmarks.chaos.named_pose import is_pose, named_pose, read_name
from benchmarks.chaos.server_messages import snapshot_of
from benchmarks.chaos.server_process import ServerProcess
from posewire.lifetime import cancel_and_wait, failure_of

_NOTE: Final = "note"
_EVENT_SECONDS: Final = 0.04
"""Real seconds between two events of a member, on average."""
_POSE_SECONDS: Final = 0.03
_MOST_AT_ONCE: Final = 4
"""Events that an application has under way at the same time."""
_MOST_BYTES: Final = 600
_RETRY_SECONDS: Final = 0.05


class Surroundings:
    """What all members of a world share."""

    def __init__(self, history: History, server: ServerProcess, config: posewire.Config, now: Callable[[], float]):
        self.history = history
        self.server = server
        self.config = config
        self.room_key: bytes | None = None
        self.quiet = asyncio.Event()
        """Set when no more traffic is made."""
        self.now = now
        """Seconds of the schedule."""

    def note(self, text: str) -> None:
        """Write a line into the history."""
        self.history.note(self.now(), text)


class Member:
    """A session of one user.

    Args:
        around: What all members share.
        label: ``user.number``: the first, second, … session of the user.
        index: Stands for the label in poses.
        link: Its way to the server.
        room: Where it goes first.
        provider: Gives it tokens.
        tokens_end: Whether they end within the schedule.
    """

    def __init__(
        self,
        around: Surroundings,
        label: str,
        index: int,
        link: FaultLink,
        room: str,
        provider: Callable[[], Awaitable[str]],
        *,
        tokens_end: bool,
    ) -> None:
        self.label = label
        self.user = label.partition(".")[0]
        self.index = index
        self.link = link
        self.room: str | None = room
        """Where it should be in the end; None for anywhere, or nowhere."""
        self.clocks = Clocks()
        self.entered = asyncio.Event()
        """Set once it was in the room, or failed to get there."""
        self.adverse_since: float | None = None
        """Since when what comes may be older than it seems: a link that is frozen or slow, loop time."""
        self._was_moving = False
        self.said_goodbye = False
        """Whether it left over a link that brings the server its goodbye."""
        self._provider = provider
        self._tokens_end = tokens_end
        self._around = around
        self._history = around.history
        self._chance = random.Random(label)
        self._numbers = 0
        self._sends: set[asyncio.Task[None]] = set()
        self._moving = asyncio.Lock()
        self._leaving = asyncio.Event()
        self._stay: Stay | None = None
        self._sign_of_life = 0.0
        self._last_sign = 0.0
        self._generation = 0
        self._newest_pose: dict[tuple[int, str], tuple[int, int]] = {}
        """Number of the newest pose of a stream, and how often one of it came twice."""
        self.session = self._new_session(room)
        self._task: asyncio.Task[None] | None = None

    # Lifetime --------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin; returns at once."""
        self._task = asyncio.get_running_loop().create_task(self._live(), name=f"chaos.member.{self.label}")
        self._task.add_done_callback(self._over)

    @property
    def alive(self) -> bool:
        """Whether the session is not over."""
        return self._task is not None and not self._task.done()

    @property
    def busy(self) -> bool:
        """Whether it waits for something that it asked for."""
        return bool(self._sends) or self._moving.locked() or not self.entered.is_set()

    async def leave(self) -> None:
        """End the session as its application does; waits until it is over."""
        self._stay_ends()
        self.said_goodbye = self.alive and self.session.socket.connected and not self.link.adverse
        self._leaving.set()
        if self._task is not None:
            await asyncio.wait([self._task])

    async def abort(self) -> None:
        """End it at once, whatever it waits for."""
        if self._task is not None:
            await cancel_and_wait(self._task)

    def view(self) -> View:
        """Return how it stands."""
        rooms = self.session.rooms
        return View(
            session=self.label,
            connected=self.session.socket.connected,
            room=rooms.state.room_id if rooms.state is not None else None,
            expected=self.room,
            mirror=snapshot_of(rooms.state) if rooms.state is not None else None,
        )

    def _new_session(self, room: str) -> posewire.Session:
        around = self._around
        session = posewire.connect(
            self.link.url, token=self._provider, room=room, room_key=around.room_key, config=around.config
        )
        session.on(_NOTE, self._received)
        session.on("disconnect", self._disconnected)
        session.on("reconnect", self._reconnected)
        return session

    async def _live(self) -> None:
        self.clocks.use()
        while True:
            try:
                async with self.session:
                    await self._stay_connected()
            except posewire.ConnectionError:
                # The first connection is tried once; whoever wants more tries again, with a session of its own.
                if self.entered.is_set() or self._leaving.is_set():
                    raise
            else:
                return
            await asyncio.sleep(_RETRY_SECONDS)
            assert self.room is not None
            self.session = self._new_session(self.room)

    async def _stay_connected(self) -> None:
        self._sign()
        self._generation = self._around.server.generation
        self._stay_begins()
        self.entered.set()
        self._around.note(f"{self.label} is in {self.room}")
        work = [
            asyncio.get_running_loop().create_task(job(), name=f"chaos.{job.__name__.strip('_')}.{self.label}")
            for job in (self._send_events, self._send_poses, self._read_poses, self.session.wait_ended)
        ]
        leaving = asyncio.get_running_loop().create_task(self._leaving.wait(), name=f"chaos.leaving.{self.label}")
        try:
            await asyncio.wait([work[-1], leaving], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (*work, leaving):
                await cancel_and_wait(task)
        for task in work:
            if (error := failure_of(task)) is not None:
                raise error

    def _over(self, task: asyncio.Task[None]) -> None:
        self._stay_ends()
        self.entered.set()
        error = failure_of(task)
        if error is not None:
            named = isinstance(error, posewire.PosewireError)
            end = End(session=self.label, error=type(error).__name__, detail=str(error), named=named)
        else:
            end = End(session=self.label, error="", detail="", named=True)
        self._history.ends.append(end)
        self._around.note(f"{self.label} is over{f': {end.error}: {end.detail}' if end.error else ''}")

    # Where it is -----------------------------------------------------------------------------------------------------

    async def move(self, room: str) -> None:
        """Go over to another room, as often as it takes; waits until it is there or was refused."""
        async with self._moving:
            if self._sends:
                await asyncio.wait(self._sends)
            self._stay_ends()
            while self.alive:
                try:
                    await self.session.rooms.join_room(room, create=True)
                except posewire.RoomError as exc:
                    self._around.note(f"{self.label} is not let into {room}: {exc}")
                    break
                except posewire.ConnectionError as exc:
                    self._around.note(f"{self.label} does not get to {room} yet: {exc}")
                    await asyncio.sleep(_RETRY_SECONDS)
                    continue
                except posewire.PosewireError:
                    return  # the end of the session says the same
                self.room = room
                self._around.note(f"{self.label} went over to {room}")
                break
            self._stay_begins()

    def _stay_begins(self) -> None:
        # Who moved on a connection that was still being greeted has begun one, and begins another when that is told.
        self._stay_ends()
        state = self.session.rooms.state
        if state is not None:
            self._stay = Stay(session=self.label, room=state.room_id, began=self._history.position())
            self._history.stays.append(self._stay)

    def _stay_ends(self) -> None:
        if self._stay is not None and self._stay.ended is None:
            self._stay.ended = self._history.position()

    def _disconnected(self, event: posewire.Event) -> None:
        self._stay_ends()
        self._was_moving = self._moving.locked()
        self._last_sign = min(self._sign_of_life, self.adverse_since or self._sign_of_life)
        self._around.note(f"{self.label} lost its connection: {event.data['reason']}")

    def _reconnected(self, event: posewire.Event) -> None:
        loop = asyncio.get_running_loop()
        generation = self._around.server.generation
        back = Comeback(
            session=self.label,
            at=self._history.position(),
            resumed=event.data.get("resumed", False),
            reason=event.data.get("reason", ""),
            seconds=loop.time() - self._last_sign,
            generations=generation - self._generation,
            token_ended=self._tokens_end,
            moving=self._was_moving or self._moving.locked(),
        )
        self._generation = generation
        self._history.comebacks.append(back)
        self._around.note(f"{self.label} is back: {'resumed' if back.resumed else f'not resumed: {back.reason}'}")
        self._sign()
        if not self.link.adverse:
            self.adverse_since = None
        if self._moving.locked():
            return  # the move begins another stay
        if back.resumed and self._stay is not None:
            self._stay.ended = None
        else:
            self._stay_begins()

    def _sign(self) -> None:
        self._sign_of_life = asyncio.get_running_loop().time()

    # Traffic ---------------------------------------------------------------------------------------------------------

    def _received(self, event: posewire.Event) -> None:
        self._sign()
        sender, number, room = event.data["from"], event.data["number"], event.data["room"]
        if event.user_id != sender.partition(".")[0]:
            self._history.wrong.append(f"forged: event {number} of {sender} came from {event.user_id}")
        self._history.received.append(
            Received(receiver=self.label, sender=sender, number=number, room=room, at=self._history.position())
        )

    async def _send_events(self) -> None:
        while not self._around.quiet.is_set():
            await asyncio.sleep(self._chance.uniform(0, 2 * _EVENT_SECONDS))
            if len(self._sends) >= _MOST_AT_ONCE or self._moving.locked():
                continue
            task = asyncio.get_running_loop().create_task(self._send_event(), name=f"chaos.send.{self.label}")
            self._sends.add(task)
            task.add_done_callback(self._sends.discard)

    async def _send_event(self) -> None:
        state = self.session.rooms.state
        if state is None:
            return
        self._numbers += 1
        record = Sent(sender=self.label, number=self._numbers, room=state.room_id, began=self._history.position())
        self._history.sent.append(record)
        data: dict[str, Any] = {"from": self.label, "number": record.number, "room": record.room}
        data["padding"] = bytes(self._chance.randrange(_MOST_BYTES))
        try:
            await self.session.send_event(_NOTE, data)
        except posewire.PosewireError as exc:
            record.outcome, record.error = "raised", f"{type(exc).__name__}: {exc}"
        else:
            record.outcome = "returned"
        record.ended = self._history.position()

    async def _send_poses(self) -> None:
        number = 0
        while not self._around.quiet.is_set():
            await asyncio.sleep(_POSE_SECONDS)
            number += 1
            with contextlib.suppress(posewire.PosewireError):
                await self.session.send_pose(named_pose(self.index, number))

    async def _read_poses(self) -> None:
        with contextlib.suppress(posewire.PosewireError):
            async for frame in self.session.frames():
                self._sign()
                self._history.poses += 1
                points = frame.pose.pose_landmarks if frame.pose is not None else None
                if points is None:
                    self._history.wrong.append(f"wrong pose: {self.label} got one without landmarks")
                    continue
                self._check_pose(frame, *read_name(points), points)

    def _check_pose(self, frame: posewire.Frame, sender: int, number: int, points: Any) -> None:
        what = f"{self.label} got pose {number} of member {sender}, by {frame.user_id}, frame {frame.seq}"
        if not is_pose(points, sender, number):
            self._history.wrong.append(f"wrong pose: {what}: not what was sent")
        if self._history.indices.get(sender, "").partition(".")[0] != frame.user_id:
            self._history.wrong.append(f"wrong pose: {what}: another member's")
        newest, repeats = self._newest_pose.get((sender, frame.stream), (-1, 0))
        repeats += number == newest
        # Whoever enters a room is shown the newest pose of everyone, seen in an earlier stay or not: once an entry. A
        # frame may have waited for us since before it, so nothing is asked of which of the two comes when.
        if number < newest or (number == newest and repeats >= self.session.socket.epoch):
            kind = "repeated" if number == newest else "stale"
            self._history.wrong.append(f"{kind} pose: {what}: {newest} had come before it")
        self._newest_pose[sender, frame.stream] = max(number, newest), repeats
