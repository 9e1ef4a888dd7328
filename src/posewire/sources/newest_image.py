"""Reads a camera as fast as it delivers, and keeps the newest image only."""

# threads: a camera has a queue of its own that nobody may leave unread, or every image is as old as that queue is long;
# reading blocks in the driver, and so does finding landmarks. This is in the tracker's process, where there is no event
# loop, and which is killed when its source is closed: a read that hangs holds up nobody.

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from posewire.sources.backend import Capture


class NewestImage:
    """One place for one image; a newer one replaces one that nobody took, counted in ``skipped``.

    Args:
        capture: An opened camera.
        monotonic: The clock.
    """

    def __init__(self, capture: Capture, monotonic: Callable[[], float]) -> None:
        self.skipped = 0
        self._capture = capture
        self._monotonic = monotonic
        self._changed = threading.Condition()
        self._newest: tuple[float, Any] | None = None
        self._ended = False
        self._thread = threading.Thread(target=self._read, name="posewire.camera", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def take(self) -> tuple[float, Any] | None:
        """Wait for an image that nobody took yet; return when it came (monotonic) and itself, None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._newest is not None or self._ended)
            newest, self._newest = self._newest, None
        return newest

    def stop(self) -> None:
        """Read no more, and wait for the reading that is under way."""
        with self._changed:
            self._ended = True
        self._thread.join()

    def _read(self) -> None:
        while not self._ended and self._capture.grab() is not None:
            came = self._monotonic()
            if (image := self._capture.image()) is None:
                continue  # a camera on a bad cable has one now and then
            with self._changed:
                self.skipped += self._newest is not None
                self._newest = (came, image)
                self._changed.notify()
        with self._changed:
            self._ended = True
            self._changed.notify()
