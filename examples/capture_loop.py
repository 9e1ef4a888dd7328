"""A capture loop in ten lines: what your tracker finds, to everyone in the room, thirty times a second.

posewire serve
POSEWIRE_TOKEN=$(posewire token alice --room studio) python examples/capture_loop.py
posewire watch --room studio
"""

import asyncio
import os
import time

import numpy as np
import numpy.typing as npt

import posewire


def capture() -> npt.NDArray[np.float32]:
    """Your tracker goes here. It may block: 33 landmarks of x, y, z, visibility."""
    return np.random.default_rng().random((33, 4), dtype=np.float32)


async def main() -> None:
    """Send until Ctrl-C."""
    url = os.environ.get("POSEWIRE_URL", "http://localhost:5000")
    async with posewire.connect(url, token=os.environ["POSEWIRE_TOKEN"], room="studio") as session:
        while True:
            captured_at = time.time()
            pose = await asyncio.to_thread(capture)
            await session.send_pose(pose, timestamp=captured_at)
            await asyncio.sleep(1 / 30)


if __name__ == "__main__":
    asyncio.run(main())
