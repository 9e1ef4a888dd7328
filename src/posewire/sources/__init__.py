"""Where poses come from: each a `Source`, an async iterator of stamped frames that never blocks the event loop."""

from posewire.sources.camera_source import CameraSource
from posewire.sources.microphone import Microphone
from posewire.sources.playback import Motion, Playback
from posewire.sources.samples import SAMPLES, sample_path
from posewire.sources.source import Source, SourceFrame
from posewire.sources.synthetic import SyntheticMotion
from posewire.sources.video_source import VideoSource
from posewire.sources.wav import SPEECH, WavFile, play_wav

__all__ = [
    "SAMPLES",
    "SPEECH",
    "CameraSource",
    "Microphone",
    "Motion",
    "Playback",
    "Source",
    "SourceFrame",
    "SyntheticMotion",
    "VideoSource",
    "WavFile",
    "play_wav",
    "sample_path",
]
