"""Sound from a WAV file, as a microphone would deliver it: each piece when it has been said."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np

from posewire import clock
from posewire.errors import DataValidationError
from posewire.protocol import AudioChunk
from posewire.protocol.audio_chunk import Samples
from posewire.values import path_of, shown

SPEECH: Final = Path(__file__).parents[1] / "samples" / "speech.wav"
"""Somebody speaks: a recording that ships with the package; NOTICE says where it comes from."""
_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_GUID_TAIL: Final = bytes.fromhex("000000001000800000aa00389b71")
"""What follows the format's number in an extensible header that means nothing else."""
_AHEAD: Final = 1.0
"""Seconds that are read at once, in a thread: a slow disk must not hold up the loop."""


class WavFile:
    """A WAV file: PCM of 8, 16, 24 or 32 bits, or float of 32 or 64, with up to 8 channels; plain or extensible.

    The header is read when it is made, samples only when `read` is called; both wait for the disk. (The standard
    library's `wave` reads no float, and no extensible header before Python 3.12.)

    Args:
        path: The file.

    Raises:
        DataValidationError: It cannot be read, or is not that.

    Attributes:
        sample_rate: Samples a second.
        channels: Channels.
    """

    def __init__(self, path: str | Path) -> None:
        if (named := path_of(path)) is None:
            raise DataValidationError("wav", shown(path), "expected the name of a file")
        self._path = named
        self._format: tuple[int, int] | None = None
        self._size = self._offset = self._length = 0
        self.sample_rate = self.channels = self._frame = 0
        try:
            with self._path.open("rb") as file:
                self._size = self._path.stat().st_size
                self._parse(file)
        except OSError as exc:
            raise self._bad(f"cannot be read: {exc.strerror or exc}") from exc

    def __len__(self) -> int:
        """Samples of each channel."""
        return self._length

    @property
    def duration(self) -> float:
        """Seconds."""
        return self._length / self.sample_rate

    def read(self, first: int, count: int) -> Samples:
        """Return ``count`` samples from ``first`` on, ``[count, channels]``, fewer at the end. Waits for the disk.

        8 and 16 bits come as int16, all else as float32; values that are no number are 0, and none is beyond ±1.

        Raises:
            DataValidationError: The file has changed, and cannot be read any more.
        """
        count = max(0, min(count, self._length - first))
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset + first * self._frame)
                data = file.read(count * self._frame)
        except OSError as exc:
            raise self._bad(f"cannot be read: {exc.strerror or exc}") from exc
        whole = len(data) // self._frame
        return self._decode(data[: whole * self._frame]).reshape(-1, self.channels)

    def _parse(self, file: BinaryIO) -> None:
        riff = file.read(12)
        if len(riff) < 12 or riff[:4] != b"RIFF" or riff[8:] != b"WAVE":
            raise self._bad("expected a WAV file (RIFF, WAVE)")
        while len(head := file.read(8)) == 8:
            name, size = struct.unpack("<4sI", head)
            if name == b"fmt ":
                self._parse_format(file.read(size) if size <= 4096 else b"")
                file.seek(size % 2, 1)
            elif name == b"data":
                break
            else:
                file.seek(size + size % 2, 1)
        else:
            raise self._bad("has no data")
        if self._format is None:
            raise self._bad("has no format before its data")
        self._offset = file.tell()
        # A recorder that was killed leaves 0 or 2^32 - 1 there: then it goes to the end of the file.
        left = self._size - self._offset
        self._length = min(size if 0 < size < 0xFFFF_FFFF else left, left) // self._frame
        if not self._length:
            raise self._bad("has no samples")

    def _parse_format(self, data: bytes) -> None:
        if len(data) < 16:
            raise self._bad("has a format that is cut short")
        tag, channels, rate, _, frame, bits = struct.unpack_from("<HHIIHH", data)
        if tag == _EXTENSIBLE and len(data) >= 40 and data[26:40] == _GUID_TAIL:
            (tag,) = struct.unpack_from("<H", data, 24)
        if (tag, bits) not in _READERS:
            raise self._bad(f"format {tag} of {bits} bits; expected PCM of 8, 16, 24 or 32, or float of 32 or 64")
        if not 1 <= channels <= 8 or not 4000 <= rate <= 384_000 or frame != channels * bits // 8:
            raise self._bad(f"{channels} channels at {rate} Hz in {frame} bytes; expected 1 to 8, 4000 to 384000 Hz")
        self._format = (tag, bits)
        self.channels, self.sample_rate, self._frame = channels, rate, frame

    def _decode(self, data: bytes) -> Samples:
        assert self._format is not None
        samples: Samples = _READERS[self._format](data)
        return samples

    def _bad(self, problem: str) -> DataValidationError:
        return DataValidationError("wav", str(self._path), problem)


def _read_24(data: bytes) -> Any:
    parts = np.frombuffer(data, np.uint8).reshape(-1, 3)
    wide = np.zeros((len(parts), 4), np.uint8)
    wide[:, 1:] = parts  # the highest three bytes: the sign is right, and the value 256 times as large
    return (wide.view("<i4")[:, 0] / 2**31).astype(np.float32)


def _read_float(data: bytes, dtype: str) -> Any:
    return np.clip(np.nan_to_num(np.frombuffer(data, dtype), posinf=1, neginf=-1), -1, 1).astype(np.float32)


_READERS: Final[dict[tuple[int, int], Callable[[bytes], Any]]] = {
    (_PCM, 8): lambda data: (np.frombuffer(data, np.uint8).astype(np.int16) - 128) * 256,
    (_PCM, 16): lambda data: np.frombuffer(data, "<i2").astype(np.int16),
    (_PCM, 24): _read_24,
    (_PCM, 32): lambda data: (np.frombuffer(data, "<i4") / 2**31).astype(np.float32),
    (_FLOAT, 32): lambda data: _read_float(data, "<f4"),
    (_FLOAT, 64): lambda data: _read_float(data, "<f8"),
}


async def play_wav(
    file: WavFile,
    *,
    chunk: float = 0.02,
    loop: bool = False,
    seconds: float | None = None,
    start: float | None = None,
) -> AsyncIterator[AudioChunk]:
    """Yield the sound of ``file`` in pieces, each when its last sample has been "said". Cancelling is safe.

    A piece is stamped with when its first sample is due: with the same ``start`` it is aligned with poses that are
    played from then on. Deadlines are absolute, so a slow consumer gets late pieces at once and the pace does not
    drift. The disk is read in a thread.

    Args:
        file: What to play.
        chunk: Seconds of a piece, about.
        loop: Begin again at the end.
        seconds: Stop after this time.
        start: When it begins, seconds of `posewire.clock.monotonic`; by default now.

    Raises:
        DataValidationError: A duration that cannot be, or the file cannot be read any more.
    """
    if not 0.001 <= chunk <= 1:
        raise DataValidationError("chunk", chunk, "expected 0.001 to 1 s")
    if seconds is not None and not seconds > 0:
        raise DataValidationError("seconds", seconds, "expected more than 0")
    rate = file.sample_rate
    size = max(1, round(chunk * rate))
    block = size * max(1, round(_AHEAD / chunk))
    start = clock.monotonic() if start is None else start
    wall = clock.now() - clock.monotonic()
    played = 0
    last = None if seconds is None else round(seconds * rate)
    while True:
        for first in range(0, len(file), block):
            samples = await asyncio.to_thread(file.read, first, block)
            for at in range(0, len(samples), size):
                piece = samples[at : at + size]
                if last is not None and played + len(piece) > last:
                    piece = piece[: last - played]
                if not len(piece):
                    return
                due = start + played / rate
                played += len(piece)
                await asyncio.sleep(max(0.0, start + played / rate - clock.monotonic()))
                yield AudioChunk(piece, rate, wall + due)
        if not loop:
            return
