"""Where poses come from."""

from posewire.sources.playback import Motion, play
from posewire.sources.samples import SAMPLES, sample_path
from posewire.sources.synthetic import SyntheticMotion

__all__ = ["SAMPLES", "Motion", "SyntheticMotion", "play", "sample_path"]
