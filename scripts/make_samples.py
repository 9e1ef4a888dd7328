"""Make the recordings that ship with the package from those of the shared data folder.

Usage: python scripts/make_samples.py ../shared/data

Only the landmarks are kept (no world landmarks), and x, y, z, visibility are rounded to 1/65536, a hundredth of a pixel
of the videos they come from: rounded numbers compress, and the three together stay under a megabyte. Of the speech, the
first sentence or so.
"""

from __future__ import annotations

import sys
import wave
from pathlib import Path

import numpy as np

SAMPLES = Path(__file__).parents[1] / "src" / "posewire" / "samples"
NAMES = {
    "jump": "pose_jump_swing_90fps.npz",
    "signing": "sign_seg_example.npz",
    "squats": "pose_squats_5fps.npz",
}
STEPS = 65536
SPEECH_SECONDS = 5.5


def main(folder: Path) -> None:
    """Write every sample anew from the recordings in ``folder``."""
    for name, file in NAMES.items():
        with np.load(folder / file, allow_pickle=False) as data:
            kept = {key: data[key] for key in ("timestamps", "fps", "kind", "source")}
            kept |= {key: data[key] for key in ("part_names", "part_offsets") if key in data.files}
            landmarks = (np.round(data["landmarks"].astype(np.float64) * STEPS) / STEPS).astype(np.float32)
        np.savez_compressed(SAMPLES / f"{name}.npz", landmarks=landmarks, **kept)
    with wave.open(str(folder / "audio" / "speech_jfk_16k.wav")) as speech:
        samples = speech.readframes(round(SPEECH_SECONDS * speech.getframerate()))
        with wave.open(str(SAMPLES / "speech.wav"), "wb") as kept_speech:
            kept_speech.setparams(speech.getparams())
            kept_speech.writeframes(samples)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
