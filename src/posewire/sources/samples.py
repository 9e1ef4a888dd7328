"""The recordings that ship with the package; NOTICE says where they come from."""

from __future__ import annotations

from pathlib import Path
from typing import Final

SAMPLES: Final = {
    "jump": "a man jumps and swings his arms; body, 90 frames a second, 4 s",
    "signing": "a woman signs; body, face and hands, 30 frames a second, 4 s",
    "squats": "a man does squats; body, 5 frames a second, 13 s",
}


def sample_path(name: str) -> Path:
    """Return the file of a sample.

    Raises:
        KeyError: There is no such sample.
    """
    if name not in SAMPLES:
        raise KeyError(name)
    return Path(__file__).parents[1] / "samples" / f"{name}.npz"
