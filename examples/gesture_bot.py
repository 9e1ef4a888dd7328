"""A bot that answers a gesture: who raises a hand over the head is greeted, with an event to the whole room.

posewire serve
POSEWIRE_TOKEN=$(posewire token bot --room studio) python examples/gesture_bot.py
posewire send synthetic --room studio            # somebody who waves

The others hear it: session.on("gesture", lambda event: print(event.data)).
"""

import asyncio
import os

import posewire

NOSE, WRISTS = 0, {"left": 15, "right": 16}
ENOUGH = 0.5  # visibility


def raised(pose: posewire.PoseData, *, margin: float) -> set[str]:
    """Return the hands that are higher than the nose by ``margin`` image heights; y points down."""
    body = pose.pose_landmarks
    if body is None or pose.skeleton != "mediapipe33":
        return set()
    # Where nobody was found all is NaN, and no comparison with NaN holds.
    return {
        hand for hand, wrist in WRISTS.items() if body[wrist, 3] > ENOUGH and body[NOSE, 1] - body[wrist, 1] > margin
    }


async def main() -> None:
    """Answer until Ctrl-C."""
    url = os.environ.get("POSEWIRE_URL", "http://localhost:5000")
    up: dict[str, set[str]] = {}
    async with posewire.connect(url, token=os.environ["POSEWIRE_TOKEN"], room="studio") as session:
        async for frame in session.frames():
            assert frame.pose is not None
            before = up.get(frame.user_id, set())
            # Up at the nose, down only a little below it: a hand at the border raises once, not thirty times a second.
            now = raised(frame.pose, margin=0.0) | (before & raised(frame.pose, margin=-0.05))
            for hand in sorted(now - before):
                print(f"{frame.user_id} raises the {hand} hand")
                await session.send_event("gesture", {"name": "hello", "to": frame.user_id, "hand": hand})
            up[frame.user_id] = now


if __name__ == "__main__":
    asyncio.run(main())
