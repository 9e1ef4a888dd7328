"""Motion in files."""

from posewire.recording.recording import Recording, load_recording

__all__ = ["Recording", "load_recording"]
