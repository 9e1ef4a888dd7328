"""Sound for tests: speech that ships with the package, tones, and how like two sounds are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from posewire.protocol import AudioChunk, OpusPacket
from posewire.sources import SPEECH, WavFile

Floats = Any


def speech(seconds: float = 5.5) -> AudioChunk:
    """Return the first seconds of speech: 16 kHz, int16, one channel."""
    file = WavFile(SPEECH)
    return AudioChunk(file.read(0, round(seconds * file.sample_rate)), file.sample_rate)


def sine(hz: float, seconds: float, rate: int = 48_000, *, channels: int = 1, amplitude: float = 0.5) -> Floats:
    """Return a tone, float32 ``[n, channels]``."""
    wave = amplitude * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)
    return np.repeat(wave[:, np.newaxis], channels, axis=1).astype(np.float32)


def cut(chunk: AudioChunk, size: int, start: float = 1.0) -> Iterator[tuple[AudioChunk, float]]:
    """Yield a sound in pieces of ``size`` samples, each with its time."""
    for first in range(0, len(chunk.samples), size):
        at = start + first / chunk.sample_rate
        yield AudioChunk(chunk.samples[first : first + size], chunk.sample_rate, at), at


def joined(pieces: list[AudioChunk]) -> Floats:
    """Return the first channel of pieces, one after the other, in -1..1."""
    whole = np.concatenate([piece.samples[:, 0] for piece in pieces]).astype(np.float64)
    return whole / 32768 if pieces[0].samples.dtype == np.int16 else whole


def numbers(packets: list[OpusPacket]) -> list[int]:
    return [packet.number for packet in packets]
