"""Help for the tests of applications: poses and sound to send."""

from __future__ import annotations

import numpy as np

from posewire.protocol import AudioChunk


def generate_test_pose(landmark_count: int = 33, *, seed: int | None = None) -> dict[str, list[dict[str, float]]]:
    """Return a random pose in the specification's form: ``{"landmarks": [{x, y, z, visibility}, …]}``, all 0..1."""
    values = np.random.default_rng(seed).random((landmark_count, 4)).astype(np.float32).tolist()
    return {"landmarks": [dict(zip(("x", "y", "z", "visibility"), row, strict=True)) for row in values]}


def generate_test_audio(duration: float = 1.0, *, sample_rate: int = 44_100, seed: int | None = None) -> AudioChunk:
    """Return ``duration`` seconds of quiet noise, one channel, int16."""
    noise = np.random.default_rng(seed).integers(-3000, 3000, int(duration * sample_rate), dtype=np.int16)
    return AudioChunk(noise, sample_rate)
