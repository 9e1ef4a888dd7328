"""What a format under test has to offer, and what all of them start from and end with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeAlias, TypeVar

import numpy as np

from posewire.protocol import PoseData
from posewire.protocol.pose_data import Landmarks

CHANNELS: Final = ("x", "y", "z", "visibility")

Parts: TypeAlias = dict[str, Landmarks]
"""Float32 ``[N, 4]`` of each part of a frame, by MediaPipe's name of it; NaN where it was not found."""

Layout: TypeAlias = dict[str, int]
"""Landmarks of each part. The same for every frame of a recording, and known to both sides."""

Dicts: TypeAlias = dict[str, list[dict[str, float]]]
"""Lists of ``{x, y, z, visibility}`` of each part; an empty list where it was not found."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame in the forms that formats start from, made before the clock runs."""

    pose: PoseData
    parts: Parts
    dicts: Dicts

    @classmethod
    def of(cls, pose: PoseData) -> Frame:
        """Return ``pose`` in all forms."""
        parts = parts_of(pose)
        return cls(pose, parts, {name: _to_dicts(part) for name, part in parts.items()})


Source = TypeVar("Source")
Coded = TypeVar("Coded")


class Format(ABC, Generic[Source, Coded]):
    """One way to put a frame into bytes and back. A new one is a class like this and a line in `FORMATS`.

    An instance encodes and decodes the frames of one recording in their order, so it may keep state.

    Args:
        layout: Landmarks of each part.

    Raises:
        ImportError: Its library is not installed; the benchmark goes on without it.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout

    @abstractmethod
    def prepare(self, frame: Frame) -> Source:
        """Return what `encode` takes. Not timed."""

    @abstractmethod
    def encode(self, source: Source) -> Coded:
        """Return the frame in bytes, or an object around them. Timed."""

    @abstractmethod
    def decode(self, coded: Coded) -> Parts | PoseData:
        """Return the frame as arrays. Timed."""

    def size(self, coded: Coded) -> int:
        """Return how many bytes would travel. Not timed."""
        return len(coded)  # type: ignore[arg-type]  # bytes or ASCII text, unless a format says otherwise


AnyFormat: TypeAlias = Format[Any, Any]


def parts_of(pose: Parts | PoseData) -> Parts:
    """Return the parts that ``pose`` has."""
    if not isinstance(pose, PoseData):
        return pose
    parts: Parts = {}
    if pose.pose_landmarks is not None:
        parts["pose_landmarks"] = pose.pose_landmarks
    if pose.face_landmarks is not None:
        parts["face_landmarks"] = pose.face_landmarks
    if pose.hand_landmarks is not None:
        parts["left_hand_landmarks"], parts["right_hand_landmarks"] = pose.hand_landmarks
    return parts


def layout_of(pose: PoseData) -> Layout:
    """Return the landmarks of each part of ``pose``."""
    return {name: len(part) for name, part in parts_of(pose).items()}


def is_absent(part: Landmarks) -> bool:
    """Return whether nothing of a part was found."""
    return bool(np.isnan(part[:, 0]).all())


def absent(count: int) -> Landmarks:
    """Return a part of which nothing was found."""
    return np.full((count, 4), np.nan, dtype=np.float32)


def from_dicts(dicts: Dicts, layout: Layout) -> Parts:
    """Return the arrays of ``dicts``."""
    return {
        name: np.array([(mark["x"], mark["y"], mark["z"], mark["visibility"]) for mark in marks], dtype=np.float32)
        if (marks := dicts[name])
        else absent(count)
        for name, count in layout.items()
    }


def _to_dicts(part: Landmarks) -> list[dict[str, float]]:
    if is_absent(part):
        return []
    return [dict(zip(CHANNELS, row, strict=True)) for row in part.tolist()]
