"""A video or a camera through MediaPipe: what `posewire send VIDEO.mp4` does, for a program of your own.

pip install 'posewire[mediapipe]'                # Python 3.11 or 3.12
posewire serve
POSEWIRE_TOKEN=$(posewire token alice --room studio) python examples/send_video.py clip.mp4
"""

import asyncio
import os
import sys

import posewire
from posewire.sources import CameraSource, VideoSource


async def main(name: str) -> None:
    """Send the video, or the camera, to its end."""
    source = CameraSource(0) if name == "camera" else VideoSource(name, holistic=False, complexity=1)
    url = os.environ.get("POSEWIRE_URL", "http://localhost:5000")
    # The source is opened first: what is wrong with the file is said before anybody is told that we are there.
    async with source, posewire.connect(url, token=os.environ["POSEWIRE_TOKEN"], room="studio") as session:
        async for frame in source:
            await session.send_pose(frame.pose, timestamp=frame.timestamp)
            print(f"\r{1000 * frame.tracking:3.0f} ms to find, {source.skipped} skipped", end="", flush=True)
    print()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
