"""The pose at a moment between two captures. Pure."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from posewire.protocol import PoseData
from posewire.protocol.pose_data import PARTS, Landmarks

_FAR = 3.0
"""A neighbour that is further away than so many times the interval tells nothing about the motion in it."""


class Moment(NamedTuple):
    """A pose and its capture time, seconds."""

    time: float
    pose: PoseData


def interpolate(
    first: Moment, second: Moment, instant: float, *, before: Moment | None = None, after: Moment | None = None
) -> PoseData:
    """Return the pose at ``instant``, between ``first`` and ``second``.

    Coordinates follow the cubic Hermite spline whose tangent at each capture is that of the parabola through it and
    its neighbours (C. de Boor, "A Practical Guide to Splines", 1978, chapter IV: Bessel interpolation; with even
    times it is Catmull-Rom). Without one neighbour the curve is the parabola through three captures, without both a
    straight line. Visibility is linear.

    A joint that only one of the two captures has is taken as it is from the nearer one: there or not there. It never
    touches another joint, and a neighbour that lacks it only makes its own curve simpler. The same for parts, and
    for everything when the skeletons differ.

    Args:
        first: The last capture at or before the moment.
        second: The next one, later than ``first``.
        instant: Seconds, on the scale of the captures.
        before: The capture before ``first``.
        after: The capture after ``second``.
    """
    span = second.time - first.time
    share = (instant - first.time) / span
    one, two = first.pose, second.pose
    nearer = one if share < 0.5 else two
    if one.skeleton != two.skeleton:
        return _at(nearer, instant)
    parts: list[Landmarks | None] = []
    for name in PARTS:
        start, end = getattr(one, name), getattr(two, name)
        if start is None or end is None or start.shape != end.shape:
            parts.append(getattr(nearer, name))
            continue
        slope = (end - start) / np.float32(span)
        tangents = (_tangent(before, first, name, start, slope, span), _tangent(after, second, name, end, slope, span))
        parts.append(_part(start, end, slope, tangents, span, share))
    if all(part is None for part in parts):
        return _at(nearer, instant)  # one has only a face, the other only hands
    body, face, hands = parts
    return PoseData.trusted(body, face, hands, instant, one.skeleton)


def extrapolate(before: Moment, last: Moment, instant: float) -> PoseData:
    """Return the pose at ``instant``, after ``last``, as if each joint went on as it did since ``before``.

    A joint or part that ``before`` lacks stays where it was in ``last``. The caller bounds how far.
    """
    share = np.float32((instant - last.time) / (last.time - before.time))
    one, two = before.pose, last.pose
    parts: list[Landmarks | None] = []
    for name in PARTS:
        start, end = getattr(one, name), getattr(two, name)
        if one.skeleton != two.skeleton or start is None or end is None or start.shape != end.shape:
            parts.append(end)
            continue
        part = end + (end - start) * share
        part[..., 3] = end[..., 3]
        parts.append(_filled(part, end))
    body, face, hands = parts
    return PoseData.trusted(body, face, hands, instant, two.skeleton)


def hold(last: Moment, instant: float) -> PoseData:
    """Return the pose of ``last``, said to be of ``instant``."""
    return _at(last.pose, instant)


def _at(pose: PoseData, instant: float) -> PoseData:
    return PoseData.trusted(pose.pose_landmarks, pose.face_landmarks, pose.hand_landmarks, instant, pose.skeleton)


def _tangent(
    neighbour: Moment | None, moment: Moment, name: str, here: Landmarks, slope: Landmarks, span: float
) -> Landmarks | None:
    """Return the slope at ``moment`` of the parabola through ``neighbour``, it, and the capture a ``span`` away."""
    if neighbour is None or neighbour.pose.skeleton != moment.pose.skeleton:
        return None
    there = getattr(neighbour.pose, name)
    distance = abs(moment.time - neighbour.time)
    if there is None or there.shape != here.shape or not 0 < distance <= _FAR * span:
        return None
    other = (here - there) / np.float32(moment.time - neighbour.time)
    tangent: Landmarks = (other * np.float32(span) + slope * np.float32(distance)) / np.float32(span + distance)
    return tangent


def _part(
    start: Landmarks,
    end: Landmarks,
    slope: Landmarks,
    tangents: tuple[Landmarks | None, Landmarks | None],
    span: float,
    share: float,
) -> Landmarks:
    part: Landmarks = start + slope * np.float32(share * span)
    leaving, arriving = tangents
    if leaving is not None or arriving is not None:
        visibility = part[..., 3].copy()
        leaving, arriving = _settled(slope, leaving, arriving)
        # How far the cubic is from the straight line: h10 (m1 - slope) + h11 (m2 - slope), times the span.
        part += (leaving - slope) * np.float32(share * (1 - share) ** 2 * span)
        part += (arriving - slope) * np.float32(share**2 * (share - 1) * span)
        part[..., 3] = visibility
    return _filled(part, start if share < 0.5 else end)


def _settled(slope: Landmarks, leaving: Landmarks | None, arriving: Landmarks | None) -> tuple[Landmarks, Landmarks]:
    """Return both tangents where one is known at least: for a joint without one, that of the parabola of the rest."""
    if leaving is None:
        leaving = np.full_like(slope, np.nan)
    if arriving is None:
        arriving = np.full_like(slope, np.nan)
    no_leaving, no_arriving = np.isnan(leaving), np.isnan(arriving)
    if no_leaving.any() or no_arriving.any():
        leaving = np.where(no_leaving, np.where(no_arriving, slope, 2 * slope - arriving), leaving)
        arriving = np.where(no_arriving, 2 * slope - leaving, arriving)
    return leaving, arriving


def _filled(part: Landmarks, nearer: Landmarks) -> Landmarks:
    """Put in what could not be reckoned, as the nearer capture has it."""
    missing = np.isnan(part)
    if missing.any():
        joints = missing[..., :3].any(axis=-1)
        part[joints] = nearer[joints]
        only_visibility = missing[..., 3] & ~joints
        part[only_visibility, 3] = nearer[only_visibility, 3]
    return part
