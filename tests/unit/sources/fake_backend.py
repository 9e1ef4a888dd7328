"""A backend without libraries: what a "video" is and does is said in its name, ``frames=5,fps=100,hang=3``.

A camera's number says how it behaves; see the constants. The image of a frame is its number, and so is the x of all its
landmarks.
"""

from __future__ import annotations

import os
import sys
import time

import numpy as np

from posewire.errors import DataValidationError
from posewire.protocol import PoseData
from posewire.sources.backend import Track
from posewire.sources.messages import Job

NAME = __name__
ENDLESS, ABSENT, ENDS, HANGS = range(4)
FOR_EVER = 1000.0


def settings(job: Job) -> dict[str, float]:
    if job.video is None:
        return {"frames": 3 if job.camera == ENDS else 1e9, "fps": 100}
    return {key: float(value) for key, _, value in (part.partition("=") for part in job.video.split(","))}


class FakeCapture:
    width, height = 640, 360

    def __init__(self, settings: dict[str, float], *, live: bool) -> None:
        self.fps = settings.get("fps", 100.0)
        self.frames = int(settings.get("claims", 0))
        self._count = settings["frames"]
        self._live = live
        self._at = -1

    def grab(self) -> float | None:
        self._at += 1
        if self._at >= self._count:
            return None
        if self._live:
            time.sleep(1 / self.fps)
            return 0.0
        return self._at / self.fps

    def image(self) -> int:
        return self._at

    def close(self) -> None:
        self._count = 0


def open_capture(job: Job) -> FakeCapture:
    print("a library that prints")  # noqa: T201  # must not get between the messages
    if job.video is None and job.camera == ABSENT:
        raise DataValidationError("camera", job.camera, "no such camera")
    if job.video is None and job.camera == HANGS:
        time.sleep(FOR_EVER)
    return FakeCapture(settings(job), live=job.video is None)


def open_tracker(job: Job) -> Track:
    does = settings(job)

    def track(image: int) -> PoseData:
        if image == does.get("crash"):
            print("the last words", file=sys.stderr, flush=True)  # noqa: T201
            os.abort()
        time.sleep(FOR_EVER if image == does.get("hang") else does.get("slow", 0.0))
        return PoseData(np.full((33, 4), image, dtype=np.float32))

    return track
