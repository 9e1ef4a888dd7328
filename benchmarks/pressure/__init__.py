"""Age and memory over time while the link gets bad: cut, narrow, lossy, gone; and members that are slow to read."""

from benchmarks.pressure.command import main

__all__ = ["main"]
