"""Where poses come from."""

from posewire.sources.microphone import Microphone
from posewire.sources.playback import Motion, play
from posewire.sources.samples import SAMPLES, sample_path
from posewire.sources.synthetic import SyntheticMotion
from posewire.sources.wav import SPEECH, WavFile, play_wav

__all__ = [
    "SAMPLES",
    "SPEECH",
    "Microphone",
    "Motion",
    "SyntheticMotion",
    "WavFile",
    "play",
    "play_wav",
    "sample_path",
]
