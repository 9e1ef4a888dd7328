"""What a SOURCE argument names, and what `posewire send` says of it."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from posewire.cli import options
from posewire.cli.app import cli
from posewire.cli.options import source_of
from posewire.errors import DataValidationError
from posewire.sources import CameraSource, Playback, VideoSource
from tests.unit.cli.test_commands import own_home as own_home
from tests.unit.cli.test_commands import url as url
from tests.unit.sources import fake_backend


class Made:
    """Stands for a class; keeps what it was called with."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.arguments = arguments
        self.options = options


def test_names(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(source_of("jump"), Playback)
    assert isinstance(source_of("synthetic"), Playback)
    np.savez(own_home / "Mine.NPZ.npz", landmarks=np.zeros((2, 33, 4)), fps=30)
    (own_home / "Mine.NPZ.npz").rename(own_home / "Mine.NPZ")
    assert isinstance(source_of("Mine.NPZ"), Playback)
    (own_home / "clip.mkv").write_bytes(b"")
    assert isinstance(source_of("clip.mkv"), VideoSource)
    assert isinstance(source_of("camera"), CameraSource)
    monkeypatch.setattr(options, "CameraSource", Made)
    monkeypatch.setattr(options, "VideoSource", Made)
    made: Any = source_of("camera:12", fps=60, seconds=3, holistic=True, complexity=0)
    assert made.arguments == (12,)
    assert made.options == {"fps": 60, "seconds": 3, "holistic": True, "complexity": 0}
    made = source_of("clip.mkv", loop=False)
    assert made.arguments == ("clip.mkv",)
    assert made.options == {"fps": None, "seconds": None, "holistic": False, "complexity": 1, "loop": False}


@pytest.mark.parametrize("name", ["jump", "synthetic", "mine.npz"])
@pytest.mark.parametrize("option", [("--holistic",), ("--complexity", "1")])
def test_what_has_its_landmarks_is_not_tracked(own_home: Path, name: str, option: tuple[str, ...]) -> None:
    np.savez(own_home / "mine.npz", landmarks=np.zeros((2, 33, 4)), fps=30)
    arguments = ["send", name, *option, "--room", "r", "--url", "http://127.0.0.1:9", "--wait", "0"]
    result = CliRunner().invoke(cli, arguments)
    assert isinstance(result.exception, DataValidationError)
    assert f"{option[0][2:]}: " in str(result.exception)
    assert "expected only with a video or a camera" in str(result.exception)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nobody", "source: nobody - no such file, and none of jump, signing, squats, synthetic, camera"),
        ("missing.mp4", "source: missing.mp4 - no such file"),
        ("missing.npz", "recording: missing.npz - no such file"),
        ("camera:", "source: camera: - expected camera or camera:N"),
        ("camera:x", "source: camera:x - expected camera or camera:N"),
        ("camera:-1", "source: camera:-1 - expected camera or camera:N"),
        ("camera:100", "camera: 100 - expected a number from 0 to 99"),
    ],
)
def test_names_of_nothing(name: str, words: str) -> None:
    with pytest.raises(DataValidationError, match=f"Invalid {words}"):
        source_of(name)


def test_a_video_is_sent_and_figures_tell_what_was_skipped(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "VideoSource", functools.partial(VideoSource, backend=fake_backend.NAME))
    for name in ("frames=8,fps=50,slow=0.03", "frames=8,claims=100"):
        Path(name).write_bytes(b"")
    arguments = ("--room", "studio", "--url", url, "--once", "--json")
    result = CliRunner().invoke(cli, ["send", "frames=8,fps=50,slow=0.03", *arguments])
    assert result.exit_code == 0, result.output
    figures = msgspec.json.decode(result.stdout)
    drops = sum(figures["drops"].values())
    assert figures["sent"] + drops + figures["source"]["skipped"] == 8
    assert figures["source"]["skipped"] > 0
    assert figures["source"]["tracking_ms"]["p50"] > 29
    result = CliRunner().invoke(cli, ["send", "frames=8,claims=100", *arguments])
    assert isinstance(result.exception, DataValidationError)
    assert "damaged: it ends after 0.08 s of 1.00 s" in str(result.exception)
    # A motion that was there needs no tracking.
    result = CliRunner().invoke(cli, ["send", "squats", "--fps", "500", *arguments])
    assert msgspec.json.decode(result.stdout)["source"].keys() == {"skipped"}
