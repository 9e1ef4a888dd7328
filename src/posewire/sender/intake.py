"""Takes what is handed in and finds out what is wrong with it, while the caller can still be told."""

from __future__ import annotations

from typing import Any, Final

from posewire import clock
from posewire.config import MediaConfig, SenderConfig
from posewire.errors import InvalidDataError, RoomError
from posewire.flow import QueueItem
from posewire.limits import MAX_NAME_CHARS
from posewire.protocol import AudioChunk, Delivery, Kind, OpusPacket, PoseData, to_audio_chunk, to_pose_data
from posewire.rooms import RoomManager
from posewire.sender.capture_delays import CaptureDelays
from posewire.sender.capture_times import CaptureTimes
from posewire.sender.send_settings import checked_settings
from posewire.sockets import SocketManager
from posewire.values import is_number, is_whole, plain, shown

_LATEST: Final = 1e12
"""Seconds since 1970; what is later is of a wrong unit."""


class Intake:
    """Makes frames of poses and sound, with capture times that grow from frame to frame.

    Args:
        socket: The connection: who we are, and which version is written.
        rooms: Knows what we may do.
        config: Ages.
        media: What raw PCM is.
    """

    def __init__(self, socket: SocketManager, rooms: RoomManager, config: SenderConfig, media: MediaConfig) -> None:
        self._socket = socket
        self._rooms = rooms
        self._config = config
        self._media = media
        self.times = CaptureTimes()
        """Repairs capture times."""
        self.delays = CaptureDelays()
        """From capture to here."""
        self._offsets: dict[Kind, float] = {}

    def item(
        self,
        data_type: str,
        data: Any,
        priority: int,
        stream: str,
        timestamp: float | None,
        *,
        delivery: Delivery | None = None,
        max_age: float | None = None,
    ) -> QueueItem:
        """Return a frame, checked; see `UnifiedSender.send` for what it may be and what is raised."""
        priority = checked_priority(priority)
        if not isinstance(stream, str) or not 0 < len(stream) <= MAX_NAME_CHARS or not stream.isprintable():
            raise InvalidDataError(f"stream {stream!r:.60}: expected a name of 1 to {MAX_NAME_CHARS} characters")
        now = clock.monotonic()
        if data_type == "pose":
            pose: PoseData | AudioChunk | OpusPacket = to_pose_data(data)
            kind, delivery, expires = Kind.POSE, delivery or Delivery.LATEST, None
        else:
            rate, channels = self._media.sample_rate, self._media.channels
            coded = isinstance(data, OpusPacket)
            pose = data if coded else to_audio_chunk(data, sample_rate=rate, channels=channels)
            kind, delivery = Kind.AUDIO, delivery or Delivery.ORDERED
            expires = now + self._config.audio_max_age / 1000
        captured = pose.timestamp if timestamp is None else checked_time(timestamp)
        wall = clock.now()
        captured = self.times.repair((kind, stream), captured or wall, wall, self._offsets.get(kind, 0.0))
        self._check_freshness(kind, captured, wall)
        self.delays.note((kind, stream), wall - captured, now)
        return QueueItem(
            priority,
            captured,
            pose,
            kind=kind,
            delivery=delivery,
            stream=stream,
            queued=now,
            expires=expires if max_age is None else now + max_age,
        )

    def set_time_offset(self, ms: float, kind: Kind = Kind.POSE) -> None:
        """Say that frames of a kind were captured so much later than their timestamps say, from the next one on.

        A camera whose frames are stamped 80 ms after the light came in has an offset of -80; then its poses fit the
        sound. When the offset becomes less, times still grow; see `CaptureTimes`.

        Args:
            ms: Milliseconds, up to an hour either way; 0 is none.
            kind: Poses or sound.

        Raises:
            InvalidDataError: Not such a number; the old offset stays.
        """
        self._offsets[kind] = checked_settings({"time_offset": ms})["time_offset"] / 1000

    def check_grant(self) -> None:
        """See whether we may publish at all.

        Raises:
            RoomError: We are in no room, or may not publish in it.
        """
        state = self._rooms.state
        if state is None:
            raise RoomError("?", "not in a room; join one first")
        member = state.members.get(self._socket.user_id)
        if member is not None and not member.publish:
            raise RoomError(state.room_id, f"{member.id} may not publish here")

    def _check_freshness(self, kind: Kind, captured: float, now: float) -> None:
        """Refuse here what every receiver would refuse."""
        limit = self._socket.config.security.max_message_age / 1000
        old = kind is Kind.POSE and abs(captured - now) > limit
        if old and self._socket.protocol.body_version == 1:
            raise InvalidDataError(f"timestamp {captured}: a body of version 1 is signed within {limit:g} s of capture")


def checked_priority(priority: Any) -> int:
    """Return a priority as a plain whole number.

    Raises:
        InvalidDataError: It is none.
    """
    number = plain(priority)
    if not is_whole(number):
        raise InvalidDataError(f"priority {shown(priority)}: expected a whole number")
    return int(number)


def checked_time(timestamp: Any) -> float:
    """Return a capture time as a plain number.

    Raises:
        InvalidDataError: It is no number of seconds since 1970.
    """
    number = plain(timestamp)
    if not is_number(number) or not 0 <= number < _LATEST:
        raise InvalidDataError(f"timestamp {shown(timestamp)}: expected seconds since 1970")
    return float(number)
