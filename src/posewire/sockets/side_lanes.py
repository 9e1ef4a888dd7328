"""The further connections of a session, which carry poses, so that a packet lost there holds up nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

from posewire import clock
from posewire.config import ConnectionConfig
from posewire.errors import PosewireError
from posewire.flow import backoff
from posewire.protocol import control
from posewire.sockets.lane import Lane
from posewire.sockets.pool_status import LaneStatus

logger = logging.getLogger(__name__)

_LOOK_SECONDS: Final = 0.25
"""Between two looks whether another lane is wanted."""
_BACKED_UP_SECONDS: Final = 0.3
"""A lane is, when its oldest packet is under way for so long, and for several round trips."""
_ROUND_TRIPS: Final = 4
_SHORT_SECONDS: Final = 3.0
"""A lane that is lost so soon is not opened again at once."""
_LONGEST_PAUSE: Final = 30.0
"""Between two attempts to open a lane: the server may not know of lanes, or have no room for one."""
_IDLE: Final = "idle"
_HEARTBEAT: Final = control.REQUEST_NAMES[control.Heartbeat]


class _Beat:
    """What is known of a lane.

    Attributes:
        heard: When its last heartbeat was answered, monotonic seconds.
        round_trip: Seconds that took.
        received: Packets that came on it.
        carried: All that it had carried at the last cleanup.
        kept: Whether it is one of those that are kept up.
    """

    def __init__(self, *, kept: bool) -> None:
        self.heard = clock.monotonic()
        self.round_trip = 0.0
        self.received = 0
        self.carried = -1
        self.kept = kept


class _Pin:
    """The lane a stream goes on, and how many bytes had been sent on that one after the stream's last packet."""

    __slots__ = ("barrier", "lane")

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.barrier = lane.credit.sent_bytes


class SideLanes:
    """Keeps ``min_pool_size - 1`` of them up, opens more when those are backed up, and says which stream goes where.

    They belong to the primary lane, over which the server gives a ticket for each, and end with it. One that is lost
    costs the poses under way on it: its streams go on elsewhere, with a keyframe.

    Args:
        config: Sizes and times.
        primary: Waits for the primary lane to be open and greeted, and returns it.
        ask: Asks the server for a ticket.
        dial: Opens a lane with a ticket and what takes its packets. Raises when that fails.
        on_frame: Called with each packet that comes on one.
        on_change: Called when streams may go another way from now on; with True when what was sent may not have come.
        rng: Chance for the waits between attempts.
    """

    def __init__(
        self,
        config: ConnectionConfig,
        *,
        primary: Callable[[], Awaitable[Lane]],
        ask: Callable[[], Awaitable[control.LaneTicket]],
        dial: Callable[[str, Callable[[bytes], None]], Awaitable[Lane]],
        on_frame: Callable[[bytes], None],
        on_change: Callable[[bool], None],
        rng: random.Random,
    ) -> None:
        self.lanes: list[Lane] = []
        """Those that are open; the list itself stays the same one."""
        self.failed = 0
        """Lanes that were lost, replaced or not opened."""
        self.last_cleanup = 0.0
        """When idle ones were looked for last, on the scale of ``time.time()``; 0 never."""
        self._config = config
        self._wait_for_primary = primary
        self._ask = ask
        self._dial = dial
        self._on_frame = on_frame
        self._on_change = on_change
        self._rng = rng
        self._beats: dict[Lane, _Beat] = {}
        self._pins: dict[int, _Pin] = {}
        self._opening = False

    # Which stream goes where -----------------------------------------------------------------------------------------

    def lane_for(self, stream: int, primary: Lane) -> Lane | None:
        """Return the lane that the next pose of a stream goes on: the one before, unless that is gone.

        None while it has to wait: it leaves the primary lane, for one of ours, when all that was sent there has come,
        so that nothing overtakes.

        Args:
            stream: Its number.
            primary: The primary lane, which is open.
        """
        pin = self._pins.get(stream)
        if pin is None:
            pin = self._pins[stream] = _Pin(primary)
        if not pin.lane.closed.is_set():
            if pin.lane is not primary or not self.lanes:
                return pin.lane
            if primary.credit.acknowledged_bytes < pin.barrier:
                return None
        pin.lane = self._least_used() or primary
        return pin.lane

    def sent(self, stream: int, lane: Lane) -> None:
        """Take note that a pose of a stream was written to a lane."""
        pin = self._pins.get(stream)
        if pin is not None and pin.lane is lane:
            pin.barrier = lane.credit.sent_bytes

    def forget_streams(self) -> None:
        """Another room: the numbers are those of other streams."""
        self._pins.clear()

    def _least_used(self) -> Lane | None:
        pinned = [pin.lane for pin in self._pins.values()]
        return min((lane for lane in self.lanes if not lane.closed.is_set()), key=pinned.count, default=None)

    # Keeping them up -------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep them up, for ever; when cancelled all are closed."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._clean(), name="posewire.lanes.cleanup")
            for index in range(1, self._config.largest_pool):
                kept = index < self._config.min_pool_size
                group.create_task(self._keep(kept), name=f"posewire.lane{index}")

    def drop(self, reason: str) -> None:
        """The primary lane is gone: so are these."""
        for lane in self.lanes:
            lane.cut(reason)

    def status(self) -> list[LaneStatus]:
        """Return the lanes as they are now."""
        return [
            LaneStatus(
                connection_id=lane.id,
                url=lane.url,
                primary=False,
                healthy=not lane.closed.is_set() and not self._silent(beat),
                round_trip=beat.round_trip,
                in_flight=lane.credit.in_flight,
                bytes_sent=lane.credit.sent_bytes,
            )
            for lane, beat in self._beats.items()
        ]

    async def _keep(self, kept: bool) -> None:
        """Open a lane whenever there is to be one, and see to it until it is gone."""
        pauses = self._pauses()
        while True:
            beat = _Beat(kept=kept)
            lane = await self._open(beat)
            if lane is None:
                await asyncio.sleep(next(pauses))
                continue
            opened = clock.monotonic()
            try:
                self.lanes.append(lane)
                self._beats[lane] = beat
                self._on_change(False)
                await self._watch(lane, beat)
            finally:
                self.lanes.remove(lane)
                del self._beats[lane]
                lost = any(pin.lane is lane for pin in self._pins.values())
                if not self.lanes:
                    self._pins.clear()  # from now on poses go on the primary lane, and nobody asks
                self._on_change(lost)
                await _close(lane)
            if clock.monotonic() - opened < _SHORT_SECONDS:
                await asyncio.sleep(next(pauses))
            else:
                pauses = self._pauses()

    async def _open(self, beat: _Beat) -> Lane | None:
        """Wait until a lane is wanted, and open it; None when that failed."""
        primary = await self._wait_for_primary()
        while not beat.kept and not self._wanted(primary):
            await asyncio.sleep(_LOOK_SECONDS)
            primary = await self._wait_for_primary()

        def received(packet: bytes) -> None:
            beat.received += 1
            self._on_frame(packet)

        self._opening = True
        try:
            ticket = await self._ask()
            lane = await self._dial(ticket.ticket, received)
        except PosewireError as exc:
            self.failed += 1
            logger.info("no further lane: %s", exc)
            return None
        finally:
            self._opening = False
        lane.credited = primary.credited
        beat.heard = clock.monotonic()
        if primary.closed.is_set():
            await _close(lane)  # the server has, too
            return None
        return lane

    async def _watch(self, lane: Lane, beat: _Beat) -> None:
        """Ask for heartbeats until a lane is gone, or silent for too long."""
        interval = min(self._config.heartbeat_interval, self._config.connection_timeout / 3) / 1000
        while not lane.closed.is_set():
            asked = clock.monotonic()
            try:
                await lane.request(_HEARTBEAT, {})
                beat.heard = clock.monotonic()
                beat.round_trip = beat.heard - asked
            except PosewireError as exc:
                logger.info("a lane's heartbeat was missed: %s", exc)
            if self._silent(beat):
                lane.cut("no heartbeat was answered for too long")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(interval):
                    await lane.closed.wait()
        self.failed += lane.close_reason != _IDLE
        logger.info("a lane is gone: %s", lane.close_reason)

    async def _clean(self) -> None:
        """Now and then, cut lanes that are not kept up and have carried nothing since the last time."""
        while True:
            await asyncio.sleep(self._config.cleanup_interval / 1000)
            self.last_cleanup = clock.now()
            for lane, beat in list(self._beats.items()):
                carried = beat.received + lane.credit.sent_bytes
                if carried == beat.carried and not beat.kept:
                    lane.cut(_IDLE)
                beat.carried = carried

    def _wanted(self, primary: Lane) -> bool:
        """Whether all that poses go on is backed up, and nobody is about to open another."""
        now = clock.monotonic()
        return not self._opening and all(_backed_up(lane, now) for lane in self.lanes or [primary])

    def _silent(self, beat: _Beat) -> bool:
        return clock.monotonic() - beat.heard > self._config.connection_timeout / 1000

    def _pauses(self) -> Iterator[float]:
        first = self._config.reconnect_delay / 1000
        return backoff(first=first, ceiling=max(first, _LONGEST_PAUSE), rng=self._rng)


def _backed_up(lane: Lane, now: float) -> bool:
    return lane.credit.oldest(now) > max(_BACKED_UP_SECONDS, _ROUND_TRIPS * lane.credit.round_trip)


async def _close(lane: Lane) -> None:
    """Close a lane, to the end, also when cancelled meanwhile: nobody else will."""
    closing = asyncio.get_running_loop().create_task(lane.close(goodbye=False), name="posewire.lane.closing")
    ours: asyncio.CancelledError | None = None
    while not closing.done():
        try:
            await asyncio.wait([closing])
        except asyncio.CancelledError as exc:
            ours = exc
    if ours is not None:
        raise ours
    closing.result()
