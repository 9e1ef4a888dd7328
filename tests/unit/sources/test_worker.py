"""The process of a source, in this one: a job in, messages out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from posewire.errors import ConfigurationError
from posewire.sources.messages import GO, Ended, Failed, Job, Message, Opened, Seen, taken
from posewire.sources.worker import load_backend, work
from tests.unit.sources import fake_backend


@pytest.fixture
def asked() -> Iterator[int]:
    """A pipe out of which comes a GO."""
    reading, writing = os.pipe()
    os.write(writing, GO)
    yield reading
    os.close(writing)
    os.close(reading)


def messages(job: Job, asked: int, tmp_path: Path) -> list[Message]:
    file = tmp_path / "told"
    told = os.open(file, os.O_WRONLY | os.O_CREAT)
    try:
        work(job, asked, told)
    finally:
        os.close(told)
    buffer = bytearray(file.read_bytes())
    came = taken(buffer)
    assert not buffer
    return came


def test_a_job_to_its_end(asked: int, tmp_path: Path) -> None:
    came = messages(Job(video="frames=3,fps=1000", backend=fake_backend.NAME, every_frame=True), asked, tmp_path)
    assert [type(message) for message in came] == [Opened, Seen, Seen, Seen, Ended]


def test_what_cannot_be_done_is_told(asked: int, tmp_path: Path) -> None:
    (failed,) = messages(Job(camera=fake_backend.ABSENT, backend=fake_backend.NAME), asked, tmp_path)
    assert isinstance(failed, Failed)
    assert failed.error["message"] == "Invalid camera: 1 - no such camera"
    (failed,) = messages(Job(backend="posewire.nothing"), asked, tmp_path)
    assert isinstance(failed, Failed)
    assert failed.error["fields"]["value"] == "posewire.nothing"
    with pytest.raises(ConfigurationError, match="expected a module"):
        load_backend("posewire.nothing")


def test_a_reader_that_went_away_is_no_error(asked: int) -> None:
    reading, told = os.pipe()
    os.close(reading)
    work(Job(video="frames=3", backend=fake_backend.NAME), asked, told)
    os.close(told)
