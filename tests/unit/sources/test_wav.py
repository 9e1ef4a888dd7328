"""WAV files, read and played."""

from __future__ import annotations

import asyncio
import struct
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from posewire import clock
from posewire.errors import DataValidationError
from posewire.protocol import AudioChunk
from posewire.sources import SPEECH, WavFile, play_wav

VALUES = np.array([[-1.0, -0.5], [0.0, 0.25], [0.5, 0.999]])


def chunk(name: bytes, data: bytes) -> bytes:
    return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def riff(*chunks: bytes) -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def fmt(tag: int, bits: int, *, channels: int = 2, rate: int = 48_000, extensible: bool = False) -> bytes:
    frame = channels * bits // 8
    head = struct.pack("<HHIIHH", 0xFFFE if extensible else tag, channels, rate, rate * frame, frame, bits)
    if extensible:
        head += struct.pack("<HHIH", 22, bits, 0, tag) + bytes.fromhex("000000001000800000aa00389b71")
    return chunk(b"fmt ", head)


def packed(bits: int, kind: str) -> bytes:
    if kind == "float":
        return struct.pack(f"<6{'f' if bits == 32 else 'd'}", *VALUES.ravel().tolist())
    whole = np.minimum(np.rint(VALUES * 2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1).astype(np.int64)
    if bits == 8:
        return bytes(int(value) + 128 for value in whole.ravel())
    return b"".join(int(value).to_bytes(bits // 8, "little", signed=True) for value in whole.ravel())


def saved(folder: Path, data: bytes) -> Path:
    file = folder / "sound.wav"
    file.write_bytes(data)
    return file


def floats(samples: Any) -> Any:
    return samples / 32768 if samples.dtype == np.int16 else samples


@pytest.mark.parametrize("extensible", [False, True])
@pytest.mark.parametrize(
    ("bits", "kind", "dtype"),
    [
        (8, "pcm", np.int16),
        (16, "pcm", np.int16),
        (24, "pcm", np.float32),
        (32, "pcm", np.float32),
        (32, "float", np.float32),
        (64, "float", np.float32),
    ],
)
def test_formats(tmp_path: Path, bits: int, kind: str, dtype: Any, extensible: bool) -> None:
    tag = 1 if kind == "pcm" else 3
    data = riff(chunk(b"LIST", b"odd"), fmt(tag, bits, extensible=extensible), chunk(b"data", packed(bits, kind)))
    file = WavFile(saved(tmp_path, data))
    samples = file.read(0, 100)
    assert (len(file), file.channels, file.sample_rate) == (3, 2, 48_000)
    assert file.duration == 3 / 48_000
    assert samples.dtype == dtype
    assert floats(samples) == pytest.approx(VALUES, abs=2.0 ** -(min(bits, 24) - 1))
    assert floats(file.read(1, 1)) == pytest.approx(VALUES[1:2], abs=0.01)
    assert len(file.read(3, 1)) == len(file.read(7, 1)) == 0


@given(st.integers(1, 8), st.sampled_from((8000, 16_000, 44_100, 192_000)), st.integers(1, 500), st.data())
def test_what_the_standard_library_writes(channels: int, rate: int, count: int, data: Any) -> None:
    import tempfile

    seed = data.draw(st.integers(0, 2**32 - 1))
    samples = np.random.default_rng(seed).integers(-32768, 32768, (count, channels)).astype(np.int16)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.wav"
        with wave.open(str(path), "wb") as out:
            out.setnchannels(channels)
            out.setsampwidth(2)
            out.setframerate(rate)
            out.writeframes(samples.astype("<i2").tobytes())
        file = WavFile(path)
        assert (file.channels, file.sample_rate, len(file)) == (channels, rate, count)
        assert (file.read(0, count) == samples).all()


def test_float_that_is_no_number_or_too_large(tmp_path: Path) -> None:
    values = np.array([np.nan, np.inf, -np.inf, 2.0, -2.0, 0.5], "<f4")
    data = riff(fmt(3, 32, channels=1), chunk(b"data", values.tobytes()))
    assert WavFile(saved(tmp_path, data)).read(0, 6)[:, 0].tolist() == [0, 1, -1, 1, -1, 0.5]


@pytest.mark.parametrize("size", [0, 0xFFFF_FFFF, 1000])
def test_a_recorder_that_was_killed(tmp_path: Path, size: int) -> None:
    data = riff(fmt(1, 16), b"data" + struct.pack("<I", size) + packed(16, "pcm") + b"x")
    assert len(WavFile(saved(tmp_path, data))) == 3


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "expected a WAV file"),
        (b"RIFF\0\0\0\0AVI ", "expected a WAV file"),
        (riff(), "has no data"),
        (riff(fmt(1, 16)), "has no data"),
        (riff(chunk(b"data", b"abcd")), "no format before its data"),
        (riff(fmt(1, 16), chunk(b"data", b"")), "has no samples"),
        (riff(chunk(b"fmt ", b"short"), chunk(b"data", b"abcd")), "cut short"),
        (riff(fmt(2, 4), chunk(b"data", b"abcd")), "format 2 of 4 bits; expected PCM"),
        (riff(fmt(1, 12), chunk(b"data", b"abcd")), "format 1 of 12 bits"),
        (riff(fmt(1, 16, channels=0), chunk(b"data", b"abcd")), "0 channels"),
        (riff(fmt(1, 16, channels=9), chunk(b"data", bytes(36))), "9 channels"),
        (riff(fmt(1, 16, rate=1000), chunk(b"data", b"abcd")), "1000 Hz"),
        (riff(fmt(0xFFFE, 16), chunk(b"data", b"abcd")), "format 65534"),
    ],
    ids=str,
)
def test_refused(tmp_path: Path, data: bytes, problem: str) -> None:
    with pytest.raises(DataValidationError, match=problem) as caught:
        WavFile(saved(tmp_path, data))
    assert "sound.wav" in str(caught.value)


def test_there_is_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(DataValidationError, match="No such file"):
        WavFile(tmp_path / "none.wav")
    file = WavFile(saved(tmp_path, riff(fmt(1, 16), chunk(b"data", packed(16, "pcm")))))
    (tmp_path / "sound.wav").unlink()
    with pytest.raises(DataValidationError, match="No such file"):
        file.read(0, 1)


@given(st.binary(max_size=120), st.integers(0, 60))
def test_damage_is_refused_in_one_way(noise: bytes, at: int) -> None:
    import tempfile

    good = riff(fmt(1, 16), chunk(b"data", packed(16, "pcm")))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.wav"
        path.write_bytes(good[:at] + noise)
        try:
            file = WavFile(path)
        except DataValidationError:
            return
        assert file.read(0, 100).shape[1] == file.channels


class Clock:
    """Time that passes only by waiting."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self.waited: list[float] = []
        monkeypatch.setattr(clock, "monotonic", lambda: self.now)
        monkeypatch.setattr(clock, "now", lambda: 1e9 + self.now)
        monkeypatch.setattr(asyncio, "sleep", self.sleep)

    async def sleep(self, seconds: float) -> None:
        self.waited.append(seconds)
        self.now += seconds


async def test_pieces_come_when_they_have_been_said_stamped_with_when_they_began(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    time = Clock(monkeypatch)
    file = WavFile(SPEECH)
    pieces: list[AudioChunk] = []
    async for piece in play_wav(file, start=99.5):
        # Its last sample is a moment ago.
        assert time.now >= 99.5 + (len(pieces) + 1) * 0.02 - 1e-6
        pieces.append(piece)
    assert len(pieces) == 275
    assert {len(piece.samples) for piece in pieces} == {320}
    assert [piece.timestamp for piece in pieces] == pytest.approx([1e9 + 99.5 + 0.02 * n for n in range(275)], abs=1e-5)
    assert (np.concatenate([piece.samples for piece in pieces]) == file.read(0, len(file))).all()
    assert time.now == pytest.approx(99.5 + 5.5)
    assert time.waited[0] == 0, "half a second late at first, and not ever after"


async def test_again_and_again_until_the_time_is_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    Clock(monkeypatch)
    path = saved(tmp_path, riff(fmt(1, 16, rate=8000), chunk(b"data", packed(16, "pcm") * 100)))
    pieces = [piece async for piece in play_wav(WavFile(path), loop=True, seconds=0.1, chunk=0.01)]
    assert sum(len(piece.samples) for piece in pieces) == 800
    assert pieces[-1].timestamp + pieces[-1].duration == pytest.approx(1e9 + 100.1, abs=1e-5)


@pytest.mark.parametrize("bad", [{"chunk": 0.0}, {"chunk": 2.0}, {"seconds": 0.0}, {"seconds": float("nan")}])
async def test_durations_that_cannot_be(bad: dict[str, Any]) -> None:
    with pytest.raises(DataValidationError):
        await anext(play_wav(WavFile(SPEECH), **bad))
