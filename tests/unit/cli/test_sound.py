"""`--audio` and `--record-audio`, as a shell calls them."""

from __future__ import annotations

import asyncio
import io
import re
import signal
import sys
import time
import wave
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from rich.console import Console

import posewire
from posewire.cli.sound import recorded
from posewire.cli.sound_recorder import SoundRecorder
from posewire.errors import DataValidationError
from posewire.protocol import AudioChunk
from posewire.receiver import Frame
from posewire.sources import WavFile
from tests.unit.cli.test_commands import invoke, own_home, start, url  # noqa: F401  # fixtures


def length_of(file: Path) -> float:
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
    while length_of(file) < 0.3:
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
def test_what_cannot_be_heard_ends_it_before_we_join(audio: str, problem: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no server: joining would fail with another error."""
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    nobody = "http://127.0.0.1:9"
    result = invoke("send", "squats", "--audio", audio, "--room", "r", "--url", nobody, "--wait", "0")
    assert isinstance(result.exception, posewire.PosewireError)
    assert problem in str(result.exception)


@pytest.mark.parametrize(("path", "problem"), [("none/out.wav", "no such folder"), (".", "a file"), ("", "a file")])
def test_where_to_record_is_checked_before_we_join(path: str, problem: str) -> None:
    """There is no server: joining would fail with another error."""
    result = invoke("watch", "--record-audio", path, "--room", "r", "--url", "http://127.0.0.1:9", "--wait", "0")
    assert isinstance(result.exception, posewire.ConfigurationError)
    assert problem in str(result.exception)


async def test_what_happened_to_the_files_is_said_at_the_end(tmp_path: Path) -> None:
    recorder, out = SoundRecorder(tmp_path / "out.wav"), io.StringIO()
    ended = asyncio.Event()

    class Heard:
        def frames(self, kind: str) -> AsyncIterator[Frame]:
            assert kind == "audio"
            return self._frames()

        async def _frames(self) -> AsyncIterator[Frame]:
            for rate in (8000, 16_000):
                audio = AudioChunk(np.ones(160, np.int16), rate, 5.0)
                form = {"user_id": "alice", "kind": "audio", "stream": "audio"}
                yield Frame(**form, seq=0, timestamp=5.0, age=0.0, size=0, audio=audio)  # type: ignore[arg-type]
            ended.set()

    async with recorded(cast(posewire.Session, Heard()), recorder, Console(file=out)):
        await ended.wait()
    assert out.getvalue().splitlines() == [
        "alice changed to 16000 Hz, 1 channel(s): that is in out-alice-2.wav.",
        "Recorded out-alice.wav, out-alice-2.wav",
    ]
