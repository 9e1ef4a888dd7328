"""How like the original sound is that came out of a codec or over a bad link."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from benchmarks.motion import ROOT
from posewire.protocol.opus_packet import OPUS_FRAME, OPUS_RATE
from posewire.sources.wav import SPEECH

Floats = npt.NDArray[np.float64]

_SHARED: Final = ROOT.parent / "shared" / "data" / "audio" / "speech_jfk_48k.flac"
_QUIET: Final = 1e-6
"""Power (-60 dBFS) under which a frame is a pause: there, nobody hears a difference in dB."""
_WORST: Final = 30.0
"""dB that an energy error counts at most: silence in place of speech would else be endless."""


def speech() -> tuple[npt.NDArray[np.float32], str]:
    """Return speech at 48 kHz, ``[n, 1]``, and where it comes from: beside the repository, else in the package."""
    if _SHARED.exists():
        return at_48_khz(_SHARED), _SHARED.name
    return at_48_khz(SPEECH), SPEECH.name


def at_48_khz(path: Path) -> npt.NDArray[np.float32]:
    """Return the first channel of a sound file."""
    import av

    resampler = av.AudioResampler(format="flt", layout="mono", rate=OPUS_RATE)
    parts = []
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            frame.pts = None
            parts += [out.to_ndarray().reshape(-1, 1) for out in resampler.resample(frame)]
    parts += [out.to_ndarray().reshape(-1, 1) for out in resampler.resample(None) if out is not None]
    return np.concatenate(parts).astype(np.float32)


def delay_of(original: Floats, other: Floats, *, most: int = 2400) -> int:
    """Return by how many samples ``other`` is behind: where the two are most alike, within ±``most``."""
    size = 1 << (len(original) + len(other) - 1).bit_length()
    likeness = np.fft.irfft(np.fft.rfft(other, size) * np.conj(np.fft.rfft(original, size)), size)
    around = np.concatenate((likeness[-most:], likeness[: most + 1]))
    return int(around.argmax()) - most


def frames_of(signal: Floats) -> Floats:
    """Return whole frames of 20 ms, ``[frames, 960]``."""
    return signal[: len(signal) // OPUS_FRAME * OPUS_FRAME].reshape(-1, OPUS_FRAME)


def snr(original: Floats, other: Floats) -> float:
    """Return the ratio of signal to error in dB, over all of it."""
    error = float(np.sum((other - original) ** 2))
    return 10 * math.log10(float(np.sum(original**2)) / max(error, 1e-20))


def segmental_snr(original: Floats, other: Floats) -> float:
    """Return the mean over frames of 20 ms that are no pause of their SNR, each between -10 and 35 dB.

    P. Mermelstein, "Evaluation of a segmental SNR measure", JASA 66 (1979); limits as usual for it.
    """
    sound, error = frames_of(original), frames_of(other) - frames_of(original)
    power = np.mean(sound**2, axis=1)
    loud = power > _QUIET
    ratios = 10 * np.log10(power[loud] / np.maximum(np.mean(error[loud] ** 2, axis=1), 1e-20))
    return float(np.clip(ratios, -10, 35).mean())


def spectral_distance(original: Floats, other: Floats, *, to_hz: float = 8000) -> float:
    """Return the log-spectral distance in dB up to ``to_hz``, mean over frames that are no pause.

    A. Gray, J. Markel, "Distance measures for speech processing", IEEE ASSP 24 (1976). Bins over 60 dB under the
    loudest of their frame count as that: what is in them is not heard.
    """
    window = np.hanning(OPUS_FRAME)
    bins = round(to_hz * OPUS_FRAME / OPUS_RATE)
    sound, heard = frames_of(original), frames_of(other)
    loud = np.mean(sound**2, axis=1) > _QUIET
    spectra = [np.abs(np.fft.rfft(part[loud] * window, axis=1))[:, 1:bins] ** 2 for part in (sound, heard)]
    floor = 1e-6 * spectra[0].max(axis=1, keepdims=True)
    a, b = (10 * np.log10(np.maximum(spectrum, floor)) for spectrum in spectra)
    return float(np.sqrt(((a - b) ** 2).mean(axis=1)).mean())


def energy_error(original: Floats, other: Floats, frames: npt.NDArray[np.intp]) -> float:
    """Return the mean of how far off, in dB, the energy of these frames of 20 ms is; of pauses only what is added."""
    floor = _QUIET / 10
    wanted, found = (np.maximum(np.mean(frames_of(part)[frames] ** 2, axis=1), floor) for part in (original, other))
    loud = np.maximum(wanted, found) > _QUIET
    if not loud.any():
        return 0.0
    return float(np.minimum(np.abs(10 * np.log10(found[loud] / wanted[loud])), _WORST).mean())
