"""`--audio` and `--record-audio`, as a shell calls them."""

from __future__ import annotations

import re
import signal
import sys
import time
import wave
from pathlib import Path

import numpy as np
import pytest

import posewire
from posewire.errors import DataValidationError
from posewire.sources import WavFile
from tests.unit.cli.test_commands import invoke, own_home, start, url  # noqa: F401  # fixtures


def recorded(file: Path) -> float:
    try:
        return WavFile(file).duration
    except DataValidationError:
        return 0.0


def test_sound_goes_beside_the_poses_and_into_a_file_until_ctrl_c(
    url: str,  # noqa: F811
    own_home: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("POSEWIRE_MEDIA_CODEC", "opus")
    watch = start("watch", "--room", "r", "--url", url, "--name", "w", "--record-audio", "out.wav", "--json")
    send = start("send", "squats", "--audio", "speech", "--room", "r", "--url", url, "--name", "alice", "--json")
    file, until = own_home / "out-alice.wav", time.monotonic() + 40
    while recorded(file) < 0.3:
        assert time.monotonic() < until
        assert watch.poll() is None
        assert send.poll() is None
        time.sleep(0.05)
    for process in (watch, send):
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
        assert process.returncode == 130
        assert "Traceback" not in err
        assert ("Recorded out-alice.wav" in err) == (process is watch)
    heard = WavFile(file)
    assert (heard.sample_rate, heard.channels) == (48_000, 1)
    assert float(np.std(heard.read(0, len(heard)))) > 100


def test_with_once_the_sound_is_heard_to_its_end(url: str, own_home: Path) -> None:  # noqa: F811
    with wave.open("short.wav", "wb") as out:
        out.setparams((1, 2, 16_000, 0, "NONE", ""))
        out.writeframes(bytes(2 * 16_000))
    # The poses are over in a tenth of a second.
    result = invoke("send", "squats", "--fps", "650", "--audio", "short.wav", "--once", "--room", "r", "--url", url)
    assert result.exit_code == 0
    sent = re.search(r"(\d+) frames sent", result.stderr)
    assert sent is not None
    assert 50 < int(sent[1]) <= 50 + 65


@pytest.mark.parametrize(
    ("audio", "problem"),
    [("none.wav", "No such file"), ("mic", "microphone")],
)
def test_what_cannot_be_heard_ends_it(
    url: str,  # noqa: F811
    audio: str,
    problem: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    result = invoke("send", "squats", "--audio", audio, "--room", "r", "--url", url, "--wait", "0")
    assert isinstance(result.exception, posewire.PosewireError)
    assert problem in str(result.exception)


def test_there_is_no_folder_to_record_to(url: str) -> None:  # noqa: F811
    result = invoke("watch", "--record-audio", "none/out.wav", "--room", "r", "--url", url, "--wait", "0")
    assert isinstance(result.exception, posewire.ConfigurationError)
    assert "no such folder" in str(result.exception)
