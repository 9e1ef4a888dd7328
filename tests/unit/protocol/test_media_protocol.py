"""Frames on their own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from posewire.errors import DataValidationError, ProtocolError
from posewire.protocol import AudioChunk, MediaData, MediaProtocol, PoseData, PoseProtocol

POSE = PoseData(
    np.random.default_rng(1).random((33, 4)).astype(np.float32), np.zeros((478, 4), np.float32), None, 1000.0
)
SOUND = AudioChunk(np.arange(960, dtype=np.int16), 48_000, 1000.0)
BAD: list[Any] = [
    MediaData(data="pose"),
    MediaData(data=b"\0", data_type="audio"),
    MediaData(data=POSE, data_type="video"),
    MediaData(data=POSE, timestamp=-1.0),
    POSE,
    None,
]


@pytest.mark.parametrize("threshold", [None, 1024])
def test_the_bytes_are_those_of_version_2(threshold: int | None) -> None:
    ours = MediaProtocol(compression_threshold=threshold)
    theirs = PoseProtocol(version="v2", compression_threshold=threshold)
    assert ours.encode(MediaData(data=POSE)) == theirs.encode_pose(POSE, now=0.0).body
    assert ours.encode(MediaData(data=SOUND, data_type="audio")) == theirs.encode_audio(SOUND)


def test_compression() -> None:
    plain = len(MediaProtocol(compression_threshold=None).encode(MediaData(data=POSE)))
    small = [
        len(MediaProtocol(compression_threshold=0, compression_level=level).encode(MediaData(data=POSE)))
        for level in (1, 9)
    ]
    assert plain > 8000 > small[0] >= small[1]


@pytest.mark.parametrize(("data", "kind"), [(POSE, "pose"), (SOUND, "audio")])
def test_what_is_written_can_be_read(data: Any, kind: Any) -> None:
    protocol = MediaProtocol()
    media = MediaData(data=data, timestamp=1000.0, frame_id=7, data_type=kind)
    assert protocol.validate(media) is True
    assert protocol.checked(media) is data
    assert protocol.decode(kind, protocol.encode(media), timestamp=1000.0, frame_id=7) == media


def test_raw_sound_has_the_rate_of_the_protocol() -> None:
    chunk = MediaProtocol(sample_rate=16_000, channels=2).checked(MediaData(data=bytes(8), data_type="audio"))
    assert isinstance(chunk, AudioChunk)
    assert (chunk.sample_rate, chunk.samples.shape) == (16_000, (2, 2))


@pytest.mark.parametrize("media", BAD)
def test_what_is_no_frame(media: Any) -> None:
    protocol = MediaProtocol()
    assert protocol.validate(media) is False
    with pytest.raises(DataValidationError):
        protocol.encode(media)


def test_bytes_that_are_none() -> None:
    with pytest.raises(ProtocolError):
        MediaProtocol().decode("pose", b"\0nonsense")
    with pytest.raises(ProtocolError):
        MediaProtocol().decode("audio", b"")
