"""Everyone's sound, into WAV files."""

from __future__ import annotations

import re
import wave
from pathlib import Path
from typing import Any, Final

import numpy as np

from posewire.errors import ConfigurationError
from posewire.protocol import AudioChunk
from posewire.receiver import Frame, Subscription

_JITTER: Final = 0.06
"""Seconds that the capture time of a piece may be off before silence is put in front of it."""
_LONGEST_SILENCE: Final = 60.0
"""Seconds of silence at most: a time that jumps by a year must not fill the disk."""
_RESTART: Final = 1.0
"""From so many seconds back on, a stream's time has begun anew (`CaptureTimes`)."""
_MOST_FILES: Final = 64
_MOST_BYTES: Final = 2**32 - 2**16
"""Of one file: the sizes in a WAV header have 32 bits."""


_Key = tuple[str, str, int, int]
"""Member, stream, rate, channels."""


class SoundRecorder:
    """Writes one WAV file for each member and stream.

    They are called ``OUT-alice.wav``, and ``OUT-alice-music.wav`` for a stream that is not called ``audio``.
    Each begins with the first sound of its speaker and goes on by capture time: what did not come and was not made up
    by the receiver is silence. No sound is left out: when capture times go back, it goes on after what is there. The
    header is right after every piece, so the file is whole whenever recording ends. Another rate or number of
    channels, and what does not fit into 4 GiB, begins another file, ``OUT-alice-2.wav``; `notes` says so.

    Args:
        path: Where to: ``OUT.wav``.

    Raises:
        ConfigurationError: It is no name of a file, or there is no such folder.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        if not self._path.name or self._path.is_dir():
            raise ConfigurationError("record_audio", str(path), "expected a file, as OUT.wav")
        if not self._path.absolute().parent.is_dir():
            raise ConfigurationError("record_audio", str(path), "there is no such folder")
        self.files: list[Path] = []
        """What was written."""
        self.notes: list[str] = []
        """What whoever looks for the sound should know."""
        self._tracks: dict[_Key, _Track] = {}

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
        key = (frame.user_id, frame.stream, frame.audio.sample_rate, frame.audio.channels)
        track = self._tracks.get(key)
        try:
            if track is None or track.is_full(frame.audio):
                track = self._begin(key, frame, after=track)
            if track is not None:
                track.write(frame.audio, frame.timestamp)
        except OSError as exc:
            path = str(track.path if track is not None else self._path)
            raise ConfigurationError("record_audio", path, f"cannot be written: {exc.strerror or exc}") from exc

    def close(self) -> None:
        """Close every file."""
        for track in self._tracks.values():
            track.close()

    def _begin(self, key: _Key, frame: Frame, *, after: _Track | None) -> _Track | None:
        """Begin another file, unless there are too many."""
        assert frame.audio is not None
        user_id, stream, rate, channels = key
        if len(self.files) >= _MOST_FILES:
            self._note(f"There are {_MOST_FILES} files: sound of others, or in another form, was not recorded.")
            return None
        path = self._name(user_id, stream)
        if after is not None:
            after.close()
            self._note(f"{after.path.name} is full: {user_id} goes on in {path.name}.")
        elif any(other[:2] == key[:2] for other in self._tracks):
            self._note(f"{user_id} changed to {rate} Hz, {channels} channel(s): that is in {path.name}.")
        track = self._tracks[key] = _Track(path, frame.audio, frame.timestamp)
        self.files.append(path)
        return track

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def _name(self, user_id: str, stream: str) -> Path:
        """Return a file that is not another's: names may hold what a file system does not take."""
        parts = [user_id] if stream == "audio" else [user_id, stream]
        # No dots and no slashes: it stays in the folder.
        name = "-".join([self._path.stem, *(re.sub(r"[^\w@+-]", "_", part)[:64] for part in parts)])
        suffix = self._path.suffix or ".wav"
        candidates = [name, *(f"{name}-{number}" for number in range(2, _MOST_FILES + 2))]
        return next(path for each in candidates if (path := self._path.with_name(f"{each}{suffix}")) not in self.files)


class _Track:
    """One file."""

    def __init__(self, path: Path, first: AudioChunk, timestamp: float) -> None:
        self.path = path
        self._rate, self._channels = first.sample_rate, first.channels
        self._start = timestamp
        self._written = 0
        self._late = 0
        """Samples that are in the file late, because capture times went back; pauses make up for it."""
        self._disk = path.open("wb")
        self._file = wave.open(self._disk, "wb")  # noqa: SIM115  # closed by close(), as is the one above
        self._file.setnchannels(self._channels)
        self._file.setsampwidth(2)
        self._file.setframerate(self._rate)

    def is_full(self, chunk: AudioChunk) -> bool:
        """Return whether a piece may not fit any more, with silence before it."""
        most = self._written + round(_LONGEST_SILENCE * self._rate) + len(chunk.samples)
        return most * 2 * self._channels > _MOST_BYTES

    def write(self, chunk: AudioChunk, timestamp: float) -> None:
        """Write a piece where it belongs, or after what is there."""
        off = round((timestamp - self._start) * self._rate) - self._written
        if off < -_JITTER * self._rate:
            # The receiver gives each packet once, in order: what comes is not there yet, whatever its time says.
            self._start += off / self._rate
            self._late = 0 if -off >= _RESTART * self._rate else self._late - off
        elif off > _JITTER * self._rate:
            longest = round(_LONGEST_SILENCE * self._rate)
            silence = min(max(0, off - self._late), longest)
            self._start += (off - silence) / self._rate
            self._late = max(0, self._late - off)
            self._append(np.zeros((silence, self._channels), np.int16))
        self._append(_whole(chunk.samples))

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
