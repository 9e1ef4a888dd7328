"""Pieces of sound."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from posewire.errors import DataValidationError
from posewire.limits import MAX_AUDIO_SAMPLES
from posewire.protocol import AudioChunk, to_audio_chunk

PCM = np.arange(-4, 4, dtype=np.int16)


def refused(field: str, samples: Any = PCM, sample_rate: Any = 48_000, timestamp: Any = 0.0) -> None:
    with pytest.raises(DataValidationError) as caught:
        AudioChunk(samples, sample_rate, timestamp)
    assert caught.value.field == field


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
@pytest.mark.parametrize(("shape", "channels"), [((8,), 1), ((8, 1), 1), ((4, 2), 2), ((1, 8), 8)])
def test_shapes(dtype: Any, shape: tuple[int, ...], channels: int) -> None:
    chunk = AudioChunk(np.zeros(shape, dtype), 8000, 1.5)
    assert (chunk.samples.dtype, chunk.samples.shape) == (dtype, (shape[0], channels))
    assert chunk.channels == channels
    assert chunk.duration == shape[0] / 8000
    assert chunk.timestamp == 1.5


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(0, np.int16),
        np.zeros((0, 2), np.int16),
        np.zeros((4, 0), np.int16),
        np.zeros((4, 9), np.int16),
        np.zeros((2, 2, 2), np.int16),
        np.int16(3),
        np.zeros(8, np.float64),
        np.zeros(8, np.int32),
        np.zeros(8, np.uint16),
        [1, 2, 3],
        b"\0\0",
        None,
    ],
    ids=lambda value: f"{np.asarray(value).dtype}{np.shape(value)}",
)
def test_refused_samples(samples: Any) -> None:
    refused("samples", samples)


def test_most_samples() -> None:
    assert AudioChunk(np.zeros(MAX_AUDIO_SAMPLES, np.int16), 48_000).samples.size == MAX_AUDIO_SAMPLES
    refused("samples", np.zeros(MAX_AUDIO_SAMPLES + 1, np.int16))
    refused("samples", np.zeros((MAX_AUDIO_SAMPLES // 2 + 1, 2), np.float32))


@pytest.mark.parametrize("rate", [3999, 384_001, 0, -48_000, 48_000.0, "48000", None])
def test_refused_sample_rate(rate: Any) -> None:
    refused("sample_rate", sample_rate=rate)


@pytest.mark.parametrize("rate", [4000, 44_100, 384_000])
def test_sample_rates(rate: int) -> None:
    assert AudioChunk(PCM, rate).sample_rate == rate


@pytest.mark.parametrize("timestamp", [-1.0, float("nan"), float("inf"), None, "now", True, 1e12])
def test_refused_timestamp(timestamp: Any) -> None:
    refused("timestamp", timestamp=timestamp)


def test_a_timestamp_too_large_for_a_float() -> None:
    # Once: math.isfinite() raises OverflowError.
    refused("timestamp", timestamp=10**400)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_are_finite(value: float) -> None:
    # Once: accepted, on both sides of the wire; a NaN or infinity in a mixer silences or blasts everyone. PoseData
    # refuses infinity.
    refused("samples", np.array([0, value], np.float32))


def test_samples_are_copied_and_read_only() -> None:
    buffer = PCM.copy()
    chunk = AudioChunk(buffer, 48_000)
    buffer[...] = 7
    np.testing.assert_array_equal(chunk.samples[:, 0], PCM)
    with pytest.raises(ValueError, match="read-only"):
        chunk.samples[0] = 1


def test_equal_by_value() -> None:
    chunk = AudioChunk(PCM, 48_000, 1.0)
    assert chunk == AudioChunk(PCM[:, np.newaxis].copy(), 48_000, 1.0)
    assert pickle.loads(pickle.dumps(chunk)) == chunk
    for other in (
        AudioChunk(PCM, 44_100, 1.0),
        AudioChunk(PCM, 48_000, 2.0),
        AudioChunk(PCM.astype(np.float32), 48_000, 1.0),
        AudioChunk(PCM[1:], 48_000, 1.0),
        AudioChunk(PCM.reshape(-1, 2), 48_000, 1.0),
        "sound",
    ):
        assert chunk != other
    with pytest.raises(TypeError):
        hash(chunk)
    with pytest.raises(AttributeError):
        chunk.sample_rate = 8000  # type: ignore[misc]


# to_audio_chunk ------------------------------------------------------------------------------------------------------


@given(
    samples=st.integers(1, 8).flatmap(
        lambda channels: hnp.arrays(np.int16, st.tuples(st.integers(1, 50), st.just(channels)))
    ),
    form=st.sampled_from((bytes, bytearray, memoryview)),
)
def test_bytes_are_little_endian_interleaved_int16(samples: Any, form: Any) -> None:
    channels = samples.shape[1]
    chunk = to_audio_chunk(form(samples.astype("<i2").tobytes()), sample_rate=44_100, channels=channels)
    assert chunk == AudioChunk(samples, 44_100)


def test_a_memoryview_of_numbers_is_measured_in_bytes() -> None:
    assert to_audio_chunk(memoryview(PCM.data), sample_rate=8000, channels=1) == AudioChunk(PCM, 8000)


def test_arrays_and_chunks() -> None:
    stereo = PCM.reshape(-1, 2).astype(np.float32)
    assert to_audio_chunk(stereo, sample_rate=8000, channels=1) == AudioChunk(stereo, 8000)
    chunk = AudioChunk(PCM, 16_000)
    assert to_audio_chunk(chunk, sample_rate=8000, channels=1) is chunk


@pytest.mark.parametrize(
    ("value", "channels", "field"),
    [
        (b"", 1, "samples"),
        (b"\0", 1, "audio"),
        (bytes(6), 2, "audio"),
        (bytes(3), 1, "audio"),
        ("sound", 1, "audio"),
        (None, 1, "audio"),
        ([1, 2], 1, "audio"),
        (np.zeros(4), 1, "samples"),
        (bytes(2 * MAX_AUDIO_SAMPLES + 2), 1, "samples"),
    ],
)
def test_refused(value: Any, channels: int, field: str) -> None:
    with pytest.raises(DataValidationError) as caught:
        to_audio_chunk(value, sample_rate=48_000, channels=channels)
    assert caught.value.field == field


def test_every_other_byte_of_a_buffer() -> None:
    chunk = to_audio_chunk(memoryview(bytes(range(16)))[::2], sample_rate=48_000, channels=1)
    assert chunk.samples[:, 0].tolist() == [0x0200, 0x0604, 0x0A08, 0x0E0C]
