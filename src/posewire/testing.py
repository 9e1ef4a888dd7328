"""Help for the tests of applications: poses and sound to send, a queue that is full."""

from __future__ import annotations

import numpy as np

from posewire.protocol import AudioChunk
from posewire.session import Session


def generate_test_pose(landmark_count: int = 33, *, seed: int | None = None) -> dict[str, list[dict[str, float]]]:
    """Return a random pose in the specification's form: ``{"landmarks": [{x, y, z, visibility}, …]}``, all 0..1."""
    values = np.random.default_rng(seed).random((landmark_count, 4)).astype(np.float32).tolist()
    return {"landmarks": [dict(zip(("x", "y", "z", "visibility"), row, strict=True)) for row in values]}


def generate_test_audio(duration: float = 1.0, *, sample_rate: int = 44_100, seed: int | None = None) -> AudioChunk:
    """Return ``duration`` seconds of quiet noise, one channel, int16."""
    noise = np.random.default_rng(seed).integers(-3000, 3000, int(duration * sample_rate), dtype=np.int16)
    return AudioChunk(noise, sample_rate)


async def fill_queue_to_threshold(session: Session, *, priority: int = 0) -> int:
    """Pause the pipeline of ``session`` and hand in silence until as many frames wait as may without a clean-up.

    ``session.sender.resume()`` lets them go. The session is in a room. Does not wait for the network.

    Args:
        session: Whose queue.
        priority: Of each frame.

    Returns:
        How many frames were handed in; 0 when the queue was full, or full of what matters more.
    """
    sender, handed_in = session.sender, 0
    sender.pause()
    while len(sender.queue) < sender.queue.threshold:
        if not await sender.send("audio", AudioChunk(np.zeros(48, np.int16), 48_000), priority, max_age=3600.0):
            break
        handed_in += 1
    return handed_in
