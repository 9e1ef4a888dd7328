"""Made-up sound for what did not come: the last pitch periods go on, and fade; those of what follows fade in."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

_SHORTEST, _LONGEST = 0.0025, 0.015
"""Pitch periods that are looked for, seconds: 400 to 67 Hz, as in ITU-T G.711 appendix I."""
_TEMPLATE: Final = 0.005
_SEARCHED: Final = 16_000
"""Samples a second at which the period is looked for; then it is found exactly beside that."""
_FULL: Final = 0.01
"""Seconds for which the period goes on as loud as it was; then it fades."""
_GONE: Final = 0.06
"""Seconds after which nothing is left of it."""
_JOINT: Final = 0.003
"""Seconds over which a step at the joint is spread."""
HISTORY: Final = _LONGEST + _TEMPLATE + 0.002
"""Seconds of sound on a side of the gap that are of use."""


def bridge(before: Floats, after: Floats, count: int, rate: int) -> Floats:
    """Return ``count`` samples between two pieces of sound, made of both; neither of them is changed.

    Waveform substitution as in ITU-T G.711 appendix I, but from both sides, for when it is noticed that something is
    missing, what follows has come: each side goes on by its last pitch period and fades, one into the other.

    Args:
        before: ``[n, channels]``: what came last, at least `HISTORY` of it where there is so much.
        after: ``[m, channels]``: what follows.
        count: Samples that are missing.
        rate: Samples a second.
    """
    onward = extend(before, count, rate)
    back = extend(after[::-1], count, rate)[::-1]
    # A raised cosine whose two halves sum to one: at either end it is that side alone.
    share = (0.5 + 0.5 * np.cos(np.pi * (np.arange(count, dtype=np.float32) + 0.5) / count))[:, np.newaxis]
    return (share * onward + (1 - share) * back).astype(np.float32)


def extend(before: Floats, count: int, rate: int) -> Floats:
    """Return ``count`` samples that go on where ``before``, ``[n, channels]``, ends, and fade to nothing in 60 ms."""
    length, channels = before.shape
    period = _period(before.mean(axis=1), rate)
    if period is None:
        made = np.broadcast_to(np.zeros(channels, np.float32), (count, channels)).copy()
        step = before[-1] if length else np.zeros(channels, np.float32)
    else:
        cycle = before[length - period :].copy()
        blend = min(period // 4, length - period)
        if blend:
            # Its end leads into its beginning, as it did one period earlier.
            weight = np.linspace(0, 1, blend + 2, dtype=np.float32)[1:-1, np.newaxis]
            cycle[period - blend :] += weight * (before[length - period - blend : length - period] - cycle[-blend:])
        made = np.tile(cycle, (-(-count // period), 1))[:count]
        step = before[-1] - cycle[-1]  # what the first sample would be off by
    joint = max(1, round(_JOINT * rate))
    ramp = np.clip(1 - np.arange(1, count + 1, dtype=np.float32) / joint, 0, 1)
    # Squared: it ends without a corner.
    made = made + (ramp * ramp)[:, np.newaxis] * step
    time = np.arange(count, dtype=np.float32) / rate
    fade = np.clip((_GONE - time) / (_GONE - _FULL), 0, 1)[:, np.newaxis]
    return (made * fade).astype(np.float32)


def _period(signal: Floats, rate: int) -> int | None:
    """Return the lag at which the end of ``signal`` is most like itself; None when it is too short or silent."""
    # Coarsely first: at 192 kHz all lags would take longer than the sound.
    stride = max(1, rate // _SEARCHED)
    coarse = signal[(len(signal) - 1) % stride :: stride]
    found = _best_lag(coarse, rate / stride, _SHORTEST, _LONGEST)
    if found is None or stride == 1:
        return found
    return _best_lag(signal, rate, (found - 1) * stride / rate, (found + 1) * stride / rate) or found * stride


def _best_lag(signal: Floats, rate: float, shortest_s: float, longest_s: float) -> int | None:
    template = round(_TEMPLATE * rate)
    shortest = max(1, round(shortest_s * rate))
    longest = min(round(longest_s * rate), len(signal) - template)
    if longest < shortest or template < 1:
        return None
    end = signal[len(signal) - template :]
    past = signal[len(signal) - template - longest : len(signal) - shortest]
    energy = np.convolve(past * past, np.ones(template, np.float32), mode="valid")
    loudest = float(energy.max())
    if not loudest > 0 or not float(np.dot(end, end)) > 0:
        return None
    # Normalised; what is much quieter than the rest is no candidate, whatever its form.
    score = np.correlate(past, end, mode="valid") / np.sqrt(energy + 1e-3 * loudest)
    return longest - int(score.argmax())
