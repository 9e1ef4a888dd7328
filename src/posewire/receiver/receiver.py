"""From the connection to the loops that subscribed."""

from __future__ import annotations

import functools
import logging
import weakref
from collections.abc import Callable

from posewire import clock
from posewire.config import ReceiverConfig
from posewire.errors import InvalidDataError, ProtocolError, SynchronizationError
from posewire.monitor import StreamFigures, StreamStats
from posewire.protocol import AudioChunk, Header, Kind, MissingReference, unpack_header
from posewire.receiver.alignment import Alignment
from posewire.receiver.audio_decoder import AudioDecoder
from posewire.receiver.frame import FrameKind
from posewire.receiver.keyframes import Keyframes
from posewire.receiver.one_euro_filter import OneEuro
from posewire.receiver.playout_buffer import Timeline
from posewire.receiver.playout_subscription import Playout, PlayoutSubscription, new_timeline
from posewire.receiver.pose_smoother import PoseSmoother
from posewire.receiver.received import Received
from posewire.receiver.reporter import Reporter
from posewire.receiver.subscription import Subscription
from posewire.rooms import Opened, RoomManager
from posewire.sockets import Event, SocketManager
from posewire.values import shown

logger = logging.getLogger(__name__)

_LATEST = 1e11
"""Seconds since 1970: the year 5138."""
_MAX_STATS = 1024
"""Streams that figures are kept of; then the one that started first is forgotten."""


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
        self.audio = AudioDecoder(socket.drops)
        """Knows how loud everybody is, and what sound was made up."""
        socket.protocol.on_forget = self.audio.forget
        self._socket = socket
        self._rooms = rooms
        self._config = config or ReceiverConfig()
        # Weak: a loop that was left with `break` is forgotten with its iterator.
        self._subscriptions: weakref.WeakSet[Subscription] = weakref.WeakSet()
        self._audiences: dict[tuple[FrameKind, str, str], tuple[weakref.ref[Subscription], ...]] = {}
        """Who wants a stream: by kind, member and name. Found anew when a subscription comes or goes."""
        self._timelines: weakref.WeakValueDictionary[tuple[str, Playout], Timeline] = weakref.WeakValueDictionary()
        """Of members whose sound and poses are shown together; kept by the buffers that go by them."""
        self._stats: dict[tuple[str, str], StreamStats] = {}
        self._shown: dict[tuple[str, int, int], int] = {}
        """The newest pose of each stream that was delivered, by member, its number and the stream's."""
        self._epoch = -1
        self._keyframes = Keyframes(socket, self._show)
        self._reporter = Reporter(socket, self._stats)
        self._ended = False
        self._failure: Callable[[], BaseException] | None = None
        rooms.on_entered = self._entered
        socket.on_packet(Kind.POSE, self._packet)
        socket.on_packet(Kind.AUDIO, self._packet)

    def subscribe(
        self,
        kind: str = "pose",
        user_id: str | None = None,
        stream: str | None = None,
        *,
        playout: str | None = None,
        delay: float | None = None,
        fps: float | None = None,
        smoothing: OneEuro | None = None,
    ) -> Subscription:
        """Return an async iterator of frames from now on; the arguments are those of `Session.frames`.

        Raises:
            InvalidDataError: One of them is wrong, or does not fit the others.
        """
        if kind not in ("pose", "audio"):
            raise InvalidDataError(f"kind {kind!r}: expected 'pose' or 'audio'")
        for name, value in (("user_id", user_id), ("stream", stream)):
            if value is not None and not isinstance(value, str):
                raise InvalidDataError(f"{name} {shown(value)}: expected a name, or None for all")
        chosen = Playout.chosen(self._config, kind, playout, delay, fps)
        if smoothing is not None and (kind != "pose" or not isinstance(smoothing, OneEuro)):
            raise InvalidDataError(f"smoothing {smoothing!r}: expected None, or with poses a OneEuro")
        smoother = None if smoothing is None else PoseSmoother(smoothing)
        which: tuple[FrameKind, str | None, str | None] = ("pose" if kind == "pose" else "audio", user_id, stream)
        size, ended = self._config.queue_size, self._audiences.clear
        if chosen is None:
            subscription = Subscription(*which, size=size, ended=ended, smoother=smoother)
        else:
            together = chosen.mode == "timecode"
            subscription = PlayoutSubscription(
                *which,
                size=size,
                playout=chosen,
                timeline=functools.partial(self._timeline, chosen) if together else None,
                aligned=self._aligned if together else None,
                ended=ended,
                smoother=smoother,
            )
        if self._ended:
            subscription.end(self._failure)
        if kind == "pose" and not self._ended and not any(each.kind == "pose" for each in self._subscriptions):
            self._look_around()  # nothing was decoded so far
        self._subscriptions.add(subscription)
        self._audiences.clear()
        return subscription

    def _timeline(self, playout: Playout, user_id: str) -> Timeline:
        """Return what all loops with this playout share of a member."""
        timeline = self._timelines.get((user_id, playout))
        if timeline is None:
            timeline = self._timelines[user_id, playout] = new_timeline(playout)
        return timeline

    def _aligned(self, received: Received, alignment: Alignment) -> None:
        """Tell the application that sound and pose of a member are apart, or together again."""
        component = f"{received.kind} of {received.user_id}"
        data = {
            "user_id": received.user_id,
            "kind": received.kind,
            "stream": received.stream,
            "held": alignment.held,
            "offset": alignment.offset * 1000,
            "error": None if alignment.held else SynchronizationError(component, round(alignment.offset * 1000, 1)),
        }
        self._socket.dispatch(Event(name="synchronization", data=data))

    def stats(self) -> list[StreamFigures]:
        """Return the figures of every stream that was heard."""
        now = clock.monotonic()
        return [stats.figures(now=now) for stats in self._stats.values()]

    def stream_stats(self) -> list[StreamStats]:
        """Return what counts each stream that was heard; for a sampler, to which `stats` would be too much."""
        return list(self._stats.values())

    def end(self, failure: Callable[[], BaseException] | None = None) -> None:
        """End every subscription, with what ``failure`` makes when there was one."""
        self._ended = True
        self._reporter.close()
        self._failure = failure
        for subscription in list(self._subscriptions):
            subscription.end(failure)

    async def run(self) -> None:
        """Ask for the pictures and keyframes that are missed; for ever."""
        await self._keyframes.run()

    def _packet(self, header: Header, packet: bytes) -> None:
        opened = self._rooms.packets.open(header, packet)
        if opened is None:
            self._reporter.heard(clock.monotonic())
            return
        user_id, stream = opened.user_id, opened.stream
        timestamp = self._socket.clock.to_local(header.captured_us / 1e6)
        stats = self._observe(user_id, stream, header, timestamp, len(packet))
        self._read(header, opened, stats, len(packet))

    def _read(self, header: Header, opened: Opened, stats: StreamStats, size: int) -> None:
        user_id, stream = opened.user_id, opened.stream
        kind: FrameKind = "pose" if header.kind is Kind.POSE else "audio"
        timestamp = self._socket.clock.to_local(header.captured_us / 1e6)
        audience = self._audiences.get((kind, user_id, stream))
        if audience is None:
            audience = self._find_audience(kind, user_id, stream)
        if not audience:
            return
        protocol = self._socket.protocol
        # Times before 1970 and far ahead cannot be; the sender's clock is wrong, and a pose has no such time.
        safe = min(max(0.0, timestamp), _LATEST)
        sounds: list[AudioChunk | None] = [None]
        try:
            pose = protocol.decode_pose(header, opened.packet, timestamp=safe) if header.kind is Kind.POSE else None
            if header.kind is Kind.AUDIO:
                sound = protocol.decode_audio(header, opened.packet, timestamp=safe)
                sounds = [*self.audio.decode(header, sound, user_id, now=clock.monotonic())]
        except ProtocolError as exc:
            if isinstance(exc, MissingReference) and self._keyframes.wait_for_picture(
                header, functools.partial(self._read, header, opened, stats, size)
            ):
                return
            self.drops[exc.reason] += 1
            logger.debug("dropped a frame of %s: %s", user_id, exc)
            if isinstance(exc, MissingReference):
                self._keyframes.ask(header)
            return
        if pose is not None and self._shown_already(header, user_id):
            return  # a picture, or what waited for one; what refers to it can be read now
        for audio in sounds:
            # What was missing before this packet comes with it.
            shift = audio.timestamp - safe if audio is not None else 0.0
            weight = size if audio is sounds[-1] else 0
            received = Received(
                user_id, kind, stream, header.seq, timestamp + shift, weight, clock.now(), stats, pose, audio
            )
            for reference in audience:
                if (subscription := reference()) is not None:
                    subscription.put(received)

    def _entered(self) -> None:
        if any(each.kind == "pose" for each in self._subscriptions):
            self._look_around()

    def _look_around(self) -> None:
        """Get the newest picture of every stream, so that the next frame of each has what it refers to."""
        state = self._rooms.state
        if state is None:
            return
        for stream in state.streams.values():
            if stream.kind == "pose" and stream.user_id != self._socket.user_id:
                self._keyframes.fetch(stream.member, stream.number)

    def _show(self, packets: list[bytes]) -> None:
        """Take in a picture: all of it is decoded; the last frame is delivered, if it was not here already."""
        for packet in packets:
            try:
                header = unpack_header(packet)
                again = self._rooms.packets.reopen(header, packet) if header.kind is Kind.POSE else None
                if again is None:
                    return
                opened, new = again
                if new and packet is packets[-1]:
                    self._packet(header, packet)
                    return
                self._socket.protocol.decode_pose(header, opened.packet, timestamp=0.0)
                stats = self._stats.get((opened.user_id, opened.stream))
                if packet is packets[-1] and stats is not None and stats.is_newest(header.member, header.seq):
                    self._read(header, opened, stats, len(packet))  # it may have come while nobody watched
            except ProtocolError as exc:
                # It only saves a keyframe; without it one is asked for.
                logger.debug("a picture could not be read: %s", exc)
                return

    def _shown_already(self, header: Header, user_id: str) -> bool:
        """Return whether a pose, or a newer one of its stream, was delivered before; else note that it is now."""
        if self._epoch != self._socket.epoch or len(self._shown) > _MAX_STATS:
            self._epoch = self._socket.epoch
            self._shown.clear()
        stream = (user_id, header.member, header.stream)
        if header.seq <= self._shown.get(stream, -1):
            return True
        self._shown[stream] = header.seq
        return False

    def _find_audience(self, kind: FrameKind, user_id: str, stream: str) -> tuple[weakref.ref[Subscription], ...]:
        if len(self._audiences) >= _MAX_STATS:
            self._audiences.clear()  # members come and go
        # Held until the answer is noted, so that none can be forgotten meanwhile.
        wanting = [subscription for subscription in self._subscriptions if subscription.wants(kind, user_id, stream)]
        audience = tuple(weakref.ref(subscription, self._forgotten) for subscription in wanting)
        self._audiences[kind, user_id, stream] = audience
        return audience

    def _forgotten(self, _: weakref.ref[Subscription]) -> None:
        self._audiences.clear()

    def _observe(self, user_id: str, stream: str, header: Header, timestamp: float, size: int) -> StreamStats:
        key = (user_id, stream)
        stats = self._stats.get(key)
        if stats is None:
            if len(self._stats) >= _MAX_STATS:
                del self._stats[next(iter(self._stats))]
            stats = self._stats[key] = StreamStats(user_id, stream, number=header.stream)
        stats.number = header.stream  # another, when the member came back and opened its streams in another order
        now = clock.monotonic()
        stats.observe(now=now, age=clock.now() - timestamp, size=size, seq=header.seq, member=header.member)
        self._reporter.observe(stats, now)
        return stats
