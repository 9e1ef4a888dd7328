"""One capture of a person: landmarks of body, face and hands."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from posewire.errors import DataValidationError
from posewire.limits import MAX_LANDMARKS, MAX_NAME_CHARS
from posewire.values import is_number, plain, shown

Landmarks: TypeAlias = npt.NDArray[np.float32]

MEDIAPIPE_POSE: Final = 33
MEDIAPIPE_FACES: Final = (468, 478)
MEDIAPIPE_HAND: Final = 21
DEFAULT_SKELETON: Final = "mediapipe33"

_LATEST: Final = 1e12
"""Seconds; microseconds of it fit the header."""

_FEW: Final = 256
"""Numbers that are quicker summed without numpy, whose code is cold when a capture loop comes back to it."""

PARTS: Final = ("pose_landmarks", "face_landmarks", "hand_landmarks")


@dataclass(frozen=True, slots=True, eq=False)
class PoseData:
    """Landmarks of one moment: float32, each landmark ``(x, y, z, visibility)``.

    NaN where a part or joint was not found; None where a part is not sent. Coordinates are what the tracker gives,
    for MediaPipe x and y in image widths and heights, z about the scale of x. The arrays are copies and read-only, so
    a capture loop may reuse its buffers.

    Attributes:
        pose_landmarks: ``[33, 4]``, or ``[N, 4]`` with a skeleton name other than ``mediapipe33``.
        face_landmarks: ``[468, 4]`` or ``[478, 4]`` (with irises).
        hand_landmarks: ``[2, 21, 4]``, left then right.
        timestamp: Capture time, seconds on the scale of ``time.time()``; 0 means "when it is sent".
        skeleton: What the joints of ``pose_landmarks`` are.

    Raises:
        DataValidationError: Wrong type or shape, no or too many landmarks, an infinite value, or a joint of which
            only some coordinates are NaN; it names the field, the value and what was expected.
    """

    pose_landmarks: Landmarks | None = None
    face_landmarks: Landmarks | None = None
    hand_landmarks: Landmarks | None = None
    timestamp: float = 0.0
    skeleton: str = DEFAULT_SKELETON

    def __post_init__(self) -> None:
        if not isinstance(self.skeleton, str) or not 0 < len(self.skeleton) <= MAX_NAME_CHARS:
            raise DataValidationError("skeleton", repr(self.skeleton), f"expected 1 to {MAX_NAME_CHARS} characters")
        if not self.skeleton.isascii() and any("\ud800" <= char <= "\udfff" for char in self.skeleton):
            raise DataValidationError("skeleton", repr(self.skeleton), "expected text without lone surrogates")
        object.__setattr__(self, "timestamp", checked_timestamp(self.timestamp))
        if self.pose_landmarks is None and self.face_landmarks is None and self.hand_landmarks is None:
            raise DataValidationError("pose", None, f"expected at least one of {', '.join(PARTS)}")
        for name in PARTS:
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, self._checked(name, value))

    @classmethod
    def trusted(
        cls,
        pose: Landmarks | None,
        face: Landmarks | None,
        hands: Landmarks | None,
        timestamp: float,
        skeleton: str,
    ) -> PoseData:
        """Return a pose of arrays that are known to be right and are nobody else's: neither checked nor copied."""
        made = object.__new__(cls)
        for name, value in zip(
            ("timestamp", "skeleton", *PARTS), (timestamp, skeleton, pose, face, hands), strict=True
        ):
            if isinstance(value, np.ndarray):
                value.flags.writeable = False
            object.__setattr__(made, name, value)
        return made

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PoseData):
            return NotImplemented
        return (
            self.timestamp == other.timestamp
            and self.skeleton == other.skeleton
            and all(_same(getattr(self, name), getattr(other, name)) for name in PARTS)
        )

    __hash__ = None  # type: ignore[assignment]  # equal by value, like the arrays inside

    @property
    def landmark_count(self) -> int:
        """Landmarks of all parts together."""
        return sum(part.size // 4 for name in PARTS if (part := getattr(self, name)) is not None)

    def _checked(self, name: str, value: object) -> Landmarks:
        try:
            if isinstance(value, np.ndarray) and value.dtype == np.float32 and value.size <= _FEW:
                array = value.copy()
                total = sum(array.ravel().tolist())
            elif isinstance(value, np.ndarray) and value.dtype.kind == "c":
                raise TypeError("they are complex")  # numpy would drop half of them with a warning
            else:
                with np.errstate(all="ignore"):  # what is too large becomes infinite, and is refused below
                    array = np.array(value, dtype=np.float32, order="C")
                    total = float(array.sum())
        except (TypeError, ValueError, OverflowError) as exc:
            raise DataValidationError(name, shown(value), f"expected numbers: {exc}") from None
        expected = self._shape_problem(name, array)
        if expected:
            raise DataValidationError(name, f"shape {list(array.shape)}", f"expected {expected}")
        # One sum tells in a few microseconds that nothing is NaN or infinite, which is nearly always so.
        if not math.isfinite(total):
            _refuse_odd_values(name, array)
        array.flags.writeable = False
        return array

    def _shape_problem(self, name: str, array: Landmarks) -> str | None:
        if name == "hand_landmarks":
            return None if array.shape == (2, MEDIAPIPE_HAND, 4) else f"[2, {MEDIAPIPE_HAND}, 4]: left and right hand"
        if array.ndim != 2 or array.shape[1] != 4:
            return "[N, 4]: x, y, z, visibility of each landmark"
        count = array.shape[0]
        if not 1 <= count <= MAX_LANDMARKS:
            return f"1 to {MAX_LANDMARKS} landmarks"
        if name == "face_landmarks":
            return None if count in MEDIAPIPE_FACES else f"{MEDIAPIPE_FACES[0]} or {MEDIAPIPE_FACES[1]} landmarks"
        if self.skeleton == DEFAULT_SKELETON and count != MEDIAPIPE_POSE:
            return f"{MEDIAPIPE_POSE} landmarks, or another skeleton name"
        return None


def checked_timestamp(timestamp: object) -> float:
    """Return seconds since 1970, or 0, as a plain number.

    Raises:
        DataValidationError: It is no number, negative, or thousands of years away.
    """
    number = plain(timestamp)
    if not is_number(number) or not 0 <= number < _LATEST:
        raise DataValidationError("timestamp", shown(timestamp), "expected seconds, 0 or more")
    return number  # type: ignore[no-any-return]  # an int stays one, so that what was given is what is there


def _refuse_odd_values(name: str, array: Landmarks) -> None:
    if np.isinf(array).any():
        where = np.argwhere(np.isinf(array))[0].tolist()
        raise DataValidationError(f"{name}{where}", "infinite", "expected a finite number, or NaN where not found")
    missing = np.isnan(array[..., :3])
    partly = missing.any(axis=-1) & ~missing.all(axis=-1)
    if partly.any():
        where = np.argwhere(partly)[0].tolist()
        joint = array[tuple(where)].tolist()
        raise DataValidationError(f"{name}{where}", joint, "expected x, y and z all found or all NaN")


def _same(one: Landmarks | None, other: Landmarks | None) -> bool:
    if one is None or other is None:
        return one is other
    return np.array_equal(one, other, equal_nan=True)
