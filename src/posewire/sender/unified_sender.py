"""The one pipeline from capture loops to the connection."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import Any, Final

import msgspec

from posewire import clock
from posewire.config import MediaConfig, SenderConfig
from posewire.errors import (
    ConnectionError,
    DataValidationError,
    InvalidDataError,
    PosewireError,
    QueueFullError,
    RoomError,
)
from posewire.flow import QueueItem, SendOutcome, SendQueue, TokenBucket
from posewire.limits import MAX_NAME_CHARS
from posewire.monitor import PerformanceMonitor
from posewire.protocol import (
    AudioChunk,
    CodedPose,
    Delivery,
    FrameType,
    Kind,
    PoseData,
    control,
    to_audio_chunk,
    to_pose_data,
)
from posewire.rooms import RoomManager
from posewire.sockets import SocketManager

logger = logging.getLogger(__name__)

KINDS: Final = {"pose": Kind.POSE, "audio": Kind.AUDIO, "event": Kind.EVENT}


class SenderStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A look at the pipeline."""

    waiting: int
    capacity: int
    sent: int
    bytes_sent: int
    bandwidth_limit: float | None
    drops: dict[str, int]


class _Reliable(msgspec.Struct):
    """An event with the future its sender waits on."""

    name: str
    data: Any
    done: asyncio.Future[Any]


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
        self.drops: Counter[str] = Counter()
        """Frames that did not leave, by reason; with `SendQueue.drops` in `status`."""
        self.sent = 0
        self.bytes_sent = 0
        self._socket = socket
        self._rooms = rooms
        self._monitor = monitor
        self._config = config or SenderConfig()
        self._media = media or MediaConfig()
        self._queue = SendQueue(self._config.queue_size)
        self._bucket = TokenBucket(self._config.bandwidth_limit, now=clock.monotonic())
        self._changed = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._streams: dict[tuple[Kind, str], int] = {}
        self._epoch = -1
        self._unconfirmed: set[asyncio.Future[Any]] = set()
        self._inbox: dict[str, tuple[Any, float, int]] = {}
        self._inbox_called = False
        self._loop: asyncio.AbstractEventLoop | None = None
        socket.on_server_event(control.KEYFRAME, self._keyframe_wanted)

    # Handing in ------------------------------------------------------------------------------------------------------

    async def send(
        self,
        data_type: str,
        data: Any,
        priority: int = 0,
        *,
        stream: str | None = None,
        timestamp: float | None = None,
    ) -> SendOutcome:
        """Hand a frame in. Does not wait for the network, only lets the pipeline have a turn; cancelling is safe.

        Args:
            data_type: ``pose`` (latest wins) or ``audio`` (in order, with an age limit); events: `send_event`.
            data: Anything `to_pose_data` or `to_audio_chunk` takes. It is copied.
            priority: Higher goes first.
            stream: Name of the stream, by default the type.
            timestamp: Capture time, seconds on the scale of ``time.time()``; by default the data's own, else now.

        Raises:
            DataValidationError: The data is no pose or no sound; it names field, value and what was expected.
            RoomError: We are in no room, or may not publish in it.
            InvalidDataError: No such type, or a priority that is no number.
        """
        if data_type not in ("pose", "audio"):
            raise InvalidDataError(f"data_type {data_type!r}: expected 'pose' or 'audio'")
        item = self._item(data_type, data, priority, data_type if stream is None else stream, timestamp)
        self._check_grant()
        outcome = self._put(item)
        # One turn for the pipeline: a capture loop that awaits nothing else would starve it.
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
        self._check_grant()
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._unconfirmed.add(done)
        try:
            item = QueueItem(
                priority,
                clock.now(),
                _Reliable(name, data, done),
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
        if self._loop is None or self._loop.is_closed():
            return False
        self._inbox[stream] = (pose, clock.now() if timestamp is None else timestamp, priority)
        if not self._inbox_called:
            # Set before the call: at most one call is under way, however fast the thread is.
            self._inbox_called = True
            self._loop.call_soon_threadsafe(self._empty_inbox)
        return True

    # Looking and setting ---------------------------------------------------------------------------------------------

    def status(self) -> SenderStatus:
        """Return the pipeline as it is now."""
        return SenderStatus(
            waiting=len(self._queue),
            capacity=self._queue.capacity,
            sent=self.sent,
            bytes_sent=self.bytes_sent,
            bandwidth_limit=self._bucket.rate,
            drops=dict(self._queue.drops + self.drops),
        )

    def set_bandwidth_limit(self, bytes_per_s: float | None) -> None:
        """Send at most this many bytes a second, over all streams; None is no limit. At once.

        Raises:
            InvalidDataError: Not a number over 0; the old limit stays.
        """
        if bytes_per_s is not None and (isinstance(bytes_per_s, bool) or not isinstance(bytes_per_s, int | float)):
            raise InvalidDataError(f"bandwidth limit {bytes_per_s!r}: expected bytes a second")
        if bytes_per_s is not None and not 0 < bytes_per_s < float("inf"):
            raise InvalidDataError(f"bandwidth limit {bytes_per_s}: expected more than 0 bytes a second")
        self._bucket.set_rate(bytes_per_s, now=clock.monotonic())
        self._changed.set()

    async def flush(self) -> None:
        """Wait until nothing waits in the queue and all of it was handed to the transport. Cancelling is safe."""
        await self._idle.wait()

    # The pipeline ----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Send what is handed in, for ever. Cancelling drops what waits and fails the events not confirmed."""
        self._loop = asyncio.get_running_loop()
        try:
            while True:
                await self._next_turn()
                item = self._queue.take(clock.monotonic())
                if item is not None:
                    await self._send(item)
                if not len(self._queue):
                    self._idle.set()
        finally:
            self._loop = None
            self._queue.clear()
            self._idle.set()
            for done in self._unconfirmed:
                if not done.done():
                    done.set_exception(ConnectionError("the session ended before the server confirmed"))

    async def _next_turn(self) -> None:
        """Wait until there is a frame, the connection can take one, and the rate limit allows one."""
        while True:
            while not len(self._queue):
                self._changed.clear()
                await self._changed.wait()
            await self._socket.writable()
            if (delay := self._bucket.delay(clock.monotonic())) <= 0:
                return
            self._changed.clear()
            try:
                async with asyncio.timeout(delay):
                    await self._changed.wait()  # the limit may be lifted meanwhile
            except TimeoutError:
                pass

    async def _send(self, item: QueueItem) -> None:
        event = item.data if isinstance(item.data, _Reliable) else None
        try:
            packet = await self._encode(item)
            if event is not None:
                reply = await self._socket.submit_packet(packet)
                reply.add_done_callback(lambda reply: _pass_on(reply, event.done))
            else:
                await self._socket.send_packet(packet)
        except PosewireError as exc:
            self.drops["disconnected" if isinstance(exc, ConnectionError) else "refused"] += 1
            self._monitor.update(False, clock.monotonic() - item.queued)
            logger.debug("not sent: %r: %s", item, exc)
            if event is not None and not event.done.done():
                event.done.set_exception(exc)
            return
        self._bucket.charge(len(packet), now=clock.monotonic())
        self.sent += 1
        self.bytes_sent += len(packet)
        self._monitor.update(True, clock.monotonic() - item.queued)

    async def _encode(self, item: QueueItem) -> bytes:
        if isinstance(item.data, _Reliable):
            return self._socket.event_packet(item.data.name, item.data.data)
        protocol = self._socket.protocol
        # Waits once a stream: what comes after depends on its number.
        number = await self._stream_number(item.kind, item.stream)
        if item.kind is Kind.POSE:
            version = protocol.body_version
            seq = self._socket.writer.next_seq(number)
            now = self._socket.clock.to_server(clock.now())
            coded = protocol.encode_pose(item.data, now=now, stream=number, seq=seq)
        else:
            version, coded = 2, CodedPose(FrameType.KEY, 0, protocol.encode_audio(item.data))
        return self._socket.writer.write(
            item.kind,
            item.delivery,
            number,
            version=version,
            captured_us=self._socket.captured_us(item.timestamp),
            body=coded.body,
            frame_type=coded.frame_type,
            ref=coded.ref,
        )

    def _keyframe_wanted(self, data: Any) -> None:
        try:
            wanted = control.from_plain(data, control.KeyframeWanted, what="keyframe")
        except DataValidationError as exc:
            logger.warning("request for a keyframe not understood: %s", exc)
            return
        self._socket.protocol.request_keyframe(wanted.stream)

    async def _stream_number(self, kind: Kind, name: str) -> int:
        if self._epoch != self._socket.epoch:
            self._streams.clear()
            self._epoch = self._socket.epoch
        if (number := self._streams.get((kind, name))) is None:
            epoch = self._epoch
            number = await self._rooms.open_stream("pose" if kind is Kind.POSE else "audio", name)
            if epoch != self._socket.epoch:
                raise ConnectionError("the room changed while a stream was being opened")
            self._streams[kind, name] = number
        return number

    # Inside ----------------------------------------------------------------------------------------------------------

    def _item(self, data_type: str, data: Any, priority: int, stream: str, timestamp: float | None) -> QueueItem:
        if isinstance(priority, bool) or not isinstance(priority, int):
            raise InvalidDataError(f"priority {priority!r}: expected a whole number")
        if not isinstance(stream, str) or not 0 < len(stream) <= MAX_NAME_CHARS or not stream.isprintable():
            raise InvalidDataError(f"stream {stream!r:.60}: expected a name of 1 to {MAX_NAME_CHARS} characters")
        now = clock.monotonic()
        if data_type == "pose":
            pose: PoseData | AudioChunk = to_pose_data(data)
            kind, delivery, expires = Kind.POSE, Delivery.LATEST, None
        else:
            pose = to_audio_chunk(data, sample_rate=self._media.sample_rate, channels=self._media.channels)
            kind, delivery, expires = Kind.AUDIO, Delivery.ORDERED, now + self._config.audio_max_age / 1000
        captured = pose.timestamp if timestamp is None else timestamp
        if not isinstance(captured, int | float) or not 0 <= captured < 1e12:
            raise InvalidDataError(f"timestamp {captured!r}: expected seconds since 1970")
        self._check_freshness(kind, captured)
        return QueueItem(
            priority,
            captured or clock.now(),
            pose,
            kind=kind,
            delivery=delivery,
            stream=stream,
            queued=now,
            expires=expires,
        )

    def _check_freshness(self, kind: Kind, captured: float) -> None:
        """Refuse here what every receiver would refuse."""
        limit = self._socket.config.security.max_message_age / 1000
        old = kind is Kind.POSE and captured and abs(captured - clock.now()) > limit
        if old and self._socket.protocol.body_version == 1:
            raise InvalidDataError(f"timestamp {captured}: a body of version 1 is signed within {limit:g} s of capture")

    def _check_grant(self) -> None:
        state = self._rooms.state
        if state is None:
            raise RoomError("?", "not in a room; join one first")
        member = state.members.get(self._socket.user_id)
        if member is not None and not member.publish:
            raise RoomError(state.room_id, f"{member.id} may not publish here")

    def _put(self, item: QueueItem) -> SendOutcome:
        outcome = self._queue.put(item)
        self._idle.clear()
        self._changed.set()
        return outcome

    def _empty_inbox(self) -> None:
        self._inbox_called = False
        while self._inbox:
            stream, (pose, timestamp, priority) = self._inbox.popitem()
            try:
                self._check_grant()
                self._put(self._item("pose", pose, priority, stream, timestamp))
            except PosewireError as exc:
                self.drops["invalid"] += 1
                logger.warning("a pose from a thread was dropped: %s", exc)


def _pass_on(reply: asyncio.Future[Any], done: asyncio.Future[Any]) -> None:
    if done.done() or reply.cancelled():
        return
    if (error := reply.exception()) is not None:
        done.set_exception(error)
    else:
        done.set_result(reply.result())
