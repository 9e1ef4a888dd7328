"""How far interpolated poses are from the true motion, against holding the last pose; chance by seed, no clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from benchmarks.playout_link import NETWORK, Arrival, arrivals
from benchmarks.recordings import Clip, load_clips
from posewire.protocol import PoseData, PoseDecoder, PoseEncoder
from posewire.protocol.pose_data import Landmarks
from posewire.receiver.playout_buffer import Release, Timeline
from posewire.receiver.playout_delay import PlayoutDelay
from posewire.receiver.pose_interpolation import Moment, interpolate
from posewire.receiver.pose_resampler import PoseResampler
from posewire.receiver.received import Counts

SENT_FPS: Final = 30
RECORDINGS: Final = ("pose_jump_swing_90fps", "mocap_cmu_01_01", "mocap_cmu_02_05", "mocap_cmu_03_03")
"""Those of 60 and 90 fps: what lies between two poses sent at 30 is known."""
PACKAGED: Final = ("jump",)
"""The same as ships in the package."""

Distances = npt.NDArray[np.float64]


def measure_motion(folder: Path, seed: int) -> list[dict[str, Any]]:
    """Return a row for each recording: mean distance from the true joint, and the ratio to that of holding."""
    names = [name for name in RECORDINGS if (folder / f"{name}.npz").exists()] or PACKAGED
    return [_row(clip, seed) for clip in load_clips(folder, names=names)]


def _row(clip: Clip, seed: int) -> dict[str, Any]:
    times = [pose.timestamp for pose in clip.poses]
    fps = (len(times) - 1) / (times[-1] - times[0])
    step = round(fps / SENT_FPS)
    sent = [Moment(pose.timestamp, pose) for pose in _as_sent(clip.poses[::step])]
    methods: dict[str, Callable[[int, float], PoseData]] = {
        "hold": lambda place, _: sent[place].pose,
        "linear": lambda place, instant: interpolate(sent[place], sent[place + 1], instant),
        "cubic": lambda place, instant: interpolate(
            sent[place],
            sent[place + 1],
            instant,
            before=sent[place - 1] if place else None,
            after=sent[place + 2] if place + 2 < len(sent) else None,
        ),
    }
    places = [index for index in range(len(clip.poses)) if index % step and index < (len(sent) - 1) * step]
    truth = [clip.poses[index] for index in places]
    errors = {
        name: np.concatenate(
            [_distances(make(index // step, pose.timestamp), pose) for index, pose in zip(places, truth, strict=True)]
        )
        for name, make in methods.items()
    }
    smooth, held = _through_resampler(clip, sent, fps, seed)
    rows = {name: float(np.linalg.norm(error, axis=1).mean()) for name, error in errors.items()}
    flat = {name: float(np.linalg.norm(error[:, :2], axis=1).mean()) for name, error in errors.items()}
    return {
        "recording": clip.name,
        "fps": round(fps, 2),
        "moments": len(truth),
        **{f"{name}_error": float(f"{value:.4g}") for name, value in rows.items()},
        "linear_ratio": round(rows["linear"] / rows["hold"], 3),
        "cubic_ratio": round(rows["cubic"] / rows["hold"], 3),
        "cubic_ratio_xy": round(flat["cubic"] / flat["hold"], 3),
        "smooth_ratio": round(smooth / held, 3),
    }


def _as_sent(poses: Sequence[PoseData]) -> list[PoseData]:
    """Return the poses as they come out of body version 3, with its default steps."""
    encoder, decoder = PoseEncoder(), PoseDecoder()
    received = []
    for seq, pose in enumerate(poses, start=1):
        coded = encoder.encode(pose, seq=seq, time=pose.timestamp)
        received.append(decoder.decode(coded.frame_type, seq, coded.ref, coded.body, timestamp=pose.timestamp))
    return received


def _through_resampler(clip: Clip, sent: Sequence[Moment], fps: float, seed: int) -> tuple[float, float]:
    """Return the mean error of what playout ``smooth`` releases over a link with jitter, and of holding meanwhile.

    The truth at any moment is the cubic through the recording at its full rate.
    """
    buffer = PoseResampler(Timeline(PlayoutDelay(delay=0.08)), Counts(), size=128, fps=fps)
    coming = arrivals([moment.time for moment in sent], "pose", NETWORK, seed, poses=[moment.pose for moment in sent])
    shown = [release for release, _ in play(buffer, coming)]
    truth = [Moment(pose.timestamp, pose) for pose in clip.poses]
    errors, held = [], []
    for release in shown:
        place = int((release.timestamp - truth[0].time) * fps)
        if not 1 <= place < len(truth) - 2:
            continue
        here = next(index for index in (place, place - 1, place + 1) if _between(truth, index, release.timestamp))
        before, after = truth[here - 1], truth[min(here + 2, len(truth) - 1)]
        exact = interpolate(truth[here], truth[here + 1], release.timestamp, before=before, after=after)
        assert release.pose is not None
        assert release.received.pose is not None
        errors.append(_distances(release.pose, exact))
        held.append(_distances(release.received.pose, exact))
    return _mean(errors), _mean(held)


def _mean(errors: list[Distances]) -> float:
    return float(np.linalg.norm(np.concatenate(errors), axis=1).mean())


def _between(truth: Sequence[Moment], index: int, instant: float) -> bool:
    return truth[index].time <= instant + 1e-6 and instant <= truth[index + 1].time + 1e-6


def play(buffer: Any, coming: Sequence[Arrival]) -> list[tuple[Release, float]]:
    """Run a buffer by the times alone; returns what it released, and when."""
    released: list[tuple[Release, float]] = []
    waiting = iter(coming)
    arrival = next(waiting, None)
    end = coming[-1].time + 1.0
    while True:
        due = buffer.next_time()
        if arrival is not None and (due is None or arrival.time <= due):
            buffer.put(arrival.received, arrival.time)
            arrival = next(waiting, None)
        elif due is None or due > end:
            return released
        elif (release := buffer.take(due)) is not None:
            released.append((release, due))


def _distances(found: PoseData, true: PoseData) -> Distances:
    """Return how far each joint that both have is from the true one, in x, y and z."""
    away: Distances = _body(found)[:, :3].astype(np.float64) - _body(true)[:, :3]
    return away[np.isfinite(away).all(axis=1)]


def _body(pose: PoseData) -> Landmarks:
    assert pose.pose_landmarks is not None
    return pose.pose_landmarks
