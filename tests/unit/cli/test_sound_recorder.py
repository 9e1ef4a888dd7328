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


def test_what_is_there_already_is_not_written_again(recorder: SoundRecorder, tmp_path: Path) -> None:
    recorder.write(frame(1, 5.0, size=1600))
    recorder.write(frame(2, 5.1, size=1600))
    recorder.write(frame(3, 5.0, size=160))
    recorder.close()
    assert read(tmp_path / "out-alice.wav") == [1] * 10 + [2] * 5


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


def test_another_rate_in_the_middle_is_left_out(recorder: SoundRecorder, caplog: pytest.LogCaptureFixture) -> None:
    recorder.write(frame(1, 5.0))
    for _ in range(3):
        recorder.write(frame(2, 5.02, rate=16_000))
    assert caplog.text.count("is left out") == 1
    recorder.close()
    assert read(recorder.files[0]) == [1]


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


def test_files_are_bounded(recorder: SoundRecorder) -> None:
    for number in range(70):
        recorder.write(frame(1, 5.0, user=f"user {number}"))
    recorder.close()
    assert len(recorder.files) == 64


def test_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no such folder"):
        SoundRecorder(tmp_path / "none" / "out.wav")


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "out-alice.wav").mkdir()
    with pytest.raises(ConfigurationError, match=r"out.wav.*cannot be written"):
        SoundRecorder(tmp_path / "out.wav").write(frame(1, 5.0))
