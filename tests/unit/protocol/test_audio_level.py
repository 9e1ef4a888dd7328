"""How loud sound is."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from posewire.protocol import AudioChunk, AudioLevel, LevelMeter
from posewire.protocol.audio_level import SILENCE, level_of

SINE = np.sin(2 * np.pi * 1000 * np.arange(4800) / 48_000)
HALF = AudioLevel(rms=-6.02, peak=-6.02)


def test_full_scale_is_0_and_a_full_sine_has_3_db_less() -> None:
    level = AudioChunk(SINE.astype(np.float32), 48_000).level
    assert level.rms == pytest.approx(-3.01, abs=0.01)
    assert level.peak == pytest.approx(0, abs=0.01)
    square = np.where(SINE >= 0, 32767, -32768).astype(np.int16)
    assert level_of(square).rms == pytest.approx(0, abs=0.001)


def test_int16_and_float32_say_the_same() -> None:
    floats = (0.1 * SINE).astype(np.float32)
    whole = np.rint(floats * 32768).astype(np.int16)
    assert level_of(whole).rms == pytest.approx(level_of(floats).rms, abs=0.01)
    assert level_of(whole).peak == pytest.approx(-20, abs=0.01)


def test_the_lowest_int16_does_not_overflow() -> None:
    assert level_of(np.full(10, -32768, np.int16)) == AudioLevel(0.0, 0.0)


def test_a_peak_may_be_negative() -> None:
    assert level_of(np.array([0.1, -0.5], np.float32)).peak == pytest.approx(-6.02, abs=0.01)


def test_silence_and_nothing() -> None:
    assert level_of(np.zeros(10, np.int16)) == AudioLevel(SILENCE, SILENCE) == level_of(np.zeros(0, np.float32))
    assert level_of(np.full(10, 1e-12, np.float32)).rms == SILENCE


@given(st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=50))
def test_rms_is_never_over_the_peak(values: list[float]) -> None:
    level = level_of(np.array(values, np.float32))
    assert SILENCE <= level.rms <= level.peak + 1e-3 <= 1e-2


def test_the_meter_rises_at_once_and_falls_slowly() -> None:
    meter = LevelMeter()
    for number in range(5):
        meter.add(HALF, 0.02, now=100 + 0.02 * number)
    assert meter.read(now=100.08).rms == pytest.approx(-6.02, abs=0.1)
    for number in range(5, 15):
        meter.add(AudioLevel(), 0.02, now=100 + 0.02 * number)
    # 0.2 s later: one time constant of the power is 4.34 dB.
    assert meter.read(now=100.28).rms == pytest.approx(-6.02 - 4.34, abs=0.3)
    assert meter.read(now=100.28).peak == pytest.approx(-6.02 - 20 * 0.2, abs=0.1)


def test_it_falls_by_itself_when_nothing_comes() -> None:
    meter = LevelMeter()
    for number in range(10):
        meter.add(HALF, 0.02, now=10 + 0.02 * number)
    assert meter.speaking(now=10.2)
    assert meter.read(now=10.2 + 2).rms == pytest.approx(-6 - 4.34 * 10, abs=1)
    assert not meter.speaking(now=10.2 + 3)
    assert meter.read(now=1000) == AudioLevel()


def test_who_speaks_is_judged_with_hysteresis() -> None:
    meter, now = LevelMeter(), 0.0

    def hear(rms: float, seconds: float = 2.0) -> bool:
        nonlocal now
        for _ in range(round(seconds / 0.02)):
            now += 0.02
            meter.add(AudioLevel(rms, rms), 0.02, now=now)
        return meter.speaking(now=now)

    assert not hear(-47)
    assert hear(-40)
    assert hear(-47), "between the two thresholds it stays"
    assert not hear(-60)
    assert not hear(-47)


def test_a_time_that_goes_back_does_no_harm() -> None:
    meter = LevelMeter()
    meter.add(HALF, 0.02, now=10.0)
    before = meter.read(now=10.0)
    assert meter.read(now=5.0) == before
    assert math.isfinite(meter.read(now=10.1).rms)
