"""The seam between the thread that reads a camera and whoever takes its images."""

from __future__ import annotations

import queue
import threading

import pytest

from posewire.sources.newest_image import NewestImage

SECONDS = 10.0


class Camera:
    """Delivers what is put into it, and tells when it is asked for more."""

    width, height, fps, frames = 640, 360, 30.0, 0

    def __init__(self) -> None:
        self.images: queue.Queue[str | None] = queue.Queue()
        self.asked = threading.Semaphore(0)
        self._image: str | None = None

    def grab(self) -> float | None:
        self.asked.release()
        self._image = self.images.get(timeout=SECONDS)
        return None if self._image is None else 0.0

    def image(self) -> str | None:
        return None if self._image == "damaged" else self._image

    def close(self) -> None:
        pass

    def show(self, *images: str | None) -> None:
        """Deliver images, and wait until the thread has put them where they belong and asks for the next."""
        for image in images:
            self.images.put(image)
            if image is not None:
                assert self.asked.acquire(timeout=SECONDS)


@pytest.fixture
def camera() -> Camera:
    return Camera()


def started(camera: Camera) -> NewestImage:
    times = iter(range(1000))
    newest = NewestImage(camera, lambda: float(next(times)))
    newest.start()
    assert camera.asked.acquire(timeout=SECONDS)
    return newest


def test_the_newest_is_taken_and_the_others_are_counted(camera: Camera) -> None:
    newest = started(camera)
    camera.show("a", "b", "c")
    assert newest.take() == (2.0, "c")
    assert newest.skipped == 2
    camera.show("d")
    assert newest.take() == (3.0, "d")
    assert newest.skipped == 2
    camera.show("damaged", "e")
    assert newest.take() == (5.0, "e")
    camera.show(None)
    assert newest.take() is None
    newest.stop()


def test_whoever_waits_is_woken(camera: Camera) -> None:
    newest = started(camera)
    taken: queue.Queue[tuple[float, str] | None] = queue.Queue()
    for image, expected in (("a", (0.0, "a")), (None, None)):
        waiting = threading.Thread(target=lambda: taken.put(newest.take()))
        waiting.start()
        camera.show(image)
        assert taken.get(timeout=SECONDS) == expected
        waiting.join(SECONDS)
    newest.stop()


def test_stop_ends_the_thread(camera: Camera) -> None:
    newest = started(camera)
    stopping = threading.Thread(target=newest.stop)
    stopping.start()
    camera.images.put("the one under way")
    camera.images.put(None)  # in case it was quicker than the stop
    stopping.join(SECONDS)
    assert not stopping.is_alive()
    assert not [thread for thread in threading.enumerate() if thread.name == "posewire.camera"]
