"""Where poses come from: each a `Source`, an async iterator of stamped frames that never blocks the event loop."""

from posewire.sources.camera_source import CameraSource
from posewire.sources.playback import Motion, Playback
from posewire.sources.samples import SAMPLES, sample_path
from posewire.sources.source import Source, SourceFrame
from posewire.sources.synthetic import SyntheticMotion
from posewire.sources.video_source import VideoSource

__all__ = [
    "SAMPLES",
    "CameraSource",
    "Motion",
    "Playback",
    "Source",
    "SourceFrame",
    "SyntheticMotion",
    "VideoSource",
    "sample_path",
]
