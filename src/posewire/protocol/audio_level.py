"""How loud sound is: of a piece, and smoothed for a meter."""

from __future__ import annotations

import math
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

SILENCE: Final = -120.0
"""dBFS of what is not heard; nothing is below it. The last bit of 16 is at -90."""
_RISE_SECONDS: Final = 0.01
"""Time constant of a level that rises: a syllable shows at once."""
_FALL_SECONDS: Final = 0.2
_PEAK_FALL: Final = 20.0
"""dB a second that the peak falls by; a type I programme meter (IEC 60268-10) takes 1.5 s for as much."""
_SPEAKING: Final = -42.0
"""dBFS of a smoothed level from which on somebody speaks."""
_SILENT: Final = -52.0
"""And below which they have stopped."""


class AudioLevel(msgspec.Struct, frozen=True, gc=False):
    """Level in dBFS: 0 is full scale, so a full square wave has 0 and a full sine an RMS of -3.01; at least -120.

    Attributes:
        rms: Root of the mean square over all channels.
        peak: The largest sample.
    """

    rms: float = SILENCE
    peak: float = SILENCE


def level_of(samples: npt.NDArray[np.int16] | npt.NDArray[np.float32]) -> AudioLevel:
    """Return the level of int16 or float32 samples; full scale is 32768, or 1."""
    scale = 32768.0 if samples.dtype == np.int16 else 1.0
    flat = samples.ravel().astype(np.float32)
    if not flat.size:
        return AudioLevel()
    power = float(np.dot(flat, flat)) / flat.size
    peak = max(float(flat.max()), -float(flat.min()))
    return AudioLevel(decibels(math.sqrt(power) / scale), decibels(peak / scale))


def decibels(share: float) -> float:
    """Return a share of full scale in dBFS."""
    return max(SILENCE, 20 * math.log10(share)) if share > 0 else SILENCE


class LevelMeter:
    """A needle for a "speaking" ring: quick to rise, slow to fall, falling by itself when nothing comes.

    Pure: the caller says what time it is, monotonic seconds.
    """

    def __init__(self) -> None:
        self._power = 0.0
        self._peak = SILENCE
        self._at = 0.0
        self._speaking = False

    def add(self, level: AudioLevel, seconds: float, *, now: float) -> None:
        """Take in the level of a piece of sound of so many seconds, which came at ``now``."""
        self._fall(now - seconds)
        power = 10 ** (level.rms / 10) if level.rms > SILENCE else 0.0
        constant = _RISE_SECONDS if power > self._power else _FALL_SECONDS
        self._power += (1 - math.exp(-seconds / constant)) * (power - self._power)
        self._peak = max(level.peak, self._peak - _PEAK_FALL * seconds)
        self._at = max(self._at, now)
        self._judge()

    def read(self, *, now: float) -> AudioLevel:
        """Return the smoothed level at ``now``."""
        self._fall(now)
        self._judge()
        return AudioLevel(decibels(math.sqrt(self._power)), max(SILENCE, self._peak))

    def speaking(self, *, now: float) -> bool:
        """Return whether somebody speaks: from -42 dBFS on, until it is under -52."""
        self.read(now=now)
        return self._speaking

    def _fall(self, now: float) -> None:
        seconds = now - self._at
        if seconds > 0:
            self._power *= math.exp(-seconds / _FALL_SECONDS)
            self._peak = max(SILENCE, self._peak - _PEAK_FALL * seconds)
            self._at = now

    def _judge(self) -> None:
        level = decibels(math.sqrt(self._power))
        self._speaking = level > (_SILENT if self._speaking else _SPEAKING)
