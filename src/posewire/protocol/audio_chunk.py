"""A piece of sound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from posewire.errors import DataValidationError
from posewire.limits import MAX_AUDIO_SAMPLES
from posewire.protocol.audio_level import AudioLevel, level_of
from posewire.protocol.pose_data import checked_timestamp
from posewire.values import is_whole, plain, shown

Samples: TypeAlias = npt.NDArray[np.int16] | npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class AudioChunk:
    """PCM samples of one moment on.

    Attributes:
        samples: ``[n, channels]``, int16, or float32 in -1..1; ``[n]`` is one channel. A read-only copy.
        sample_rate: Samples a second and channel.
        timestamp: Time of the first sample, seconds on the scale of ``time.time()``; 0 means "when it is sent".
        concealed: It was made up by the receiver, in place of sound that did not come.

    Raises:
        DataValidationError: Another type, another shape, no or too many samples.
    """

    samples: Samples
    sample_rate: int
    timestamp: float = 0.0
    concealed: bool = False

    def __post_init__(self) -> None:
        rate = plain(self.sample_rate)
        if not is_whole(rate) or not 4000 <= rate <= 384_000:
            raise DataValidationError("sample_rate", shown(rate), "expected a whole number, 4000 to 384000 a second")
        object.__setattr__(self, "sample_rate", rate)
        object.__setattr__(self, "timestamp", checked_timestamp(self.timestamp))
        array = np.asarray(self.samples)
        if array.dtype not in (np.int16, np.float32):
            raise DataValidationError("samples", f"dtype {array.dtype}", "expected int16 or float32")
        if array.ndim == 1:
            array = array[:, np.newaxis]
        if array.ndim != 2 or not 1 <= array.shape[1] <= 8:
            raise DataValidationError("samples", f"shape {list(array.shape)}", "expected [n, 1..8 channels]")
        if not 1 <= array.size <= MAX_AUDIO_SAMPLES:
            raise DataValidationError("samples", f"{array.size} samples", f"expected 1 to {MAX_AUDIO_SAMPLES}")
        if array.dtype == np.float32 and not np.isfinite(array).all():
            raise DataValidationError("samples", "NaN or infinite", "expected finite numbers")
        array = np.array(array, order="C")
        array.flags.writeable = False
        object.__setattr__(self, "samples", array)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, AudioChunk):
            return NotImplemented
        return (
            self.sample_rate == other.sample_rate
            and self.timestamp == other.timestamp
            and self.concealed == other.concealed
            and self.samples.dtype == other.samples.dtype
            and np.array_equal(self.samples, other.samples)
        )

    __hash__ = None  # type: ignore[assignment]  # equal by value, like the array inside

    @property
    def channels(self) -> int:
        """Channels of each sample."""
        return int(self.samples.shape[1])

    @property
    def duration(self) -> float:
        """Seconds."""
        return len(self.samples) / self.sample_rate

    @property
    def level(self) -> AudioLevel:
        """How loud it is."""
        return level_of(self.samples)


def to_audio_chunk(value: Any, *, sample_rate: int, channels: int) -> AudioChunk:
    """Return ``value`` as an `AudioChunk`: one already, an array, or little-endian int16 bytes.

    Args:
        value: What a capture loop holds.
        sample_rate: Rate of arrays and bytes.
        channels: Interleaved channels of bytes.

    Raises:
        DataValidationError: It is none of these, or the bytes are no whole number of samples.
    """
    if isinstance(value, AudioChunk):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        data = bytes(value)
        if len(data) % (2 * channels):
            raise DataValidationError("audio", f"{len(data)} bytes", f"expected int16 samples of {channels} channel(s)")
        return AudioChunk(np.frombuffer(data, dtype="<i2").astype(np.int16).reshape(-1, channels), sample_rate)
    if isinstance(value, np.ndarray):
        return AudioChunk(value, sample_rate)
    raise DataValidationError("audio", type(value).__name__, "expected bytes, an int16 or float32 array, or AudioChunk")
