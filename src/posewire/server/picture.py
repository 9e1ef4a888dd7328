"""The newest picture of a stream of poses, and what it takes to read it."""

from __future__ import annotations

from collections import deque
from typing import Final

from posewire.protocol import FrameType
from posewire.server.mail import Mail

KEPT_REFERENCES: Final = 4
"""Keyframes and anchors that a decoder remembers."""
_MOST_FRAMES: Final = 128
_MOST_BYTES: Final = 128 << 10


class Picture:
    """The newest keyframe, the anchors from there to the newest one, and the newest leaf of those.

    Whoever joins late gets it from the server, so that nobody's publisher is asked for a keyframe. Bounded: of a stream
    whose keyframes are too far apart there is none.
    """

    def __init__(self) -> None:
        self.recent: deque[int] = deque(maxlen=KEPT_REFERENCES)
        """The last keyframes and anchors that were passed on: what everyone has who got all of them."""
        self.newest = -1
        """Seq of the newest frame that was passed on."""
        self._path: list[Mail] = []
        self._leaf: Mail | None = None

    def frames(self) -> list[Mail]:
        """Return what shows the newest picture, in order; none when there is no whole one."""
        return [*self._path, self._leaf] if self._leaf is not None else list(self._path)

    def take(self, mail: Mail) -> None:
        """Keep a frame, and let go of those that nothing later will refer to."""
        self.newest = mail.seq
        if mail.frame_type is FrameType.LEAF:
            if self._path and self._path[-1].seq == mail.reference and _is_small([*self._path, mail]):
                self._leaf = mail
            return
        if mail.frame_type is FrameType.KEY:
            self.recent.clear()
            path: list[Mail] = []
        else:
            path = path_to(mail.reference, self._path)
            if not path:
                self._path, self._leaf = [], None  # refers to what we never saw; the next keyframe begins anew
                return
        self.recent.append(mail.seq)
        path.append(mail)
        whole = len(path) <= _MOST_FRAMES and _is_small(path)
        self._path, self._leaf = path if whole else [], None


def _is_small(frames: list[Mail]) -> bool:
    return sum(frame.size for frame in frames) <= _MOST_BYTES


def path_to(reference: int, path: list[Mail]) -> list[Mail]:
    """Return ``path``, in which each refers to the last, up to the frame of that number; empty when it is not in it."""
    for index in range(len(path) - 1, -1, -1):
        if path[index].seq == reference:
            return path[: index + 1]
    return []
