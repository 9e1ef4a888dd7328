"""Poses that a process of its own finds in a video or a camera."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Final, Self

import msgspec

from posewire.errors import DataValidationError, PoseError, PosewireError
from posewire.lifetime import failure_of
from posewire.sources.messages import Job, Opened
from posewire.sources.source import SourceFrame, check_pace
from posewire.sources.tracker_process import TrackerProcess

_CLOSE_SECONDS: Final = 5.0
"""How long a process that was killed is waited for; only a driver that hangs in the kernel takes any time."""
_WAITING: Final = 8
"""Frames that wait when none may be left out."""
_COMPLEXITIES: Final = (0, 1, 2)


class TrackedSource:
    """A `Source` that looks. See `VideoSource` and `CameraSource`.

    Args:
        job: What to look at, and how.
        open_timeout: Seconds that loading the models and opening the camera may take.
    """

    def __init__(self, job: Job, *, open_timeout: float = 60.0) -> None:
        check_pace(job.fps, job.seconds)
        if job.complexity not in _COMPLEXITIES:
            raise DataValidationError("complexity", job.complexity, "expected 0, 1 or 2")
        self.opened: Opened | None = None
        """Size and rate, once it is open."""
        self._job = job
        self._open_timeout = open_timeout
        self._process: TrackerProcess | None = None
        self._closed = False

    @property
    def skipped(self) -> int:
        """Frames that nobody got, because a newer one was there."""
        return self._process.skipped if self._process is not None else 0

    async def __aenter__(self) -> Self:
        """Start the process and wait until it has camera and models; the video itself starts with the first frame.

        Cancelling leaves nothing behind.

        Raises:
            DataValidationError: No such file or camera, or it is no video.
            ConfigurationError: The extra is not installed.
            PoseError: It took too long, or the process died.
        """
        await self._open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SourceFrame:
        """Wait for the next frame.

        Raises:
            PosewireError: What is wrong with the video, the camera or the tracker; the source is closed then.
        """
        if self._closed:
            raise StopAsyncIteration
        process = self._process or await self._open()
        try:
            frame = await process.frame()
        except PosewireError:
            await self.aclose()
            raise
        if frame is None:
            await self.aclose()
            raise StopAsyncIteration
        return frame

    async def aclose(self) -> None:
        """Kill the process, in mid-inference too, and wait until it is gone. Idempotent, cancelling is safe."""
        self._closed = True
        if self._process is not None:
            await self._process.kill(timeout=_CLOSE_SECONDS)

    async def _open(self) -> TrackerProcess:
        if self._process is not None or self._closed:
            raise RuntimeError("a source is opened once; make another")
        self._process = process = TrackerProcess(_WAITING if self._job.every_frame else None)
        try:
            async with asyncio.timeout(self._open_timeout):
                await self._start(process)
                self.opened = await process.opened()
        except TimeoutError:
            raise PoseError(f"{self._job.name} was not open after {self._open_timeout:g} s") from None
        finally:
            if self.opened is None:
                await self.aclose()
        return process

    async def _start(self, process: TrackerProcess) -> None:
        """Start the process. When cancelled, wait until it has started, which takes milliseconds, then obey.

        Who is cancelled in the middle has no transport to kill and wait for; uvloop leaves a zombie then.
        """
        starting = asyncio.create_task(self._spawn(process), name="posewire.tracker.start")
        ours: asyncio.CancelledError | None = None
        while not starting.done():
            try:
                await asyncio.wait([starting])
            except asyncio.CancelledError as exc:
                ours = exc
        failure = failure_of(starting)
        if ours is not None:
            raise ours
        if failure is not None:
            raise PoseError(f"the process of {self._job.name} cannot be started: {failure}") from failure

    async def _spawn(self, process: TrackerProcess) -> None:
        await asyncio.get_running_loop().subprocess_exec(
            lambda: process,
            sys.executable,
            "-P",  # not the working folder, where a stray numpy.py may lie
            "-m",
            "posewire.sources.worker",
            msgspec.json.encode(self._job).decode(),
            # It finds the modules that we find.
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            # Ctrl-C is for us: we end it.
            start_new_session=True,
        )
