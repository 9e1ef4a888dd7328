"""From the pieces a capture loop has to packets of Opus."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from posewire.config import MediaConfig
from posewire.errors import DataValidationError
from posewire.protocol import AudioChunk, OpusPacket
from posewire.protocol.opus_codec import OpusEncoder, load_av
from posewire.protocol.opus_packet import OPUS_FRAME, OPUS_LOOKAHEAD, OPUS_RATE

Floats = npt.NDArray[np.float32]

_JUMP: Final = 0.1
"""Seconds that a capture time may be off from where the samples say it is; beyond, the capture was interrupted."""
_FOLLOW: Final = 0.02
"""Share of what it is off by that is followed with each piece: a drifting clock is, jitter is not."""
_WARM_UP: Final = 2
"""Packets that an encoder of another bit rate hears before it takes over: without, each change would be heard."""
_LAYOUTS: Final = {1: "mono", 2: "stereo"}
_SECONDS: Final = OPUS_FRAME / OPUS_RATE


class AudioEncoder:
    """Codes the sound of one stream: any rate and size of pieces in, packets of 20 ms at 48 kHz out.

    What does not fill a packet waits for the next piece. Each packet has the capture time of the first sample that
    comes out of it: counted in samples, so that it does not jitter, and led by the capture times given. Pure but for
    what the codec remembers.

    Args:
        config: What it is tuned for.

    Raises:
        ConfigurationError: PyAV is not installed; it names the extra.
    """

    def __init__(self, config: MediaConfig) -> None:
        load_av()
        self.bit_rate = config.bit_rate
        """Bits a second, from the third packet on that comes after."""
        self.redundant = False
        """Whether each packet carries the one before it."""
        self.number = 0
        """Number of the next packet."""
        self._config = config
        self._form: tuple[int, int] | None = None
        self._encoder: OpusEncoder | None = None
        self._next: OpusEncoder | None = None
        self._next_heard = 0
        self._resampler: Any = None
        self._pushed = 0
        self._waiting: Floats = np.zeros((0, 1), np.float32)
        self._previous = b""
        self._start = self._taken = self._made = 0.0

    def encode(self, chunk: AudioChunk, timestamp: float) -> Iterator[OpusPacket]:
        """Yield the packets that are full with ``chunk``; each is coded when it is asked for.

        Args:
            chunk: One or two channels.
            timestamp: Capture time of its first sample, seconds.

        Raises:
            DataValidationError: More than two channels.
        """
        if chunk.channels > 2:
            raise DataValidationError("channels", chunk.channels, "expected 1 or 2; Opus here carries no more")
        form = (chunk.sample_rate, chunk.channels)
        off = timestamp - self._start - self._taken
        if form != self._form or abs(off) > _JUMP:
            yield from self._finish()
            self._begin(form, timestamp)
        else:
            self._start += _FOLLOW * off
        self._taken += chunk.duration
        self._wait(self._at_48_khz(_floats(chunk)))
        while len(self._waiting) >= OPUS_FRAME:
            yield self._packet()

    def _begin(self, form: tuple[int, int], timestamp: float) -> None:
        rate, channels = form
        if self._form is None or self._form[1] != channels:
            self._encoder, self._next, self._previous = None, None, b""
        self._form = form
        self._start, self._taken, self._made = timestamp, 0.0, 0.0
        self._waiting = np.zeros((0, channels), np.float32)
        self._resampler, self._pushed = None, 0
        if rate != OPUS_RATE:
            self._resampler = load_av().AudioResampler(format="flt", layout=_LAYOUTS[channels], rate=OPUS_RATE)

    def _finish(self) -> Iterator[OpusPacket]:
        """Yield what waits as a packet that ends in silence: the capture stopped there."""
        if self._resampler is not None and self._pushed:
            self._wait(self._arrays(self._resampler.resample(None)))
            self._resampler = None
        while len(self._waiting):
            lacking = max(0, OPUS_FRAME - len(self._waiting))
            self._wait(np.zeros((lacking, self._waiting.shape[1]), np.float32))
            yield self._packet()

    def _wait(self, samples: Floats) -> None:
        self._waiting = np.concatenate((self._waiting, samples)) if len(self._waiting) else samples

    def _packet(self) -> OpusPacket:
        frame, self._waiting = self._waiting[:OPUS_FRAME], self._waiting[OPUS_FRAME:]
        data = self._code(frame)
        # The decoder is behind by what the encoder looks ahead: the first sample it gives is older than the frame's.
        timestamp = max(0.0, self._start + self._made - OPUS_LOOKAHEAD / OPUS_RATE)
        packet = OpusPacket(data, frame.shape[1], self.number, self._previous if self.redundant else b"", timestamp)
        self._made += _SECONDS
        self.number += 1
        self._previous = data
        return packet

    def _code(self, frame: Floats) -> bytes:
        channels = frame.shape[1]
        if self._encoder is None:
            self._encoder = self._made_for(channels)
        data = self._encoder.encode(frame)
        if self._next is None and self._encoder.bit_rate != self.bit_rate:
            self._next, self._next_heard = self._made_for(channels), 0
        if self._next is not None:
            self._next.encode(frame)
            self._next_heard += 1
            if self._next_heard == _WARM_UP:
                self._encoder, self._next = self._next, None
        return data

    def _made_for(self, channels: int) -> OpusEncoder:
        return OpusEncoder(channels, self.bit_rate, application=self._config.application)

    def _at_48_khz(self, samples: Floats) -> Floats:
        if self._resampler is None or self._form is None:
            return samples
        rate, channels = self._form
        frame = load_av().AudioFrame.from_ndarray(samples.reshape(1, -1), format="flt", layout=_LAYOUTS[channels])
        frame.sample_rate = rate
        frame.pts = self._pushed
        self._pushed += len(samples)
        return self._arrays(self._resampler.resample(frame))

    def _arrays(self, frames: list[Any]) -> Floats:
        channels = self._waiting.shape[1]
        parts = [frame.to_ndarray().reshape(-1, channels) for frame in frames if frame is not None]
        return np.concatenate(parts) if parts else np.zeros((0, channels), np.float32)


def _floats(chunk: AudioChunk) -> Floats:
    if chunk.samples.dtype == np.int16:
        return chunk.samples.astype(np.float32) * np.float32(1 / 32768)
    return np.asarray(chunk.samples, dtype=np.float32)
