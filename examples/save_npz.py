"""Saving what arrives: one person's poses into an .npz, which `posewire send FILE.npz` plays again.

posewire serve
posewire send signing --room studio --name alice
POSEWIRE_TOKEN=$(posewire token recorder --room studio) python examples/save_npz.py alice alice.npz 10
"""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import posewire

NAMES = ("pose", "face", "left_hand", "right_hand")


def parts(pose: posewire.PoseData) -> list[npt.NDArray[np.float32] | None]:
    """Return the parts of a pose in the order of NAMES; None where it has none."""
    left, right = (None, None) if pose.hand_landmarks is None else pose.hand_landmarks
    return [pose.pose_landmarks, pose.face_landmarks, left, right]


def save(path: Path, times: list[float], poses: list[posewire.PoseData]) -> None:
    """Write ``landmarks`` [T, N, 4] and ``timestamps`` [T], and where each part begins. A part that is away is NaN."""
    rows = [parts(pose) for pose in poses]
    sizes = [max((len(part) for part in column if part is not None), default=0) for column in zip(*rows, strict=True)]
    starts = np.cumsum([0, *sizes])
    landmarks = np.full((len(rows), sum(sizes), 4), np.nan, dtype=np.float32)
    for place, row in zip(landmarks, rows, strict=True):
        for start, part in zip(starts, row, strict=False):
            if part is not None:
                place[start : start + len(part)] = part
    data: dict[str, Any] = {"landmarks": landmarks, "timestamps": np.array(times) - times[0], "kind": poses[0].skeleton}
    if len(there := [index for index, size in enumerate(sizes) if size]) > 1:
        data |= {"part_names": [NAMES[index] for index in there], "part_offsets": [*starts[there], sum(sizes)]}
    np.savez_compressed(path, **data)


async def main(user_id: str, path: Path, seconds: float) -> None:
    """Record for some time, then write the file."""
    url = os.environ.get("POSEWIRE_URL", "http://localhost:5000")
    times, poses = list[float](), list[posewire.PoseData]()
    async with posewire.connect(url, token=os.environ["POSEWIRE_TOKEN"], room="studio") as session:
        async for frame in session.frames(user_id=user_id):
            if frame.pose is not None and frame.timestamp > max(times, default=0.0):
                times.append(frame.timestamp)
                poses.append(frame.pose)
            if times[-1] - times[0] >= seconds:
                break
    await asyncio.to_thread(save, path, times, poses)
    print(f"{len(poses)} poses in {path}")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])))
