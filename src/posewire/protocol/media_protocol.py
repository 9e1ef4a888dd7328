"""What a media sender takes, and how it looks as bytes."""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

from posewire.errors import DataValidationError
from posewire.protocol import body_v2
from posewire.protocol.audio_chunk import AudioChunk, to_audio_chunk
from posewire.protocol.landmarks import to_pose_data
from posewire.protocol.pose_data import PoseData, checked_timestamp

DataType = Literal["pose", "audio"]
_TYPES: Final = ("pose", "audio")


class MediaData(msgspec.Struct, frozen=True, kw_only=True):
    """A frame of pose or sound."""

    data: Any
    """Anything `to_pose_data` or `to_audio_chunk` takes."""
    timestamp: float = 0.0
    """Capture time, seconds on the scale of ``time.time()``; 0 means that of the data, else when it is sent."""
    frame_id: int = 0
    """Grows with each frame of a type."""
    data_type: str = "pose"
    """``pose`` or ``audio``."""


class MediaProtocol:
    """Checks frames, and writes and reads them on their own: bodies of version 2, which need no other frame. Pure.

    Args:
        sample_rate: Of sound given as raw PCM.
        channels: Of sound given as bytes.
        compression_threshold: Bytes; what is smaller is not compressed. None compresses nothing.
        compression_level: zlib level, 0 to 9.
    """

    def __init__(
        self,
        *,
        sample_rate: int = 48_000,
        channels: int = 1,
        compression_threshold: int | None = 1024,
        compression_level: int = 6,
    ) -> None:
        self._sample_rate = sample_rate
        self._channels = channels
        self._threshold = compression_threshold
        self._level = compression_level

    def checked(self, media: MediaData) -> PoseData | AudioChunk:
        """Return what is in a frame, in our own types.

        Raises:
            DataValidationError: It is no pose or no sound; it names field, value and what was expected.
        """
        if not isinstance(media, MediaData) or media.data_type not in _TYPES:
            found = getattr(media, "data_type", type(media).__name__)
            raise DataValidationError("data_type", repr(found)[:60], "expected 'pose' or 'audio'")
        checked_timestamp(media.timestamp)
        if media.data_type == "pose":
            return to_pose_data(media.data)
        return to_audio_chunk(media.data, sample_rate=self._sample_rate, channels=self._channels)

    def validate(self, media: MediaData) -> bool:
        """Return whether `encode` would take a frame."""
        try:
            self.checked(media)
        except DataValidationError:
            return False
        return True

    def encode(self, media: MediaData) -> bytes:
        """Return a frame as bytes; its time and number travel in the header of a packet, not here.

        Raises:
            DataValidationError: As `checked`.
        """
        data = self.checked(media)
        if isinstance(data, PoseData):
            return body_v2.encode_pose(data, threshold=self._threshold, level=self._level)
        return body_v2.encode_audio(data, threshold=self._threshold, level=self._level)

    def decode(self, data_type: DataType, body: bytes, *, timestamp: float = 0.0, frame_id: int = 0) -> MediaData:
        """Return the frame that `encode` wrote.

        Raises:
            ProtocolError: The bytes are not that.
        """
        read = body_v2.decode_pose if data_type == "pose" else body_v2.decode_audio
        data = read(body, timestamp=timestamp)
        return MediaData(data=data, timestamp=timestamp, frame_id=frame_id, data_type=data_type)
