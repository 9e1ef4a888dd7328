"""Saving what arrives: one person's poses into an .npz, which `posewire send FILE.npz` plays again.

posewire serve
posewire send signing --room studio --name alice
POSEWIRE_TOKEN=$(posewire token recorder --room studio) python examples/save_npz.py alice alice.npz 10
"""

import asyncio
import os
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt

import posewire

NAMES = ("pose", "face", "left_hand", "right_hand")


def parts(pose: posewire.PoseData) -> list[npt.NDArray[np.float32] | None]:
    """Return the parts of a pose in the order of NAMES; None where it has none."""
    left, right = (None, None) if pose.hand_landmarks is None else pose.hand_landmarks
    return [pose.pose_landmarks, pose.face_landmarks, left, right]


def save(path: Path, frames: list[posewire.Frame]) -> None:
    """Write ``landmarks`` [T, N, 4] and ``timestamps`` [T], and where each part begins. A part that is away is NaN."""
    poses = [parts(frame.pose) for frame in frames if frame.pose is not None]
    sizes = [max((len(part) for part in column if part is not None), default=0) for column in zip(*poses, strict=True)]
    rows = np.full((len(poses), sum(sizes), 4), np.nan, dtype=np.float32)
    starts = np.cumsum([0, *sizes])
    for row, pose in zip(rows, poses, strict=True):
        for start, part in zip(starts, pose, strict=False):
            if part is not None:
                row[start : start + len(part)] = part
    times = np.array([frame.timestamp - frames[0].timestamp for frame in frames])
    there = [index for index, size in enumerate(sizes) if size]
    layout = {"part_names": [NAMES[index] for index in there], "part_offsets": [*starts[there], sum(sizes)]}
    skeleton = frames[0].pose.skeleton if frames[0].pose is not None else ""
    np.savez_compressed(path, landmarks=rows, timestamps=times, kind=skeleton, **(layout if len(there) > 1 else {}))


async def main(user_id: str, path: Path, seconds: float) -> None:
    """Record for some time, then write the file."""
    url = os.environ.get("POSEWIRE_URL", "http://localhost:5000")
    frames: list[posewire.Frame] = []
    async with posewire.connect(url, token=os.environ["POSEWIRE_TOKEN"], room="studio") as session:
        async for frame in session.frames(user_id=user_id):
            if not frames or frame.timestamp > frames[-1].timestamp:
                frames.append(frame)
            if frames[-1].timestamp - frames[0].timestamp >= seconds:
                break
    await asyncio.to_thread(save, path, frames)
    print(f"{len(frames)} poses in {path}")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])))
