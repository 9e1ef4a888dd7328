"""Takes what is handed in and finds out what is wrong with it, while the caller can still be told."""

from __future__ import annotations

from typing import Any

from posewire import clock
from posewire.config import MediaConfig, SenderConfig
from posewire.errors import InvalidDataError, RoomError
from posewire.flow import QueueItem
from posewire.limits import MAX_NAME_CHARS
from posewire.protocol import AudioChunk, Delivery, Kind, OpusPacket, PoseData, to_audio_chunk, to_pose_data
from posewire.rooms import RoomManager
from posewire.sockets import SocketManager


class Intake:
    """Makes frames of poses and sound.

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

    def item(self, data_type: str, data: Any, priority: int, stream: str, timestamp: float | None) -> QueueItem:
        """Return a frame, checked; see `UnifiedSender.send` for what it may be and what is raised."""
        if isinstance(priority, bool) or not isinstance(priority, int):
            raise InvalidDataError(f"priority {priority!r}: expected a whole number")
        if not isinstance(stream, str) or not 0 < len(stream) <= MAX_NAME_CHARS or not stream.isprintable():
            raise InvalidDataError(f"stream {stream!r:.60}: expected a name of 1 to {MAX_NAME_CHARS} characters")
        now = clock.monotonic()
        if data_type == "pose":
            pose: PoseData | AudioChunk | OpusPacket = to_pose_data(data)
            kind, delivery, expires = Kind.POSE, Delivery.LATEST, None
        else:
            rate, channels = self._media.sample_rate, self._media.channels
            coded = isinstance(data, OpusPacket)
            pose = data if coded else to_audio_chunk(data, sample_rate=rate, channels=channels)
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

    def _check_freshness(self, kind: Kind, captured: float) -> None:
        """Refuse here what every receiver would refuse."""
        limit = self._socket.config.security.max_message_age / 1000
        old = kind is Kind.POSE and captured and abs(captured - clock.now()) > limit
        if old and self._socket.protocol.body_version == 1:
            raise InvalidDataError(f"timestamp {captured}: a body of version 1 is signed within {limit:g} s of capture")
