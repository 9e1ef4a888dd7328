"""The one pipeline from capture loops to the connection."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from posewire import clock
from posewire.config import MediaConfig, SenderConfig
from posewire.errors import ConnectionError, InvalidDataError, PosewireError, QueueFullError
from posewire.flow import LADDER, QueueItem, SendOutcome, SendQueue, TokenBucket
from posewire.monitor import PerformanceMonitor
from posewire.protocol import Delivery, Kind, PoseData
from posewire.rooms import RoomManager
from posewire.sender.frame_writer import FrameWriter
from posewire.sender.intake import Intake
from posewire.sender.lane_pump import LanePump
from posewire.sender.quality_control import QualityControl
from posewire.sender.reliable_event import ReliableEvent
from posewire.sender.send_settings import checked_settings
from posewire.sender.sender_status import SenderStatus, look
from posewire.sender.thread_inbox import Offered, ThreadInbox
from posewire.sockets import Event, Lane, SocketManager

logger = logging.getLogger(__name__)

MAX_QUALITY_LEVEL: Final = len(LADDER) - 1
_LOOK_AGAIN: Final = 0.01
"""Seconds; a server that does not acknowledge does not tell when the link takes more, nor does the kernel."""


class UnifiedSender:
    """Everything that leaves goes through here, one frame at a time, the most urgent first.

    ``send → bounded priority queue → wait until the connection can take it → take the best → encode → zlib → token
    bucket → emit``. A frame is chosen and encoded only when the connection can take it, so what leaves is the newest
    there is. `run` is the pipeline; one task runs it.

    Args:
        socket: The connection.
        rooms: Opens streams.
        monitor: Told of each send.
        config: Queue, limit, ages.
        media: What raw PCM is.
    """

    def __init__(
        self,
        socket: SocketManager,
        rooms: RoomManager,
        monitor: PerformanceMonitor,
        *,
        config: SenderConfig | None = None,
        media: MediaConfig | None = None,
    ) -> None:
        self.sent = 0
        self.bytes_sent = 0
        self._socket = socket
        self._monitor = monitor
        self._config = config or SenderConfig()
        self._queue = SendQueue(self._config.queue_size, self._tell_drop)
        self.drops = self._queue.drops
        """Frames that did not leave, by reason; each is also an event ``drop``."""
        self._ceiling: float | None = self._config.bandwidth_limit
        self._bucket = TokenBucket(self._ceiling, now=clock.monotonic())
        self.intake = Intake(socket, rooms, self._config, media or MediaConfig())
        """What is handed in goes through it: checks, capture times, time offsets."""
        self._writer = FrameWriter(socket, rooms)
        self._quality = QualityControl(socket, self.intake.delays)
        self.queue, self.quality = self._queue, self._quality
        self.waits: deque[float] = deque(maxlen=100)
        """Seconds that each of the last frames waited before it left."""
        self.on_failed: Callable[[QueueItem, PosewireError], bool] = lambda item, error: False
        """Called with a frame that could not be sent; true when the caller will hand it in again with `resend`."""
        self._side_lanes = socket.side.lanes
        self._lane_pump = LanePump(socket, self._queue, self._writer, self._bucket, self._quality, self._send)
        self._changed = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._unconfirmed: set[asyncio.Future[Any]] = set()
        self._threads = ThreadInbox(self._take)
        self._running = self._ended = self._paused = False

    # Handing in ------------------------------------------------------------------------------------------------------

    async def send(
        self,
        data_type: str,
        data: Any,
        priority: int = 0,
        *,
        stream: str | None = None,
        timestamp: float | None = None,
        delivery: Delivery | None = None,
        max_age: float | None = None,
    ) -> SendOutcome:
        """Hand a frame in. Does not wait for the network, only lets the pipeline have a turn; cancelling is safe.

        Args:
            data_type: ``pose`` (latest wins) or ``audio`` (in order, with an age limit); events: `send_event`.
            data: Anything `to_pose_data` or `to_audio_chunk` takes. It is copied.
            priority: Higher goes first.
            stream: Name of the stream, by default the type.
            timestamp: Capture time, seconds on the scale of ``time.time()``; by default the data's own, else now.
            delivery: What a later frame of the stream does to it, when not what the type says.
            max_age: Seconds it may wait; then it is dropped as ``expired``.

        Raises:
            DataValidationError: The data is no pose or no sound; it names field, value and what was expected.
            RoomError: We are in no room, or may not publish in it.
            InvalidDataError: No such type, or a priority that is no number.
        """
        if data_type not in ("pose", "audio"):
            raise InvalidDataError(f"data_type {data_type!r}: expected 'pose' or 'audio'")
        stream = data_type if stream is None else stream
        item = self.intake.item(data_type, data, priority, stream, timestamp, delivery=delivery, max_age=max_age)
        self.intake.check_grant()
        outcome = self._put(item)
        # One turn for the others: a capture loop that awaits nothing else would starve whoever reads.
        await asyncio.sleep(0)
        return outcome

    async def send_event(self, name: str, data: Any = None, *, priority: int = 10) -> None:
        """Send an event to the other members and wait until the server has it. Cancelling gives up the waiting only.

        Raises:
            DataValidationError: The name or the data cannot travel.
            RoomError: We are in no room, or may not publish in it.
            QueueFullError: The queue is full of other events.
            ConnectionError: The connection went away before the server confirmed.
        """
        self._socket.protocol.encode_event(name, data)  # says now what is wrong with it
        self.intake.check_grant()
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._unconfirmed.add(done)
        try:
            item = QueueItem(
                priority,
                clock.now(),
                ReliableEvent(name, data, done),
                kind=Kind.EVENT,
                delivery=Delivery.RELIABLE,
                stream="event",
                queued=clock.monotonic(),
            )
            if not self._put(item):
                raise QueueFullError(f"{self._queue.capacity} events wait already")
            await done
        finally:
            self._unconfirmed.discard(done)

    def offer_from_thread(
        self, pose: Any, stream: str = "pose", timestamp: float | None = None, priority: int = 5
    ) -> bool:
        """Hand a pose in from a capture thread: never blocks, never grows, the newest of a stream wins.

        Returns:
            False when the pipeline is not running. What is wrong with a pose is found in the event loop, where it is
            counted as ``invalid`` and logged.
        """
        return self._threads.put(pose, stream, clock.now() if timestamp is None else timestamp, priority)

    # Looking and setting ---------------------------------------------------------------------------------------------

    def status(self) -> SenderStatus:
        """Return the pipeline as it is now."""
        return look(
            self._queue,
            self._quality,
            self._socket.pose_lane,
            sent=(self.sent, self.bytes_sent),
            ceiling=self._ceiling,
            repaired=self.intake.times.counts,
        )

    def loss(self, kind: Kind, stream: str) -> float:
        """Return the share of a stream's frames that did not come to somebody, as receivers said last; 0..1."""
        return self._quality.loss(self._writer.number(kind, stream))

    @property
    def current_quality_level(self) -> int:
        """The step of the quality ladder: 0 is full quality, `MAX_QUALITY_LEVEL` the least."""
        return self._quality.level

    @property
    def is_degraded(self) -> bool:
        """Whether less than full quality is sent, because the link takes no more."""
        return self._quality.level > 0

    def set_bandwidth_limit(self, bytes_per_s: float | None) -> None:
        """Send at most this many bytes a second, over all streams; None is no limit. At once.

        Raises:
            InvalidDataError: Not a number over 0; the old limit stays.
        """
        self._ceiling = checked_settings({"bandwidth_limit": bytes_per_s})["bandwidth_limit"]
        self._limit(clock.monotonic())

    def pause(self) -> None:
        """Let nothing leave until `resume`; what is handed in waits by the rules of the queue."""
        self._paused = True

    def resume(self) -> None:
        """Go on after `pause`."""
        self._paused = False
        self._pump_or_wake()

    async def flush(self) -> None:
        """Wait until nothing waits in the queue and all of it was handed to the transport. Cancelling is safe."""
        await self._idle.wait()

    # The pipeline ----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Send what is handed in, for ever. Cancelling drops what waits and fails the events not confirmed."""
        self._threads.open(asyncio.get_running_loop())
        self._running = True
        self._socket.on_credit = self._credit_came
        try:
            while True:
                self._changed.clear()
                item = self._pump()
                if item is None:
                    await self._wait_for_turn()
                elif isinstance(item.data, ReliableEvent):
                    await self._send_reliable(item)
                else:
                    await self._open_stream(item)
        finally:
            self._threads.close()
            self._running, self._ended = False, True
            self._queue.clear()
            self._idle.set()
            for done in self._unconfirmed:
                if not done.done():
                    done.set_exception(ConnectionError("the session ended before the server confirmed"))

    def _pump(self) -> QueueItem | None:
        """Send frames for as long as the link takes more, without waiting.

        Runs in whoever brings the occasion: a frame that is handed in, an acknowledgement, the pipeline's own task. So
        nothing wakes up for a frame that can go at once.

        Returns:
            The best frame, when something has to be waited for before it can go: `run` does that.
        """
        if self._paused:
            return None
        now = clock.monotonic()
        if self._quality.observe(now):
            self._limit(now)
        if self._side_lanes:
            if (item := self._lane_pump.pump(now)) is None and not len(self._queue):
                self._idle.set()
            return item
        while (item := self._queue.best(now)) is not None:
            lane = self._socket.lane
            if lane is None or self._bucket.delay(now) > 0:
                return None
            if not lane.takes(self._writer.expected_size(item), now, urgent=item.kind is Kind.AUDIO):
                self._quality.held_up()
                return None
            if isinstance(item.data, ReliableEvent) or not self._writer.is_open(item):
                return item
            self._queue.take(now)
            self._send(item, lane, now)
        self._idle.set()
        return None

    def _send(self, item: QueueItem, lane: Lane, now: float) -> None:
        data = item.data
        try:
            if isinstance(data, PoseData):
                self._quality.left()  # whatever becomes of it, the link did not hold it up
                data = self._quality.reduce(data)
            packet = self._writer.write(item, data)
            lane.write(packet)
        except PosewireError as exc:
            self._failed(item, exc)
            return
        self._sent(item, len(packet), now)

    async def _send_reliable(self, item: QueueItem) -> None:
        event = item.data
        self._queue.withdraw(item)
        try:
            reply, size = await self._socket.submit_event(event.name, event.data)
        except PosewireError as exc:
            self._failed(item, exc)
            if not event.done.done():
                event.done.set_exception(exc)
            return
        reply.add_done_callback(event.answered)
        self._sent(item, size, clock.monotonic())

    async def _open_stream(self, item: QueueItem) -> None:
        # Waits once a stream: what comes after depends on its number.
        try:
            await self._writer.open(item)
        except PosewireError as exc:
            if item.waiting:  # else it has been counted already
                self._failed(item, exc)

    async def _wait_for_turn(self) -> None:
        """Wait until it is worth looking again."""
        waiting, lane = len(self._queue), self._socket.lane
        if waiting and lane is None:
            await self._socket.writable()
            return
        waiting = 0 if self._paused else waiting
        delay = self._bucket.delay(clock.monotonic()) if waiting else 0.0
        if waiting and not delay and lane is not None and lane.credited is False:
            delay = _LOOK_AGAIN
        if not delay:
            await self._changed.wait()
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay):
                await self._changed.wait()  # the limit may be lifted meanwhile

    def _pump_or_wake(self) -> None:
        if not self._running or self._pump() is not None or len(self._queue):
            self._changed.set()

    def _credit_came(self) -> None:
        if len(self._queue) or self._quality.level:
            self._pump_or_wake()

    def _limit(self, now: float) -> None:
        """Let the token bucket follow the rate that the link takes, under the ceiling that was set."""
        rates = [rate for rate in (self._ceiling, self._quality.rate) if rate is not None]
        rate = min(rates, default=None)
        if rate != self._bucket.rate:
            self._bucket.set_rate(rate, now=now)
            self._changed.set()

    def _sent(self, item: QueueItem, size: int, now: float) -> None:
        self._bucket.charge(size, now=now)
        self.sent += 1
        self.bytes_sent += size
        self.waits.append(now - item.queued)
        self._monitor.update(True, self.waits[-1])

    def _failed(self, item: QueueItem, exc: PosewireError) -> None:
        if self.on_failed(item, exc):
            self._queue.withdraw(item)
            return
        reason = "disconnected" if isinstance(exc, ConnectionError) else "refused"
        if item.waiting:
            self._queue.drop(item, reason)
        else:
            self.give_up(item, reason)
        self._monitor.update(False, clock.monotonic() - item.queued)
        logger.debug("not sent: %r: %s", item, exc)

    def resend(self, item: QueueItem) -> SendOutcome:
        """Put a frame into the queue as it is, one that `on_failed` took over."""
        if self._ended:
            raise ConnectionError("the session is closed")
        outcome = self._queue.put(item)
        self._idle.clear()
        self._pump_or_wake()
        return outcome

    def give_up(self, item: QueueItem, reason: str) -> None:
        """Count a frame that `on_failed` took over, or that was not worth handing in, as dropped."""
        self.drops[reason] += 1
        self._tell_drop(item, reason)

    def _tell_drop(self, item: QueueItem, reason: str) -> None:
        self._tell(item.kind.name.lower(), item.stream, item.timestamp, reason)

    def _tell(self, kind: str, stream: str, timestamp: float, reason: str) -> None:
        data = {"kind": kind, "stream": stream, "timestamp": timestamp, "reason": reason}
        self._socket.dispatch(Event(name="drop", data=data))

    # Inside ----------------------------------------------------------------------------------------------------------

    def _put(self, item: QueueItem) -> SendOutcome:
        if not self._ended and item.kind is Kind.POSE and not self._quality.admits(item.stream, item.queued):
            self.give_up(item, "quality")
            return SendOutcome.DROPPED
        return self.resend(item)

    def _take(self, offered: Offered) -> None:
        self.drops["replaced"] += offered.replaced
        for timestamp in offered.times:
            self._tell("pose", offered.stream, timestamp, "replaced")
        try:
            self.intake.check_grant()
            self._put(self.intake.item("pose", offered.pose, offered.priority, offered.stream, offered.timestamp))
        except PosewireError as exc:
            self.drops["invalid"] += 1
            self._tell("pose", offered.stream, offered.timestamp, "invalid")
            logger.warning("a pose from a thread was dropped: %s", exc)
