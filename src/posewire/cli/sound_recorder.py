"""Everyone's sound, into WAV files."""

from __future__ import annotations

import logging
import re
import wave
from pathlib import Path
from typing import Any, Final

import numpy as np

from posewire.errors import ConfigurationError
from posewire.protocol import AudioChunk
from posewire.receiver import Frame, Subscription

logger = logging.getLogger(__name__)

_JITTER: Final = 0.06
"""Seconds that the capture time of a piece may be off before silence is put in front of it, or it is left out."""
_LONGEST_SILENCE: Final = 60.0
"""Seconds of silence at most: a time that jumps by a year must not fill the disk."""
_MOST_FILES: Final = 64


class SoundRecorder:
    """Writes one WAV file for each member and stream.

    They are called ``OUT-alice.wav``, and ``OUT-alice-music.wav`` for a stream that is not called ``audio``.
    Each begins with the first sound of its speaker and goes on by capture time: what did not come and was not made up
    by the receiver is silence. The header is right after every piece, so the file is whole whenever recording ends.

    Args:
        path: Where to: ``OUT.wav``.

    Raises:
        ConfigurationError: There is no such folder.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        if not self._path.absolute().parent.is_dir():
            raise ConfigurationError("record_audio", str(path), "there is no such folder")
        self._tracks: dict[tuple[str, str], _Track] = {}

    @property
    def files(self) -> list[Path]:
        """What was written."""
        return [track.path for track in self._tracks.values()]

    async def run(self, frames: Subscription) -> None:
        """Write what comes until the subscription ends. Cancelling is safe; call `close` afterwards."""
        async for frame in frames:
            self.write(frame)

    def write(self, frame: Frame) -> None:
        """Write one frame of sound; others are ignored.

        Raises:
            ConfigurationError: The file cannot be written.
        """
        if frame.audio is None:
            return
        key = (frame.user_id, frame.stream)
        track = self._tracks.get(key)
        try:
            if track is None:
                if len(self._tracks) >= _MOST_FILES:
                    return
                track = self._tracks[key] = _Track(self._name(*key), frame.audio, frame.timestamp)
            track.write(frame.audio, frame.timestamp)
        except OSError as exc:
            path = str(track.path if track is not None else self._path)
            raise ConfigurationError("record_audio", path, f"cannot be written: {exc.strerror or exc}") from exc

    def close(self) -> None:
        """Close every file."""
        for track in self._tracks.values():
            track.close()

    def _name(self, user_id: str, stream: str) -> Path:
        """Return a file that is not another's: names may hold what a file system does not take."""
        parts = [user_id] if stream == "audio" else [user_id, stream]
        # No dots and no slashes: it stays in the folder.
        name = "-".join([self._path.stem, *(re.sub(r"[^\w@+-]", "_", part)[:64] for part in parts)])
        suffix = self._path.suffix or ".wav"
        taken = {track.path for track in self._tracks.values()}
        candidates = [name, *(f"{name}-{number}" for number in range(2, _MOST_FILES + 2))]
        return next(path for each in candidates if (path := self._path.with_name(f"{each}{suffix}")) not in taken)


class _Track:
    """One file."""

    def __init__(self, path: Path, first: AudioChunk, timestamp: float) -> None:
        self.path = path
        self._rate, self._channels = first.sample_rate, first.channels
        self._start = timestamp
        self._written = 0
        self._warned = False
        self._disk = path.open("wb")
        self._file = wave.open(self._disk, "wb")  # noqa: SIM115  # closed by close(), as is the one above
        self._file.setnchannels(self._channels)
        self._file.setsampwidth(2)
        self._file.setframerate(self._rate)

    def write(self, chunk: AudioChunk, timestamp: float) -> None:
        """Write a piece where it belongs."""
        if (chunk.sample_rate, chunk.channels) != (self._rate, self._channels):
            if not self._warned:
                logger.warning("%s: another rate or number of channels is left out", self.path)
                self._warned = True
            return
        samples = _whole(chunk.samples)
        off = round((timestamp - self._start) * self._rate) - self._written
        if off > _JITTER * self._rate:
            longest = round(_LONGEST_SILENCE * self._rate)
            if off > longest:
                self._start += (off - longest) / self._rate
            self._append(np.zeros((min(off, longest), self._channels), np.int16))
        elif off < -_JITTER * self._rate:
            samples = samples[-off:]  # that much of it is there already
        if len(samples):
            self._append(samples)

    def close(self) -> None:
        """Close it; the header is right already."""
        self._file.close()
        self._disk.close()

    def _append(self, samples: Any) -> None:
        self._file.writeframes(samples.astype("<i2").tobytes())  # and the header anew
        self._disk.flush()
        self._written += len(samples)


def _whole(samples: Any) -> Any:
    if samples.dtype == np.int16:
        return samples
    return np.clip(np.rint(samples * 32767), -32768, 32767).astype(np.int16)
