"""Everyone's sound in files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from posewire.cli.sound_recorder import SoundRecorder
from posewire.errors import ConfigurationError
from posewire.protocol import AudioChunk
from posewire.receiver import Frame
from posewire.sources import WavFile


def frame(value: int, at: float, *, user: str = "alice", stream: str = "audio", size: int = 160, **form: Any) -> Frame:
    rate = form.get("rate", 8000)
    samples = np.full((size, form.get("channels", 1)), value, np.int16)
    if form.get("floats"):
        samples = (samples / 32767).astype(np.float32)
    audio = AudioChunk(samples, rate, at)
    return Frame(user_id=user, kind="audio", stream=stream, seq=0, timestamp=at, age=0.0, size=0, audio=audio)


@pytest.fixture
def recorder(tmp_path: Path) -> SoundRecorder:
    return SoundRecorder(tmp_path / "out.wav")


def read(path: Path) -> list[int]:
    file = WavFile(path)
    return [int(value) for value in file.read(0, len(file))[::160, 0]]


def test_a_file_for_each_speaker_and_stream(recorder: SoundRecorder, tmp_path: Path) -> None:
    recorder.write(frame(1, 5.0))
    recorder.write(frame(2, 6.0, user="bob", stream="music", rate=48_000, channels=2))
    recorder.write(frame(3, 5.02))
    recorder.close()
    assert [path.name for path in recorder.files] == ["out-alice.wav", "out-bob-music.wav"]
    assert read(tmp_path / "out-alice.wav") == [1, 3]
    music = WavFile(tmp_path / "out-bob-music.wav")
    assert (music.sample_rate, music.channels) == (48_000, 2)


def test_the_file_is_whole_after_every_piece(recorder: SoundRecorder, tmp_path: Path) -> None:
    for number in range(5):
        recorder.write(frame(number, 5 + 0.02 * number))
        assert read(tmp_path / "out-alice.wav") == list(range(number + 1)), "nobody closed it"
    recorder.close()


def test_what_did_not_come_is_silence(recorder: SoundRecorder, tmp_path: Path) -> None:
    recorder.write(frame(1, 5.0))
    recorder.write(frame(2, 5.12))
    recorder.close()
    assert read(tmp_path / "out-alice.wav") == [1, 0, 0, 0, 0, 0, 2]


def test_jitter_is_not(recorder: SoundRecorder, tmp_path: Path) -> None:
    for number, off in enumerate((0, 0.03, -0.03, 0.05, 0)):
        recorder.write(frame(number, 5 + 0.02 * number + off))
    recorder.close()
    assert read(tmp_path / "out-alice.wav") == list(range(5))


def test_times_that_go_back_a_little_lose_no_sound_and_a_pause_makes_up_for_them(
    recorder: SoundRecorder, tmp_path: Path
) -> None:
    """The sender's clock is put back by half a second: `CaptureTimes` holds the times until it has caught up."""
    for number in range(30):
        recorder.write(frame(1, 5.0 + 0.02 * number))
    for number in range(25):
        recorder.write(frame(2, 5.58 + 2e-6 * (number + 1)))
    for number in range(5):
        recorder.write(frame(3, 5.6 + 0.02 * number))
    recorder.write(frame(4, 5.7 + 0.6))
    recorder.close()
    values = read(tmp_path / "out-alice.wav")
    assert values[:60] == [1] * 30 + [2] * 25 + [3] * 5
    assert values[-1] == 4
    assert (6.3 - 5.0) / 0.02 <= len(values) <= (6.3 - 5.0) / 0.02 + 5, "aligned again, but for jitter"


def test_a_recording_that_is_played_three_times_with_its_own_times_is_heard_three_times(
    recorder: SoundRecorder, tmp_path: Path
) -> None:
    for turn in range(3):
        for number in range(100):
            recorder.write(frame(turn + 1, 5.0 + 0.02 * number))
    recorder.write(frame(4, 7.0 + 0.1))
    recorder.close()
    values = read(tmp_path / "out-alice.wav")
    assert values == [1] * 100 + [2] * 100 + [3] * 100 + [0] * 5 + [4], "a gap after it is one as before"


def test_a_time_that_jumps_does_not_fill_the_disk(recorder: SoundRecorder, tmp_path: Path) -> None:
    recorder.write(frame(1, 5.0))
    recorder.write(frame(2, 1e9))
    recorder.write(frame(3, 1e9 + 0.02))
    recorder.close()
    values = read(tmp_path / "out-alice.wav")
    assert len(values) == 1 + 60 * 50 + 2
    assert values[-2:] == [2, 3]


def test_floats(recorder: SoundRecorder, tmp_path: Path) -> None:
    recorder.write(frame(1234, 5.0, floats=True))
    recorder.close()
    assert read(tmp_path / "out-alice.wav") == [1234]


def test_another_rate_or_number_of_channels_goes_on_in_another_file(recorder: SoundRecorder, tmp_path: Path) -> None:
    for number in range(3):
        recorder.write(frame(1, 5.0 + 0.02 * number))
    for number in range(3, 6):
        recorder.write(frame(2, 5.0 + 0.02 * number, rate=16_000, size=320))
    recorder.write(frame(3, 5.12, channels=2))
    recorder.write(frame(4, 5.14))
    recorder.close()
    assert [path.name for path in recorder.files] == ["out-alice.wav", "out-alice-2.wav", "out-alice-3.wav"]
    assert read(tmp_path / "out-alice.wav") == [1, 1, 1, 0, 0, 0, 0, 4], "back in its first form: the first file"
    assert set(read(tmp_path / "out-alice-2.wav")) == {2}
    assert WavFile(tmp_path / "out-alice-2.wav").sample_rate == 16_000
    assert WavFile(tmp_path / "out-alice-3.wav").channels == 2
    assert [note for note in recorder.notes if "16000 Hz" in note and "out-alice-2.wav" in note]
    assert len(recorder.notes) == 2


def test_a_file_that_is_full_goes_on_in_another(
    recorder: SoundRecorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = 2 * (60 * 8000 + 1600)  # ten pieces, and the longest silence
    monkeypatch.setattr("posewire.cli.sound_recorder._MOST_BYTES", most)
    for number in range(25):
        recorder.write(frame(number, 5 + 0.02 * number))
    recorder.close()
    assert [path.name for path in recorder.files] == ["out-alice.wav", "out-alice-2.wav", "out-alice-3.wav"]
    assert [value for path in recorder.files for value in read(path)] == list(range(25))
    assert recorder.notes[0] == "out-alice.wav is full: alice goes on in out-alice-2.wav."


def test_the_sizes_in_the_header_hold_what_is_written(recorder: SoundRecorder) -> None:
    """Just under what 32 bits take, of a file that says it is so long already."""
    recorder.write(frame(1, 5.0, rate=384_000, channels=8))
    (track,) = recorder._tracks.values()
    for rest in (62, 30, 0.01):
        track._written = (2**32 - 2**16) // 16 - round(rest * 384_000)
        track._file._datawritten = 16 * track._written  # type: ignore[attr-defined]
        recorder.write(frame(2, 5.0 + track._written / 384_000, rate=384_000, channels=8))
    assert [path.name for path in recorder.files] == ["out-alice.wav", "out-alice-2.wav"]
    recorder.close()


def test_poses_are_ignored(recorder: SoundRecorder) -> None:
    recorder.write(Frame(user_id="a", kind="pose", stream="s", seq=0, timestamp=1.0, age=0.0, size=0))
    recorder.close()
    assert recorder.files == []


def test_names_stay_in_the_folder_and_apart(recorder: SoundRecorder, tmp_path: Path) -> None:
    for user in ("../../etc/passwd", "a/b", "a:b", "a\\b", "ä", "x" * 128, ".."):
        recorder.write(frame(1, 5.0, user=user))
    recorder.close()
    assert {path.parent for path in recorder.files} == {tmp_path}
    assert len(set(recorder.files)) == 7
    assert all(path.exists() for path in recorder.files)
    assert "out-a_b-2.wav" in {path.name for path in recorder.files}


def test_files_are_bounded_and_that_is_said_once(recorder: SoundRecorder) -> None:
    for number in range(70):
        recorder.write(frame(1, 5.0, user=f"user {number}"))
    recorder.close()
    assert len(recorder.files) == 64
    assert len(recorder.notes) == 1
    assert "64 files" in recorder.notes[0]


@pytest.mark.parametrize("path", ["", ".", "..", "/"])
def test_no_file(path: str) -> None:
    with pytest.raises(ConfigurationError, match="expected a file"):
        SoundRecorder(path)


def test_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no such folder"):
        SoundRecorder(tmp_path / "none" / "out.wav")


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "out-alice.wav").mkdir()
    with pytest.raises(ConfigurationError, match=r"out.wav.*cannot be written"):
        SoundRecorder(tmp_path / "out.wav").write(frame(1, 5.0))
