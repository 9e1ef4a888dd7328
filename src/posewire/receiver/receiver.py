"""From the connection to the loops that subscribed."""

from __future__ import annotations

import asyncio
import logging
import math
import weakref
from collections import deque
from collections.abc import Callable

from posewire import clock
from posewire.config import ReceiverConfig
from posewire.errors import InvalidDataError, PosewireError, ProtocolError
from posewire.monitor import StreamFigures, StreamStats
from posewire.protocol import FrameType, Header, Kind, MissingReference, control
from posewire.receiver.frame import FrameKind
from posewire.receiver.subscription import Received, Subscription
from posewire.rooms import RoomManager
from posewire.sockets import SocketManager

logger = logging.getLogger(__name__)

_LATEST = 1e11
"""Seconds since 1970: the year 5138."""
_MAX_STATS = 1024
"""Streams that figures are kept of; then the one that started first is forgotten."""
_ASK_AGAIN = 0.25
"""Seconds until a keyframe that did not come is asked for again."""
_ASK_AT_ONCE = 0.05
"""The same when there was one."""


class Receiver:
    """Decodes each frame once and hands it to every subscription that wants it.

    Nothing a stranger sends is raised here: what cannot be read is counted in `drops` by reason and forgotten.
    Events are counted there too.

    Args:
        socket: The connection.
        rooms: Knows whose packet is whose.
        config: Size of the queues.
    """

    def __init__(self, socket: SocketManager, rooms: RoomManager, config: ReceiverConfig | None = None) -> None:
        self.drops = socket.drops
        self._socket = socket
        self._rooms = rooms
        self._config = config or ReceiverConfig()
        # Weak: a loop that was left with `break` is forgotten with its iterator.
        self._subscriptions: weakref.WeakSet[Subscription] = weakref.WeakSet()
        self._stats: dict[tuple[str, str], StreamStats] = {}
        self._asked: dict[tuple[int, int], tuple[float, int]] = {}
        """When a keyframe of a stream was asked for last, and the newest frame since that could not be read and may be
        referred to."""
        self._questions: deque[control.RequestKeyframe] = deque(maxlen=_MAX_STATS)
        self._asking = asyncio.Event()
        self._ended = False
        self._failure: Callable[[], BaseException] | None = None
        socket.on_packet(Kind.POSE, self._packet)
        socket.on_packet(Kind.AUDIO, self._packet)

    def subscribe(self, kind: str = "pose", user_id: str | None = None, stream: str | None = None) -> Subscription:
        """Return an async iterator of frames from now on.

        Raises:
            InvalidDataError: ``kind`` is neither ``pose`` nor ``audio``.
        """
        if kind not in ("pose", "audio"):
            raise InvalidDataError(f"kind {kind!r}: expected 'pose' or 'audio'")
        subscription = Subscription(
            "pose" if kind == "pose" else "audio", user_id, stream, size=self._config.queue_size
        )
        if self._ended:
            subscription.end(self._failure)
        self._subscriptions.add(subscription)
        return subscription

    def stats(self) -> list[StreamFigures]:
        """Return the figures of every stream that was heard."""
        now = clock.monotonic()
        return [stats.figures(now=now) for stats in self._stats.values()]

    def end(self, failure: Callable[[], BaseException] | None = None) -> None:
        """End every subscription, with what ``failure`` makes when there was one."""
        self._ended = True
        self._failure = failure
        for subscription in list(self._subscriptions):
            subscription.end(failure)

    async def run(self) -> None:
        """Ask for the keyframes that are missed; for ever."""
        while True:
            await self._asking.wait()
            self._asking.clear()
            while self._questions:
                question = self._questions.popleft()
                try:
                    await self._socket.request(question, bool)
                except PosewireError as exc:
                    # The next frame that cannot be read asks again.
                    logger.debug("keyframe not asked for: %s", exc)

    def _packet(self, header: Header, packet: bytes) -> None:
        opened = self._rooms.open(header, packet)
        if opened is None:
            return
        user_id, stream = opened.user_id, opened.stream
        kind: FrameKind = "pose" if header.kind is Kind.POSE else "audio"
        timestamp = self._socket.clock.to_local(header.captured_us / 1e6)
        self._observe(user_id, stream, header, timestamp, len(packet))
        wanting = [sub for sub in self._subscriptions if sub.wants(kind, user_id, stream)]
        if not wanting:
            return
        protocol = self._socket.protocol
        # Times before 1970 and far ahead cannot be; the sender's clock is wrong, and a pose has no such time.
        safe = min(max(0.0, timestamp), _LATEST)
        try:
            pose = protocol.decode_pose(header, opened.packet, timestamp=safe) if header.kind is Kind.POSE else None
            audio = protocol.decode_audio(header, opened.packet, timestamp=safe) if header.kind is Kind.AUDIO else None
        except ProtocolError as exc:
            self.drops[exc.reason] += 1
            logger.debug("dropped a frame of %s: %s", user_id, exc)
            if isinstance(exc, MissingReference):
                self._ask_keyframe(header)
            return
        received = Received(user_id, kind, stream, header.seq, timestamp, len(packet), pose, audio)
        for subscription in wanting:
            subscription.put(received)

    def _ask_keyframe(self, header: Header) -> None:
        now = clock.monotonic()
        stream = (header.member, header.stream)
        then, seq = self._asked.get(stream, (-math.inf, -1))
        # A reference newer than all we know of: the keyframe was sent, and it is lost too.
        known = header.seq - header.ref <= seq
        if now - then < (_ASK_AGAIN if known else _ASK_AT_ONCE):
            if known and header.frame_type is FrameType.ANCHOR:
                self._asked[stream] = (then, max(seq, header.seq))
            return
        if len(self._asked) >= _MAX_STATS:
            self._asked.clear()  # costs a question too many
        self._asked[stream] = (now, header.seq)
        self._questions.append(control.RequestKeyframe(member=header.member, stream=header.stream))
        self._asking.set()

    def _observe(self, user_id: str, stream: str, header: Header, timestamp: float, size: int) -> None:
        key = (user_id, stream)
        stats = self._stats.get(key)
        if stats is None:
            if len(self._stats) >= _MAX_STATS:
                del self._stats[next(iter(self._stats))]
            stats = self._stats[key] = StreamStats(user_id, stream)
        stats.observe(
            now=clock.monotonic(), age=clock.now() - timestamp, size=size, seq=header.seq, member=header.member
        )
