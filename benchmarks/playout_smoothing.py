"""What the One-Euro filter does to recordings of real trackers, and what it costs."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from benchmarks.recordings import load_clips
from posewire.protocol import PoseData
from posewire.receiver.one_euro_filter import OneEuro
from posewire.receiver.pose_smoother import PoseSmoother

RECORDINGS: Final = ("pose_taichi", "pose_treadmill_walk", "holistic_hands_body")
PACKAGED: Final = ("signing",)
SETTINGS: Final = (OneEuro(), OneEuro(min_cutoff=1.0, beta=1.0))


def measure_smoothing(folder: Path) -> list[dict[str, Any]]:
    """Return a row for each recording and setting."""
    rows = []
    names = [name for name in RECORDINGS if (folder / f"{name}.npz").exists()] or PACKAGED
    for clip in load_clips(folder, names=names):
        raw = np.stack([_xy(pose) for pose in clip.poses])
        for settings in SETTINGS:
            smoother = PoseSmoother(settings)
            smoothed, costs = [], []
            for pose in clip.poses:
                begun = time.perf_counter_ns()
                smoothed.append(smoother.smooth("alice", "pose", pose, pose.timestamp))
                costs.append(time.perf_counter_ns() - begun)
            found = np.stack([_xy(pose) for pose in smoothed])
            rows.append(
                {
                    "recording": clip.name,
                    "min_cutoff": settings.min_cutoff,
                    "beta": settings.beta,
                    "tremble_before": _tremble(raw),
                    "tremble_after": _tremble(found),
                    "lag": float(f"{np.nanmean(np.linalg.norm(found - raw, axis=-1)):.3g}"),
                    "landmarks": clip.poses[0].landmark_count,
                    "cost_us": round(statistics.median(costs) / 1000, 1),
                }
            )
    return rows


def _xy(pose: PoseData) -> npt.NDArray[np.float32]:
    assert pose.pose_landmarks is not None
    return pose.pose_landmarks[:, :2]


def _tremble(points: npt.NDArray[np.float32]) -> float:
    """Return the rms of the second difference in time, image widths a frame²."""
    return float(f"{np.sqrt(np.nanmean(np.diff(points, n=2, axis=0) ** 2)):.3g}")
