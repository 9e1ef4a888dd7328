"""A skeleton of your own: a robot's arm of five joints, sent and received as any other pose.

posewire serve
POSEWIRE_TOKEN=$(posewire token robot --room studio) python examples/custom_skeleton.py

Any number of joints up to 2,048 goes, under any name but "mediapipe33". Receivers see it in `frame.pose.skeleton`.
"""

import asyncio
import math
import os

import numpy as np

import posewire

JOINTS = ("base", "shoulder", "elbow", "wrist", "tool")
BONE = 0.2  # metres; x, y and z are whatever you and your receivers agree on


def arm(seconds: float) -> posewire.PoseData:
    """Return the arm as it is at a time: each joint bends a little more than the one before."""
    joints = np.zeros((len(JOINTS), 4), dtype=np.float32)
    joints[:, 3] = 1  # visibility
    angle = 0.0
    for joint in range(1, len(JOINTS)):
        angle += 0.5 * math.sin(seconds)
        joints[joint, :2] = joints[joint - 1, :2] + BONE * np.array([math.sin(angle), math.cos(angle)])
    return posewire.PoseData(joints, skeleton="arm5")


async def main() -> None:
    """Move the arm until Ctrl-C."""
    url = os.environ.get("POSEWIRE_URL", "http://localhost:5000")
    async with posewire.connect(url, token=os.environ["POSEWIRE_TOKEN"], room="studio") as session:
        for step in range(1_000_000):
            await session.send_pose(arm(step / 30), stream="arm")
            await asyncio.sleep(1 / 30)


if __name__ == "__main__":
    asyncio.run(main())
