"""Looks at a video or a camera, frame after frame: which ones, and when. Blocks; runs in the tracker's process."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from posewire import clock
from posewire.errors import DataValidationError, PoseError
from posewire.protocol import PoseData, body_v2
from posewire.sources.backend import Backend, Capture, Track
from posewire.sources.messages import Ended, Job, Message, Opened, Seen
from posewire.sources.newest_image import NewestImage

_WHOLE: Final = 0.9
"""A file that ends before this share of its length is damaged. Containers know their length roughly; so may we."""

Tell = Callable[[Message], None]


def watch(
    job: Job,
    backend: Backend,
    tell: Tell,
    *,
    go: Callable[[], bool],
    monotonic: Callable[[], float] = clock.monotonic,
    pause: Callable[[float], None] = time.sleep,  # no event loop here that it could hold up
) -> None:
    """Do a job to its end.

    Args:
        job: What to look at.
        backend: The libraries.
        tell: Gets what is found.
        go: Waits until the first frame is wanted; false when it never will be.
        monotonic: The clock.
        pause: Waits.

    Raises:
        PosewireError: It cannot be opened, is damaged, or ends where it should not.
    """
    capture = backend.open_capture(job)
    track = backend.open_tracker(job)
    tell(Opened(capture.width, capture.height, capture.fps, capture.frames))
    if not go():
        return
    if job.video is None:
        tell(Ended(_watch_camera(job, capture, track, tell, monotonic)))
        return
    watching = _FileWatch(job, track, tell, monotonic, pause)
    while watching.round(capture) and job.loop:
        capture.close()
        capture = backend.open_capture(job)
    tell(Ended(watching.skipped))


def _watch_camera(job: Job, capture: Capture, track: Track, tell: Tell, monotonic: Callable[[], float]) -> int:
    newest = NewestImage(capture, monotonic)
    newest.start()
    start: float | None = None
    try:
        while (taken := newest.take()) is not None:
            captured, image = taken
            start = captured if start is None else start
            if job.seconds is not None and captured - start >= job.seconds:
                return newest.skipped
            began = monotonic()
            pose = track(image)
            tell(_seen(captured, monotonic() - began, newest.skipped, pose))
    finally:
        newest.stop()
    raise PoseError(f"{job.name} delivers no more images; unplugged, or taken by another program?")


class _FileWatch:
    """Rounds through a file, in real time by its own timestamps.

    A frame is looked at unless the next one is due already. The clock starts when the first frame has been looked at:
    that one takes long, for the models wake up.
    """

    def __init__(
        self, job: Job, track: Track, tell: Tell, monotonic: Callable[[], float], pause: Callable[[float], None]
    ) -> None:
        self.skipped = 0
        self._job = job
        self._track = track
        self._tell = tell
        self._monotonic = monotonic
        self._pause = pause
        self._start: float | None = None
        self._before = 0.0
        """Seconds of the rounds before this one."""

    def round(self, capture: Capture) -> bool:
        """Look at the whole file; false when it is time to stop.

        Raises:
            DataValidationError: It is damaged.
        """
        first = shown = last = 0.0
        step = 1 / capture.fps
        read = 0
        while (at := capture.grab()) is not None:
            first = first if read else at
            shown = at - first
            due = shown if self._job.fps is None else read / self._job.fps
            step = due - last if read else step
            last = due
            read += 1
            if self._job.seconds is not None and self._before + due >= self._job.seconds:
                return False
            self._look(capture, self._before + due, step)
        # Not by the number of frames: Matroska does not have it, and what OpenCV says of it is a guess.
        length = capture.frames / capture.fps
        shown += 1 / capture.fps
        if not read or shown < _WHOLE * length:
            problem = f"damaged: it ends after {shown if read else 0:.2f} s of {length:.2f} s"
            raise DataValidationError("video", self._job.video, problem)
        self._before += last + step
        return True

    def _look(self, capture: Capture, due: float, step: float) -> None:
        now = self._monotonic()
        if self._start is not None and not self._job.every_frame:
            if now - self._start - due > step:
                self.skipped += 1
                return
            if (early := self._start + due - now) > 0:
                self._pause(early)
        if (image := capture.image()) is None:
            self.skipped += 1
            return
        began = self._monotonic()
        pose = self._track(image)
        ended = self._monotonic()
        if self._start is None:
            self._start = ended - due
        self._tell(_seen(self._start + due, ended - began, self.skipped, pose))


def _seen(captured: float, tracking: float, skipped: int, pose: PoseData) -> Seen:
    return Seen(captured, tracking, skipped, body_v2.encode_pose(pose, threshold=None, level=0))
